"""Training questions for the gaps: made on documents of train-side failures, never on those of held-out questions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path

from twofold.config import Config
from twofold.curation import questions as making
from twofold.errors import StudyError
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.types import Example, Json, Query

FOLDER = "improvement"
"""Folder of the made questions, beside ``data``: what is undone is removed from it."""
_NEAREST = 3
"""Documents beside a failed question from which questions are made, where its own document is held out."""


def path(directory: Path, number: int) -> Path:
    """The file of the questions of a round."""
    return directory / FOLDER / f"gaps-{number:04d}.jsonl"


def values_of(config: Config, number: int) -> Json:
    """The setting that adds the questions of a round to the examples, once."""
    paths = (*config.examples.paths, f"{FOLDER}/gaps-{number:04d}.jsonl")
    return {"examples": {"paths": [*dict.fromkeys(paths)]}}


def unused_number(directory: Path, *, after: int) -> int:
    """The number of the next round: its file is not that of a round of a history that was moved away."""
    number = after + 1
    while path(directory, number).exists():
        number += 1
    return number


def documents(project: Project, failed: Sequence[Example]) -> set[str]:
    """Documents to ask about: those of failed train questions, and the nearest ones to failed dev questions.

    Documents that dev, test or reserve questions are about are left out: a question on them would give away what these
    measure.

    Raises:
        StudyError: a question is not of train or dev.
    """
    splits = project.splits
    train_side = {example.id for example in (*splits.train, *splits.dev)}
    held_out = set(chain.from_iterable(e.sources for e in (*splits.dev, *splits.test, *splits.reserve)))
    chosen: set[str] = set()
    unsourced = []
    for example in failed:
        if example.id not in train_side:
            raise StudyError(
                f"the question {example.id!r} is not one of train or dev: no training question is made for it",
                cure="Make questions for failures of train and dev only.",
            )
        sources = set(example.sources) - held_out
        chosen |= sources
        if not sources:
            unsourced.append(example)
    if unsourced and project.config.documents.paths:
        search = project.workspace.search
        queries = [Query(text=example.question, filter=search.filter) for example in unsourced]
        for retrieval in search.retriever.retrieve(queries, 4 * _NEAREST):
            near = [hit.chunk.span.document for hit in retrieval.hits if hit.chunk.span.document not in held_out]
            chosen.update(list(dict.fromkeys(near))[:_NEAREST])
    return chosen


def make(project: Project, within: Collection[str], *, count: int, progress: Progress) -> list[Example]:
    """Questions on these documents by templates, checked as all made questions are."""
    recipe = making.Recipe(count=count, unanswerable=project.config.tuning.unanswerable)
    with project.writing():
        search, models = project.workspace.search, project.workspace.models
        return list(making.questions(search, models, recipe, within=within, progress=progress).examples)
