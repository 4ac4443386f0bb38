"""Twofold: should your language model know more, behave differently, or both? Measured, with evidence."""

__version__ = "0.1.0"
