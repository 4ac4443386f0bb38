"""Statistics of all items together that are no means of scores, in a form in which arms can be compared. Pure.

The delete-a-group jackknife (Kott 2001) says how much each group moves a statistic. Put beside the statistic as a score
of the group's questions, that makes a column whose mean is the statistic, and whose spread between groups is the
jackknife's: the difference of two such columns has the cluster jackknife's standard error of the pooled difference,
groups paired, and everything that compares columns of scores compares statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from twofold.errors import StudyError
from twofold.stats import intervals
from twofold.stats.intervals import Array, Groups, Interval
from twofold.types import Estimate

Item = TypeVar("Item")
MOST_FOLDS = 200
"""Folds of whole groups, at most: the statistic is computed once for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledScores:
    """A statistic of an arm's answers."""

    estimate: Estimate
    """Of the answers that there are."""
    whole: Estimate
    """With questions that have no answer as wrong: the statistic of the others, times their share."""
    scores: Any
    """`whole.mean` and what the question's group adds to it, an array of shape (questions,); their mean is
    `whole.mean`."""


def folds_of(groups: npt.ArrayLike, *, seed: int = 0) -> Groups:
    """The fold of each question: its group, or one of `MOST_FOLDS` random sets of whole groups; shape (questions,)."""
    labels: Groups = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64).reshape(-1)
    count = int(labels.max()) + 1 if len(labels) else 0
    if count > MOST_FOLDS:
        labels = (np.random.default_rng(seed).permutation(count) % MOST_FOLDS)[labels]
    return labels


def pooled_scores(
    function: Callable[[Sequence[Item]], float],
    items: Sequence[Item | None],
    folds: Groups,
    *,
    level: float = 0.95,
    failed: int = 0,
) -> PooledScores:
    """A statistic in [0, 1] with its interval, and what each question's group adds to it.

    Args:
        function: The statistic of items, in [0, 1].
        items: One for each question; None where there is no answer. Without any answer the statistic is 0.
        folds: Fold of each question (`folds_of`), the same for all arms.
        level: Coverage of the intervals.
        failed: How many answers failed, for the record.

    Raises:
        StudyError: the statistic is no number from 0 to 1.
    """
    known = [item for item in items if item is not None]

    def statistic(chosen: Sequence[Item | None]) -> float:
        there = [item for item in chosen if item is not None]
        if not there:
            return 0.0
        value = float(function(there))
        if not 0 <= value <= 1:
            raise StudyError(f"a pooled metric gives {value:g}", cure="Correct the metric: it gives 0 to 1.")
        return value * len(there) / len(chosen)

    count = int(folds.max()) + 1
    value = statistic(items)
    moves = np.zeros(count)  # (folds,)
    if count > 1:
        left_out = np.empty(count)  # (folds,): the statistic without each
        for fold in range(count):
            left_out[fold] = statistic([item for item, mine in zip(items, folds, strict=True) if mine != fold])
        moves = left_out.mean() - left_out
    sizes = np.bincount(folds, minlength=count)
    # So scaled that the standard error of the mean of these scores, by fold, is the jackknife's of the statistic.
    scores = value + (len(items) * (count - 1) / count * moves / sizes)[folds]
    whole = _estimated(value, moves, sizes, n=len(items), level=level, failed=failed)
    estimate = whole
    if 0 < len(known) < len(items):
        places = [fold for item, fold in zip(items, folds, strict=True) if item is not None]
        estimate = intervals.pooled(function, known, places, level=level, failed=failed)
    return PooledScores(estimate=estimate, whole=whole, scores=scores)


def whole_of(scores: Array, folds: Groups, *, level: float, failed: int) -> Estimate:
    """The statistic with its interval again, from the column of `PooledScores.scores`."""
    sizes = np.bincount(folds)
    count, value = len(sizes), float(scores.mean())
    firsts = np.unique(folds, return_index=True)[1]  # all questions of a fold have one score
    moves = (scores[firsts] - value) * sizes * count / (len(scores) * max(1, count - 1))
    return _estimated(value, moves, sizes, n=len(scores), level=level, failed=failed)


def _estimated(value: float, moves: Array, sizes: Groups, *, n: int, level: float, failed: int) -> Estimate:
    count = len(moves)
    if count == 1:
        return Estimate(mean=value, low=0.0, high=1.0, n=n, failed=failed)
    se = math.sqrt((count - 1) / count * float((moves**2).sum()))
    low, high = intervals.wilson(value, se, worth=intervals.kish(sizes), level=level)
    return Estimate(mean=value, low=min(low, value), high=max(high, value), n=n, failed=failed)


def contrasts(
    values: npt.ArrayLike,
    folds: npt.ArrayLike,
    weights: dict[str, Array],
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
    joint: bool = True,
) -> dict[str, Interval]:
    """Intervals of differences of pooled statistics, from the columns of `PooledScores.scores`.

    As `intervals.contrasts` of values without bounds, cut to what a difference can be. Where no fold moves a difference
    (two statistics at their ceiling, say) the jackknife is blind: then what was not seen may be there in a share of the
    folds, as `intervals.contrasts` has it.

    Args:
        values: Shape (questions, arms).
        folds: Fold of each question, shape (questions,).
        weights: Name → weight of every arm.
        level: Coverage.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.
        joint: The whole family at once, or each member alone.
    """
    unbounded = intervals.contrasts(
        values, folds, weights, level=level, resamples=resamples, seed=seed, joint=joint, bounded=False
    )
    tail = (1 - level) / 2 / (len(weights) if joint else 1)
    out = {}
    for name, contrast in unbounded.items():
        weight = np.asarray(weights[name], dtype=float)
        least, most = float(weight[weight < 0].sum()), float(weight[weight > 0].sum())
        low, high = contrast.low, contrast.high
        if not math.isfinite(low) or not math.isfinite(high):
            unseen = 1.0 if contrast.groups < 2 else 1 - tail ** (1 / contrast.worth)
            low, high = (
                contrast.mean - unseen * (contrast.mean - least),
                contrast.mean + unseen * (most - contrast.mean),
            )
        out[name] = replace(contrast, low=max(least, low), high=min(most, high))
    return out
