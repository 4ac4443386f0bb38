"""Readers: one file to its documents. Entry points ``twofold.readers``."""
