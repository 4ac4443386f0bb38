"""Embedders: texts to vectors. Entry points ``twofold.embedders``."""
