"""Chunkers: a document to passages with exact spans. Entry points ``twofold.chunkers``."""
