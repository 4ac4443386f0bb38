"""Two systems' answers to the same questions compared: scores, and their paired difference with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twofold.answering import scoring
from twofold.answering.system import System
from twofold.config import Config
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest, plain
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Progress
from twofold.stats import intervals
from twofold.store.catalogue import Catalogue
from twofold.study.compose import numbers
from twofold.study.measure import answer_missing
from twofold.types import Example, Json
from twofold.verdict.rule import applies, failures_as_wrong

Scored = tuple[Sequence[float | None], Sequence[bool]]
"""Scores of questions, and which answers failed."""


def improves(difference: Json, margin: float) -> bool:
    """Is a candidate shown to be better, and by what matters? From the record of the difference at its look's level."""
    return bool(difference["low"] > 0 and difference["mean"] >= margin)


def scores_of(
    config: Config,
    catalogue: Catalogue,
    system: System,
    *,
    questions: Sequence[Example],
    splits: Splits,
    progress: Progress,
    label: str,
) -> Scored:
    """The deciding metric of every question, None where there is none; and which answers failed. Answers are kept.

    Args:
        config: The configuration that the system was made under.
        catalogue: Keeps the answers.
        system: Answers; closed afterwards, so that no two models lie in memory together.
        questions: The questions to answer.
        splits: As the metric may learn of them, such as the set of labels.
        progress: Called after each batch.
        label: Name of the system in the progress.
    """
    digests = Questions.of(questions).digests
    try:
        catalogue.systems.put(system.key, system.description)
        # Answers of an interrupted comparison, and of a study with the same system, are not asked for again.
        answered = catalogue.answers.get(system.key)
        missing = [(d, e) for d, e in dict(zip(digests, questions, strict=True)).items() if d not in answered]
        answer_missing(
            catalogue,
            system,
            missing,
            batch=config.generation.batch,
            total=len(questions),
            progress=lambda _, done, total: progress(f"answer {label}", done, total),
        )
    finally:
        system.close()
    all_answers = catalogue.answers.get(system.key, include_failures=True)
    # As a study informs it: then the scores have one key, and neither pays a judge for what the other has.
    part = specs.informed(config.study.decides, (*splits.train, *splits.dev, *splits.test, *splits.reserve))
    answers = [all_answers[d] for d in digests]
    values = scoring.scores(
        catalogue.scores,
        questions,
        answers,
        keys=(system.key, digest("metric", specs.of_part("metrics", part))),
        metric=loading.make("metrics", part.name, part.options),
        name=part.name,
    )
    return values, [a.failure is not None for a in answers]


def compared(config: Config, questions: Sequence[Example], scores: Sequence[Scored], *, level: float) -> Json:
    """``metric``, ``difference``, ``answered`` and ``scores`` of a `Comparison`, at `level`.

    A failed answer counts 0 in the difference, and is in no score.

    Raises:
        StudyError: there is no such question.
    """
    section = config.study
    names = ("candidate", "champion")
    # shape (questions,), bool: the questions that the metric applies to for either model.
    counts = applies(
        {name: values for name, (values, _) in zip(names, scores, strict=True)},
        {name: failed for name, (_, failed) in zip(names, scores, strict=True)},
    )
    groups = Questions.of(questions).groups[counts]
    mine, theirs = (numbers(values)[counts] for values, _ in scores)
    lost, theirs_lost = (int(np.isnan(column).sum()) for column in (mine, theirs))
    settings: Json = {"level": level, "resamples": section.resamples, "seed": section.seed}
    counted = failures_as_wrong({"candidate": mine, "champion": theirs})
    # Columns of `both`, shape (questions, 2): candidate, champion; a failed answer counts 0.
    weights = {"difference": np.array([1.0, -1.0])}
    both = np.column_stack([*counted.values()])
    apart = intervals.contrasts(both, groups, weights, **settings)["difference"]
    answered = apart
    if lost or theirs_lost:
        answered = intervals.contrasts(np.column_stack([mine, theirs]), groups, weights, **settings)["difference"]
    return {
        "metric": section.metric.name,
        "difference": plain(apart.estimate(lost + theirs_lost)),
        "answered": plain(answered.estimate()),
        "scores": {
            "candidate": plain(intervals.estimate(mine, groups, level=level, failed=lost)),
            "champion": plain(intervals.estimate(theirs, groups, level=level, failed=theirs_lost)),
        },
    }
