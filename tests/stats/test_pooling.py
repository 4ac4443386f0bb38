"""Pooled statistics compared: the jackknife in a column of scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twofold.errors import StudyError
from twofold.stats import intervals, pooling


def f1(items):
    """F1 of (right, predicted) marks: a pooled statistic."""
    hits = sum(right and guess for right, guess in items)
    both = sum(right for right, _ in items) + sum(guess for _, guess in items)
    return 2 * hits / both if both else 1.0


def marks(chance, n, quality):
    right = chance.random(n) < 0.4
    return [(bool(r), bool(r) if chance.random() < quality else not r) for r in right]


def test_the_column_has_the_statistic_as_its_mean_and_the_jackknife_as_its_error():
    chance = np.random.default_rng(1)
    items = marks(chance, 90, 0.8)
    groups = np.repeat(np.arange(30), 3)
    folds = pooling.folds_of(groups)
    scores = pooling.pooled_scores(f1, items, folds)
    assert scores.scores.mean() == pytest.approx(f1(items))
    left_out = [f1([item for item, group in zip(items, groups, strict=True) if group != g]) for g in range(30)]
    se = math.sqrt(29 / 30 * sum((value - np.mean(left_out)) ** 2 for value in left_out))
    sums = np.bincount(folds, scores.scores - scores.scores.mean())
    assert intervals.standard_error(sums, 90) == pytest.approx(se)
    pooled = intervals.pooled(f1, items, groups)
    for name in ("mean", "low", "high", "n"):
        assert getattr(scores.estimate, name) == pytest.approx(getattr(pooled, name))
    assert scores.whole == scores.estimate


def test_of_a_mean_it_is_the_interval_of_a_mean():
    chance = np.random.default_rng(2)
    first, second = chance.random(60), chance.random(60)
    folds = pooling.folds_of(np.arange(60))

    def mean(items):
        return float(np.mean(items))

    columns = [pooling.pooled_scores(mean, list(values), folds).scores for values in (first, second)]
    assert columns[0] == pytest.approx(first)
    weights = {"a - b": np.array([1.0, -1.0])}
    settings = {"joint": False, "resamples": 500}
    ours = pooling.contrasts(np.stack(columns, axis=1), folds, weights, **settings)["a - b"]
    theirs = intervals.contrasts(np.stack([first, second], axis=1), folds, weights, bounded=False, **settings)["a - b"]
    assert (ours.low, ours.mean, ours.high) == pytest.approx((theirs.low, theirs.mean, theirs.high))


def test_what_has_no_answer_counts_as_nothing():
    items = [(True, True)] * 8 + [None] * 2
    scores = pooling.pooled_scores(f1, items, pooling.folds_of(np.arange(10)), failed=2)
    assert scores.estimate.mean == 1
    assert scores.whole.mean == pytest.approx(0.8)
    assert scores.scores.mean() == pytest.approx(0.8)
    assert (scores.estimate.n, scores.whole.n, scores.whole.failed) == (8, 10, 2)
    silent = pooling.pooled_scores(f1, [None] * 4, pooling.folds_of(np.arange(4)))
    assert (silent.whole.mean, silent.whole.low, set(silent.scores.tolist())) == (0, 0, {0.0})
    assert silent.whole.high > 0
    with pytest.raises(StudyError, match=r"gives 1\.5"):
        pooling.pooled_scores(lambda _: 1.5, [(True, True)], pooling.folds_of([0]))


def test_where_nothing_moves_it_the_interval_is_what_may_be_unseen():
    items = [(True, True)] * 20
    folds = pooling.folds_of(np.arange(20))
    column = pooling.pooled_scores(f1, items, folds).scores
    contrast = pooling.contrasts(np.stack([column, column], axis=1), folds, {"d": np.array([1.0, -1.0])}, joint=False)
    unseen = 1 - 0.025 ** (1 / 20)
    assert (contrast["d"].low, contrast["d"].high) == pytest.approx((-unseen, unseen))
    alone = pooling.contrasts(np.stack([column, column], axis=1), np.zeros(20), {"d": np.array([1.0, -1.0])})
    assert (alone["d"].low, alone["d"].high) == (-1, 1)


def test_many_groups_share_folds():
    folds = pooling.folds_of(np.repeat(np.arange(500), 2), seed=3)
    assert len(set(folds.tolist())) == pooling.MOST_FOLDS
    assert (folds[::2] == folds[1::2]).all()


def test_false_differences_are_as_rare_as_the_level_says():
    """Two arms of one quality: 5 % of the intervals may leave out 0; of 120, up to 12 are within chance (p > .99)."""
    chance = np.random.default_rng(5)
    misses = 0
    for _ in range(120):
        folds = pooling.folds_of(np.repeat(np.arange(20), 2))
        quality = chance.uniform(0.6, 0.95)
        columns = [pooling.pooled_scores(f1, marks(chance, 40, quality), folds).scores for _ in range(2)]
        interval = pooling.contrasts(
            np.stack(columns, axis=1), folds, {"d": np.array([1.0, -1.0])}, joint=False, resamples=200
        )["d"]
        misses += interval.low > 0 or interval.high < 0
    assert misses <= 12
