"""Runtimes of the local generator."""
