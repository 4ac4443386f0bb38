"""Advice from what the data show: how to start, and later what to try next. Pure."""
