"""Records of tuned models and of the moves of their aliases, as the catalogue stores them. Pure."""

from __future__ import annotations

from typing import TypedDict

from twofold.types import Json


class Seen(TypedDict):
    """The documents that a model may have read while it learned."""

    everything: bool
    """Were documents that only test questions are about read too?"""
    kept_out: int
    """Number of those documents that were not read."""
    unnamed: int
    """Number of test and reserve questions that name no document, so that theirs may have been read."""


class ModelFacts(TypedDict):
    """The facts about a tuned model that stay in the catalogue when its files are deleted."""

    id: str
    """Content-addressed id, ``model:…``."""
    key: str
    """Key of the artifact."""
    made: str
    """Time, in ISO 8601."""
    bytes: int
    files: dict[str, str]
    """File → sha256, of the files that change answers."""
    method: str
    arm: str
    tuning: str
    """``closed-book`` or ``open-book``."""
    base: Json
    """Provenance of the base model: ``model``, and ``weights``, ``source``, ``licence`` where they are known."""
    template: str
    """Digest of the prompt template."""
    trainer: Json
    """``name``, ``version`` and ``options`` of the trainer."""
    seed: int | None
    data: Json
    """Counts and digests of the examples; see `Learning.manifest`."""
    documents: int
    """Number of documents that were learned from."""
    seen: Seen | None
    """None in older projects."""
    gate: Json | None
    """The forgetting gate's judgement; None where the gate was off."""
    dev: Json | None
    """``metric`` and ``score``, an estimate."""
    merge_back: Json
    """The share of the tuned change that was kept, and why; empty where none was chosen."""
    trained: str
    """Key of the weights before anything was merged back."""
    lineage: Json
    """``from`` (id of the model that this one was to replace), ``new`` and ``gone`` examples; empty for a first one."""
    report: Json
    """The trainer's report without its curves."""


class ModelRecord(ModelFacts):
    """A tuned model as the registry finds it."""

    aliases: list[str]
    here: bool
    """Do its files exist?"""


class AliasMove(TypedDict):
    """A line of the audit log."""

    at: str
    alias: str
    action: str
    """``promote`` or ``rollback``."""
    before: str
    """Id of the model that the alias pointed to; empty for a new alias."""
    after: str
    who: str
    why: str


def read_everything(record: ModelFacts) -> bool:
    """Did the model learn from all documents, those of the test questions too? No study may use such a model."""
    # Records of older projects have no `seen`.
    seen = record.get("seen")
    return seen is not None and seen["everything"]
