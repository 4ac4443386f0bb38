"""Retrievers: a question to hits. Entry points ``twofold.retrievers``."""
