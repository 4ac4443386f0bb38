"""Indexes: chunks stored and searched. Entry points ``twofold.indexes``."""
