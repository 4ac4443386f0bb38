"""Plugins: the protocols, how implementations are found by name, and the job a trainer receives."""
