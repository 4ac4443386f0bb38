"""The stages of each preset of ``[retrieval]``, by the names of their plugins. Pure."""

from __future__ import annotations

from twofold.types import Json

PRESETS: dict[str, Json] = {
    "naive": {"retriever": {"name": "hybrid"}, "rewriters": [], "rerankers": []},
    "advanced": {
        "retriever": {"name": "hybrid"},
        "rewriters": [{"name": "conversation"}],
        "rerankers": [],
    },
    "agentic": {"retriever": {"name": "agentic"}, "rewriters": [], "rerankers": []},
}
"""Values of each preset of `[retrieval]`; values in the file override them."""
