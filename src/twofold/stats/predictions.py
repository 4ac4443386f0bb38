"""A mean of few marks by people, sharpened by many predictions of a judge: prediction-powered inference. Pure.

People marked some of the items, a judge predicts all of them. The mean of the predictions is off by as much as the
judge errs, and that is known from the items that both marked (Angelopoulos, Bates, Fannjiang, Jordan & Zrnic 2023)::

    mean of the marks + weight × (mean of all predictions − mean of the predictions that stand beside marks)

Whatever the weight, people decide what is estimated: a judge that errs makes the interval wider, never the mean wrong.
The weight is the one with the smallest variance (PPI++: Angelopoulos, Duchi & Zrnic 2023), from 0, people alone, to 1.
Items of one group are alike, whether marked or not: variance and weight are those of sums over groups, by the
delete-a-group jackknife, in which the weight is chosen anew each time: of few marks it is itself uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.errors import StudyError
from twofold.stats import intervals
from twofold.stats.intervals import SPARSE_GROUPS, Array
from twofold.types import Estimate

FEWEST_GROUPS = 10
"""Marked groups below which no weight is chosen: people alone are the estimate."""
_FOLDS = 200
"""Most folds of the jackknife; more groups than this share them."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A mean of marks with what predictions add to it."""

    estimate: Estimate
    """With the predictions; `n` is the number of marked items."""
    alone: Estimate
    """Of the marks alone."""
    weight: float
    """Of the predictions, from 0 (they add nothing, `estimate` is `alone`) to 1."""
    items: int
    """Items with a prediction, marked or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Sums over each group, arrays of shape (groups,)."""

    marked: Array
    """Number of marked items."""
    marks: Array
    beside: Array
    """Predictions of the marked items."""
    counts: Array
    """Number of items."""
    predictions: Array


def predicted(
    marks: npt.ArrayLike,
    predictions: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
    failed: int = 0,
) -> Predicted:
    """The mean mark of all items, from the marks of some and the predictions of all, with a clustered interval.

    Marked items must be drawn without regard to their marks, as blind items in hashed order are.

    Args:
        marks: In [0, 1], shape (items,); NaN where nobody marked the item.
        predictions: In [0, 1], same shape; NaN where the judge failed: such an item is predicted to be like the others.
        groups: Integer group of each item, same shape; None: every item stands alone.
        level: Coverage wanted.
        failed: Carried into the record.

    Raises:
        StudyError: nobody marked an item, the judge predicted none, or a value lies outside 0 to 1.
    """
    y, f = np.asarray(marks, dtype=float).reshape(-1), np.asarray(predictions, dtype=float).reshape(-1)
    if len(y) != len(f):
        raise StudyError(
            f"{len(y)} marks but {len(f)} predictions", cure="Give one prediction, or NaN, for every item."
        )
    known = np.isfinite(f)
    if not known.any():
        raise StudyError("the judge predicted no item", cure="Look at the judge's failures.")
    if ((f[known] < -_TINY) | (f[known] > 1 + 1e-9)).any():
        raise StudyError("a prediction lies outside 0 to 1", cure="Scale the predictions to 0 to 1.")
    labels = np.arange(len(y)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    there = np.isfinite(y)
    alone = intervals.estimate(y[there], labels[there], level=level, failed=failed)
    items = int(known.sum())
    # Any guess keeps the mean right, for it is corrected by the marks; this one adds nothing to the variance.
    sums = _sums(y, np.where(known, f, f[known].mean()), labels)
    if not _enough(sums):
        return Predicted(estimate=alone, alone=alone, weight=0.0, items=items)
    weight = float(_weights(sums, np.zeros(0, dtype=int))[0])
    if weight <= 0:
        return Predicted(estimate=alone, alone=alone, weight=0.0, items=items)
    mean = float(np.clip(_mean(sums, weight), 0, 1))
    # One degree of freedom less than of people alone: the weight was chosen by the same marks.
    worth = max(2.0, intervals.kish(sums.marked) - 1)
    low, high = intervals.wilson(mean, _standard_error(sums), worth=worth, level=level)
    # A weight that the marks at hand misjudge can widen the interval; people alone are then the better word.
    if high - low >= alone.high - alone.low:
        return Predicted(estimate=alone, alone=alone, weight=0.0, items=items)
    estimate = Estimate(mean=mean, low=min(low, mean), high=max(high, mean), n=alone.n, failed=failed)
    return Predicted(estimate=estimate, alone=alone, weight=weight, items=items)


def _sums(y: Array, f: Array, labels: Any) -> _Sums:
    folds = np.unique(labels, return_inverse=True)[1].reshape(-1)
    total = int(folds.max()) + 1
    if total > _FOLDS:  # whole groups share a fold: the jackknife below is quadratic in their number
        folds = (np.random.default_rng(0).permutation(total) % _FOLDS)[folds]
        total = _FOLDS
    there = np.isfinite(y)

    def summed(values: Array, of: Any) -> Array:
        return np.bincount(of, values, total).astype(float)

    return _Sums(
        marked=summed(np.ones(int(there.sum())), folds[there]),
        marks=summed(y[there], folds[there]),
        beside=summed(f[there], folds[there]),
        counts=summed(np.ones(len(f)), folds),
        predictions=summed(f, folds),
    )


def _enough(sums: _Sums) -> bool:
    """Do the marks tell a standard error? Where few groups have a mark above 0, or below 1, exact bounds alone do."""
    groups = (sums.marked > 0).sum()
    above, below = (sums.marks > _TINY).sum(), (sums.marked - sums.marks > _TINY).sum()
    return bool(groups >= FEWEST_GROUPS and min(above, below) >= min(SPARSE_GROUPS, groups // 2))


def _weights(sums: _Sums, without: Any) -> Array:
    """The weight with the smallest variance, without each of these groups in turn; shape (max(1, len(without)),)."""
    left = without if len(without) else np.array([-1])
    stays = np.arange(len(sums.marked))[None, :] != left[:, None]  # (deletions, groups)

    def centred(values: Array, counts: Array) -> Any:
        total = (stays * counts).sum(axis=1, keepdims=True)
        mean = (stays * values).sum(axis=1, keepdims=True) / total
        return stays * (values - mean * counts) / total  # influence of each group on the mean

    by_marks = centred(sums.marks, sums.marked)
    by_judge = centred(sums.predictions, sums.counts) - centred(sums.beside, sums.marked)
    variance = (by_judge**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = -(by_marks * by_judge).sum(axis=1) / variance
    return np.where(variance > _TINY**2, np.clip(best, 0, 1), 0.0)


def _mean(sums: _Sums, weight: float) -> float:
    marked = sums.marked.sum()
    judge = sums.predictions.sum() / sums.counts.sum() - sums.beside.sum() / marked
    return float(sums.marks.sum() / marked + weight * judge)


def _standard_error(sums: _Sums) -> float:
    """Of the mean, by the jackknife over groups, the weight chosen anew without each."""
    weights = _weights(sums, np.arange(len(sums.marked)))
    marked, counts = sums.marked.sum() - sums.marked, sums.counts.sum() - sums.counts
    judge = (sums.predictions.sum() - sums.predictions) / counts - (sums.beside.sum() - sums.beside) / marked
    means = (sums.marks.sum() - sums.marks) / marked + weights * judge  # (groups,)
    number = len(means)
    return float(np.sqrt((number - 1) / number * ((means - means.mean()) ** 2).sum()))
