"""Rerankers: hits put in another order. Entry points ``twofold.rerankers``."""
