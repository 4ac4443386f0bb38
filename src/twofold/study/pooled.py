"""Arms compared by a statistic of all their answers together, where that decides (`MetricTraits.decides_pooled`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from twofold.examples.questions import Questions
from twofold.plugins.protocols import Metric, Pools
from twofold.plugins.traits import MetricTraits
from twofold.settings.sections import StudySection
from twofold.stats import pooling
from twofold.stats.pooling import PooledScores
from twofold.study.scorer_check import gold_answer
from twofold.types import Answer, Example


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledArms:
    """What decides of arms that are compared by a pooled metric."""

    columns: Mapping[str, Any]
    """Arm → `PooledScores.scores`, NaN where the arm has no answer at all; shape (questions that count,)."""
    folds: Any
    """Fold of each question, shape (questions that count,)."""
    counts: Any
    """Marks of the questions that count, shape (questions,)."""
    pooled: Mapping[str, PooledScores] = field(default_factory=dict)
    """Arm → its statistic; an arm of which every answer failed is left out."""


def is_pooled(metric: Metric) -> bool:
    """Is the metric a statistic of all answers together?"""
    return MetricTraits.of(metric).pooled


def compared(
    metric: Metric, test: Sequence[Example], answers: Mapping[str, Sequence[Answer]], *, section: StudySection
) -> PooledArms:
    """The statistic of every arm, and what each question's group adds to it.

    A question counts where a right answer of it has a score. An answer that failed, or that has no score though the
    question counts (it abstains), is none: an arm gains nothing by declining.

    Args:
        metric: Pooled.
        test: The questions.
        answers: Of each arm that is decided about, to all of them.
        section: [study], with the level of this look.
    """
    counts = np.array([metric.score(example, gold_answer(example)) is not None for example in test], dtype=bool)
    folds = pooling.folds_of(Questions.of(test).groups[counts], seed=section.seed)
    columns: dict[str, Any] = {}
    pooled: dict[str, PooledScores] = {}
    for name, these in answers.items():
        pairs = zip(test, these, counts, strict=True)
        items = [item_of(metric, example, answer) for example, answer, counted in pairs if counted]
        columns[name] = np.full(len(items), np.nan)
        # An arm that only declined has a statistic, 0; one whose answers all failed was not measured.
        if any(answer.failure is None for answer in these):
            lost = sum(answer.failure is not None for answer in these)
            function = cast(Pools, metric).pool
            pooled[name] = pooling.pooled_scores(function, items, folds, level=section.level, failed=lost)
            columns[name] = pooled[name].scores
    return PooledArms(columns=columns, folds=folds, counts=counts, pooled=pooled)


def item_of(metric: Metric, example: Example, answer: Answer) -> tuple[Example, Answer] | None:
    """What a statistic takes in of an answer; None where it is none: it failed, or has no score."""
    if answer.failure is not None or metric.score(example, answer) is None:
        return None
    return example, answer
