"""Training questions for the gaps: made on documents of train-side failures, never on those of held-out questions."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from twofold.config import Config
from twofold.curation import questions as making
from twofold.errors import StudyError, TooFewExamples
from twofold.examples.leaks import bare
from twofold.indexing.erasure import GAPS
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.types import Example, Json, Query

_NEAREST = 3
"""Documents beside a failed question from which questions are made, where its own document is held out."""


_DRAWS = 4
"""Times that each passage is asked about at most; more would ask for nearly the same words."""


def path(directory: Path, number: int) -> Path:
    """The file of the questions of a round, beside ``data``; it is removed with a round that is undone."""
    return directory / GAPS / f"gaps-{number:04d}.jsonl"


def values_of(config: Config, number: int) -> Json:
    """The setting that adds the questions of a round to the examples, once."""
    paths = (*config.examples.paths, f"{GAPS}/gaps-{number:04d}.jsonl")
    return {"examples": {"paths": [*dict.fromkeys(paths)]}}


def unused_number(directory: Path, *, after: int) -> int:
    """The number of the next round: its file is not that of a round of a history that was moved away."""
    number = after + 1
    while path(directory, number).exists():
        number += 1
    return number


def count(failed: int) -> int:
    """Number of questions to make for so many failed ones: two for each, and enough to be learned from."""
    return max(20, 2 * failed)


def documents(project: Project, failed: Sequence[Example]) -> set[str]:
    """Documents to ask about: those of failed train questions, and the nearest ones to failed dev questions.

    Documents that dev, test or reserve questions are about are left out, and so are their copies and what holds one or
    stands in one: a question on them would give away what these measure.

    Raises:
        StudyError: a question is not of train or dev.
    """
    splits = project.splits
    train_side = {example.id for example in (*splits.train, *splits.dev)}
    held_out = splits.related((*splits.dev, *splits.test, *splits.reserve))
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
    if unsourced and (project.config.documents.paths or project.config.sources):
        search = project.workspace.search
        queries = [Query(text=example.question, filter=search.filter) for example in unsourced]
        for retrieval in search.retriever.retrieve(queries, 4 * _NEAREST):
            near = [hit.chunk.span.document for hit in retrieval.hits if hit.chunk.span.document not in held_out]
            chosen.update(list(dict.fromkeys(near))[:_NEAREST])
    return chosen


def require_same_questions(project: Project, changed: Project) -> None:
    """Refuse made questions that would move others between train and what measures.

    Args:
        project: Without the made questions.
        changed: The same project with them.

    Raises:
        StudyError: another question is one of dev, test or reserve.
    """
    for name, before, after in (
        ("dev", project.splits.dev, changed.splits.dev),
        ("test", project.splits.test, changed.splits.test),
        ("reserve", project.splits.reserve, changed.splits.reserve),
    ):
        # Fewer may be left: where their maker made questions for the test, too, it now writes for training alone.
        if not set(after.digests) <= set(before.digests):
            raise StudyError(
                f"with the made questions the {name} split has other questions, so that nothing would be proven",
                cure="Report this with `twofold --version`; the questions were removed again.",
            )


def make(project: Project, within: Collection[str], *, number: int, progress: Progress) -> list[Example]:
    """Questions on these documents by templates, checked as all made questions are.

    A draw asks about a passage once. Few passages are drawn from several times, for other sentences of theirs.

    Raises:
        TooFewExamples: no passage has a sentence to ask about.
    """
    share = project.config.tuning.unanswerable
    answerable: list[Example] = []
    unanswerable: list[Example] = []
    with project.writing():
        search, models = project.workspace.search, project.workspace.models
        for seed in range(_DRAWS):
            left = number - len(answerable) - len(unanswerable)
            recipe = making.Recipe(count=left, unanswerable=share, seed=seed)
            try:
                drawn = making.questions(search, models, recipe, within=within, progress=progress).examples
            except TooFewExamples:
                if not answerable:
                    raise
                continue  # this draw has hit no sentence of the few passages; what others have made stays
            before = {bare(example.question) for example in (*answerable, *unanswerable)}
            fresh = [_named(example, seed) for example in drawn if bare(example.question) not in before]
            answerable += [example for example in fresh if example.answerable]
            names = {example.id for example in answerable}
            # Without the question that it was made from, an unanswerable one would not be for training alone, and move
            # others. Each draw alters the same questions otherwise: their share would grow with the draws.
            most = math.ceil(len(answerable) * share / (1 - share)) - len(unanswerable)
            altered = [example for example in fresh if not example.answerable and example.parent in names]
            unanswerable += altered[: max(0, most)]
            if len(answerable) + len(unanswerable) >= number:
                break
    return [*answerable, *unanswerable]


def _named(example: Example, seed: int) -> Example:
    """The question under a name that another draw has not: names are made of passage and kind."""
    if not seed:
        return example
    parent = f"{example.parent}/{seed}" if example.parent else example.parent
    return replace(example, id=f"{example.id}/{seed}", parent=parent)
