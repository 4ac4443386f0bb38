"""Pairs → adapter."""
