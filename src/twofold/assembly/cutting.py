"""Embedder and chunker as configured, opened by a project's search and by workers elsewhere."""

from __future__ import annotations

from twofold.answering import access
from twofold.config import Config
from twofold.plugins import loading
from twofold.plugins.protocols import Chunker, Embedder
from twofold.types import Json


def embedder(config: Config, options: Json) -> Embedder:
    """The configured embedder.

    Args:
        config: The configuration.
        options: Its options, with the place of an embedder that was tuned here (`Artifacts.placed`).
    """
    opened: Embedder = loading.make("embedders", config.retrieval.embedder.name, options)
    return opened


def chunker(config: Config, counting: Embedder) -> Chunker:
    """The configured chunker, counting the embedder's tokens, with the readers that rules give."""
    part = config.documents.chunker
    opened: Chunker = loading.make("chunkers", part.name, part.options, offsets=counting.offsets, embed=counting.embed)
    rules = config.access.rules
    return access.RuledChunker(opened, rules) if rules else opened
