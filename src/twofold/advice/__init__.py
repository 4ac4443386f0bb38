"""Advice from what users say and the data show: how to start, what will probably win, and why. Pure."""
