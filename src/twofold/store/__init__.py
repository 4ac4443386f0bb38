"""The project's derived data: catalogue, artifacts, models, lock."""
