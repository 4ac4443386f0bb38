"""The stored weight of the word leg, where the settings leave it to the project, and whether it is out of date.

The weight is chosen on train and dev questions (`study.retrieval.blend`) and stored in the catalogue together with its
circumstances: the questions, the pipeline, and a sketch of the documents. `ask` reads the weight and chooses nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import NotRequired, TypedDict

from twofold.config import Config
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Embedder
from twofold.plugins.traits import RetrieverSettings
from twofold.settings.sections import Part
from twofold.store.documents import Notes
from twofold.types import Json

AUTO = "auto"
"""Value of the setting where the project chooses."""
VERSION = 1
"""Raised when the same measurements lead to another choice."""
MOVED = 0.1
"""Share of the documents that may have changed since a choice before a sync chooses again."""
_NOTE = "weight of the words"
_SKETCH = 256
"""Documents in the sketch of a corpus: the standard error of a share is at most .5 / √256 = .03, at `MOVED` .02."""


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
        # a retriever around another one
        part = settings.search


def recipe(config: Config, *, chunks: Json, embedder: str) -> str:
    """Digest of the search that a weight is chosen for: its settings, without the content of the index.

    Args:
        config: The configuration in force.
        chunks: The settings that documents are cut with.
        embedder: The embedder's fingerprint.
    """
    spec = specs.of_retrieval(config, embedder=embedder, content="")
    parts = {name: spec[name] for name in ("rewriters", "retriever", "index", "embedder")}
    return digest("words", {**parts, "chunks": chunks, "version": VERSION})


class WeightRow(TypedDict):
    """The search with one weight of the word leg, measured."""

    weight: float
    mean: float
    gain: float
    """On the default weight."""
    error: float
    """Standard error of the gain, by group."""
    believed: float
    """The gain that is believed, after shrinking."""


class _Measured(TypedDict, total=False):
    metric: str
    questions: int
    groups: int
    """Groups that the questions are of."""
    chosen: float
    synthetic: bool
    """Were all questions made of the documents? Then ``chosen`` is the default."""
    weights: list[WeightRow]


class WordChoice(_Measured):
    """The stored choice of a weight of the word leg; fields of the measurement are missing where none was made."""

    weight: float | None
    """None: the default."""
    default: float
    why: str
    """The reason why no weight was chosen, or empty."""
    recipe: str
    """Digest of the search that it was chosen for."""
    content: str
    """Digest of the index's content."""
    sketch: list[str]
    """Of the documents; see `sketch`."""
    asked: str
    """Digest of the questions."""


class SettledWords(_Measured):
    """The choice in force, or why the examples at hand allow none: then most fields are missing."""

    weight: float | None
    why: str
    new: bool
    """Was it chosen now?"""
    default: NotRequired[float]
    recipe: NotRequired[str]
    content: NotRequired[str]
    sketch: NotRequired[list[str]]
    asked: NotRequired[str]


def last_choice(notes: Notes) -> WordChoice | None:
    """The last choice (see `study.retrieval.blend.settle`); None before the first one."""
    note = notes.get(_NOTE)
    if not note:
        return None
    choice: WordChoice = json.loads(note)
    return choice


def weight(notes: Notes, config: Config, *, chunks: Json, embedder: Embedder) -> float | None:
    """The chosen weight, where the settings leave it to the project and the choice was made for this search.

    None where nothing was chosen, and where the default was chosen: both are the same search, with the same key.

    Args:
        notes: The notes with the choice.
        config: The configuration in force.
        chunks: The settings that documents are cut with.
        embedder: The configured embedder.
    """
    choice = last_choice(notes) if searching(config) else None
    if choice is None or choice["recipe"] != recipe(config, chunks=chunks, embedder=embedder.fingerprint):
        return None
    return None if choice["weight"] in (None, choice["default"]) else float(choice["weight"])


def in_force(notes: Notes, config: Config, *, chunks: Json, embedder: Embedder) -> tuple[WordChoice | None, str]:
    """The choice that the configured search uses; None, and the reason for people, where there is none.

    Args:
        notes: The notes with the choice.
        config: The configuration in force.
        chunks: The settings that documents are cut with.
        embedder: The configured embedder.
    """
    if searching(config) is None:
        return None, ""  # the settings say a number
    choice = last_choice(notes)
    if choice is None:
        return None, "the words have their default weight: nothing was chosen yet (`twofold sync` does)"
    if choice["recipe"] != recipe(config, chunks=chunks, embedder=embedder.fingerprint):
        return None, "the words have their default weight: the last choice was for another search (`twofold sync` does)"
    return choice, ""


def keep(notes: Notes, choice: WordChoice) -> None:
    """Store a choice in place of the last one."""
    notes.put(_NOTE, json.dumps(choice, sort_keys=True))


def sketch(contents: Mapping[str, str]) -> list[str]:
    """The smallest digests of the documents; two sketches share about as much as the documents do.

    Bottom-k sampling (Broder 1997).

    Args:
        contents: Document id → digest of its content.
    """
    # \0 stands in no name: no two pairs are written alike.
    pairs = (f"{name}\0{content}".encode() for name, content in contents.items())
    return sorted(hashlib.sha256(pair).hexdigest()[:16] for pair in pairs)[:_SKETCH]


def moved(before: Iterable[str], after: Iterable[str]) -> float:
    """Share of the documents of two sketches that only one of them contains: 0 for equal sketches, 1 for disjoint."""
    earlier, later = set(before), set(after)
    # The smallest of the union alone: of larger digests a sketch lacks even what its documents have.
    union = sorted(earlier | later)[:_SKETCH]
    return 1 - sum(name in earlier and name in later for name in union) / len(union) if union else 0.0
