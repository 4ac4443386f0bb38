"""Metadata as filters compare it, and conditions on it."""
