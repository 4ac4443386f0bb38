"""Model files: found by name, checked by digest, converted; adapters; endpoints."""
