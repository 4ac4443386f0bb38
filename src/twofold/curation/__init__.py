"""Data work with models: questions made from documents, paraphrases, selection for a budget."""
