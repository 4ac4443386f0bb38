"""The weight of the word leg where the settings leave it to the project: kept beside the index, and when it is old.

It is chosen on train and dev questions (`study.retrieval.blend`) and kept in the catalogue with what it was chosen on:
the questions, the pipeline, and a sketch of the documents. `ask` reads it and chooses nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from twofold.config import Config, Part
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Embedder
from twofold.plugins.traits import RetrieverSettings
from twofold.store.documents import Notes
from twofold.types import Json

AUTO = "auto"
"""What the setting says where the project chooses."""
VERSION = 1
"""Raised when the same measurements lead to another choice."""
MOVED = 0.1
"""Share of the documents that may have changed since a choice before a sync chooses again."""
_NOTE = "weight of the words"
_SKETCH = 256
"""Documents in the sketch of a corpus: its standard error is below .03."""


def searching(config: Config) -> Part | None:
    """The blend of two legs whose weight is ``auto``, as the retriever or within it; None where there is none."""
    part = config.retrieval.retriever
    while True:
        options = loading.options("retrievers", part.name, part.options)
        settings = RetrieverSettings.of(options)
        if part.name == "hybrid":
            return part if settings.lexical == AUTO and settings.fusion == "scores" else None
        if not isinstance(settings.search, Part):
            return None
        part = settings.search


def recipe(config: Config, *, chunks: Json, embedder: str) -> str:
    """Name of the search that a weight is chosen for: what it finds with, whatever the index holds.

    Args:
        config: The configuration in force.
        chunks: What documents are cut with.
        embedder: The embedder's fingerprint.
    """
    spec = specs.of_retrieval(config, embedder=embedder, content="")
    parts = {name: spec[name] for name in ("rewriters", "retriever", "index", "embedder")}
    return digest("words", {**parts, "chunks": chunks, "version": VERSION})


def last_choice(notes: Notes) -> Json | None:
    """The last choice; see `study.retrieval.blend.settle`. None where none was made."""
    note = notes.get(_NOTE)
    return json.loads(note) if note else None


def weight(notes: Notes, config: Config, *, chunks: Json, embedder: Embedder) -> float | None:
    """The chosen weight where the settings leave it to the project and the choice was made for this search.

    None where nothing was chosen, and where the default was: both are the same search, with one key.

    Args:
        notes: Keep the choice.
        config: The configuration in force.
        chunks: What documents are cut with.
        embedder: The configured one.
    """
    choice = last_choice(notes) if searching(config) else None
    if choice is None or choice["recipe"] != recipe(config, chunks=chunks, embedder=embedder.fingerprint):
        return None
    return None if choice["weight"] in (None, choice["default"]) else float(choice["weight"])


def in_force(notes: Notes, config: Config, *, chunks: Json, embedder: Embedder) -> tuple[Json | None, str]:
    """The choice that a search as it is set up now uses; None, and why for people, where there is none.

    Args:
        notes: Keep the choice.
        config: The configuration in force.
        chunks: What documents are cut with.
        embedder: The configured one.
    """
    if searching(config) is None:
        return None, ""  # the settings say a number
    choice = last_choice(notes)
    if choice is None:
        return None, "the words have their default weight: nothing was chosen yet (`twofold sync` does)"
    if choice["recipe"] != recipe(config, chunks=chunks, embedder=embedder.fingerprint):
        return None, "the words have their default weight: the last choice was for another search (`twofold sync` does)"
    return choice, ""


def keep(notes: Notes, choice: Json) -> None:
    """Keep a choice in place of the last one."""
    notes.put(_NOTE, json.dumps(choice, sort_keys=True))


def sketch(contents: Mapping[str, str]) -> list[str]:
    """The least digests of the documents: the share that two sketches have in common is that of the documents.

    Bottom-k sampling (Broder 1997).

    Args:
        contents: Document id → digest of its content.
    """
    pairs = (f"{name}\0{content}".encode() for name, content in contents.items())
    return sorted(hashlib.sha256(pair).hexdigest()[:16] for pair in pairs)[:_SKETCH]


def moved(before: Iterable[str], after: Iterable[str]) -> float:
    """The share of the documents of either sketch that only one of them holds; 0 for the same, 1 for all others."""
    earlier, later = set(before), set(after)
    union = sorted(earlier | later)[:_SKETCH]
    return 1 - sum(name in earlier and name in later for name in union) / len(union) if union else 0.0
