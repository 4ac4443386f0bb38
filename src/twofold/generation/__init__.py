"""Prompts → completions."""
