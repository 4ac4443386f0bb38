"""Tuned models after their first training: registry, aliases, retraining, the tuned embedder."""
