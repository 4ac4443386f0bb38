"""Generation at an OpenAI-compatible endpoint."""
