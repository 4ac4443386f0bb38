"""Answers kept in the catalogue: what a system has answered, in whatever process, it does not answer again."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.answering import System
from twofold.dataset import example_digest
from twofold.plugins import Progress
from twofold.store.catalogue import Catalogue
from twofold.types import Answer, Example

_BATCH = 64
"""Answers made and committed at a time."""


def missing(catalogue: Catalogue, key: str, asked: Sequence[Example]) -> list[Example]:
    """The examples without an answer under this key; failed ones are tried again."""
    held = catalogue.answers(key)
    return [example for example in asked if example_digest(example) not in held]


def answered(
    catalogue: Catalogue, key: str, asked: Sequence[Example], *, system: System, progress: Progress, stage: str
) -> list[Answer]:
    """The system's answers, in order, those missing made now; a failed one carries its `Failure`.

    Args:
        catalogue: Keeps them.
        key: Names the system, and what else decides its answers.
        asked: What.
        system: Answers.
        progress: Told of `stage` after each batch.
        stage: What it is for.
    """
    todo = missing(catalogue, key, asked)
    if todo:
        progress(stage, len(asked) - len(todo), len(asked))
    for start in range(0, len(todo), _BATCH):
        part = todo[start : start + _BATCH]
        answers = system.answer(part)
        catalogue.put_answers(key, [(example_digest(e), a) for e, a in zip(part, answers, strict=True)])
        progress(stage, len(asked) - len(todo) + start + len(part), len(asked))
    held = catalogue.answers(key, include_failures=True)
    return [held[example_digest(example)] for example in asked]
