"""Settings of a project whose answers are quotations, found by a deterministic embedder."""

SETTINGS = """
[retrieval.embedder]
name = "hashing"

[retrieval.retriever]
name = "hybrid"
options = { lexical = 0.5 }

[generation.generator]
name = "echo"
options = { mode = "quote" }
"""
