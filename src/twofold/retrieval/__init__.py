"""Queries → hits."""
