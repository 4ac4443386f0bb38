"""Tuned models for other programs: merged, PEFT, GGUF, each checked."""
