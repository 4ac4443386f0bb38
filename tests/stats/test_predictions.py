"""Prediction-powered means: they cover what people would have said of all items, and no judge makes them worse."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import StudyError
from twofold.stats import intervals
from twofold.stats.predictions import Predicted, predicted

_NORMAL = NormalDist()
_MEAN = 0.6
_EDGE = _NORMAL.inv_cdf(1 - _MEAN)
_TRUTH = 1 - _NORMAL.cdf(_EDGE + 0.25) + 0.5 * (_NORMAL.cdf(_EDGE + 0.25) - _NORMAL.cdf(_EDGE - 0.25))
"""Mean mark of all answers there could be."""
_QUALITIES = ("perfect", ".9", ".6", "useless", "constant", "adverse", "generous")


def _worded(latent: Any) -> Any:
    """Marks of 0, ½ and 1 of a latent quality."""
    return np.where(latent > _EDGE + 0.25, 1.0, np.where(latent > _EDGE - 0.25, 0.5, 0.0))


def _drawn(quality: str, marked: int, rng: Any, items: int = 300) -> tuple[Any, Any, Any]:
    """Marks of some items, a judge's predictions of all, groups of two items that are alike."""
    groups = np.repeat(np.arange(items // 2), 2)
    latent = 0.6 * rng.normal(size=items // 2)[groups] + 0.8 * rng.normal(size=items)
    truth = _worded(latent)
    predictions = {
        "perfect": truth,
        "constant": np.full(items, 0.5),
        "adverse": 1 - truth,
        "useless": rng.choice([0, 0.5, 1], items),
        "generous": np.where(rng.random(items) < 0.7, np.minimum(1, truth + 0.5), truth),
    }.get(quality)
    if predictions is None:
        likeness = float(quality)
        predictions = _worded(likeness * latent + np.sqrt(1 - likeness**2) * rng.normal(size=items))
    marks = np.full(items, np.nan)
    chosen = rng.permutation(items)[:marked]
    marks[chosen] = truth[chosen]
    return marks, predictions, groups


def _coverage(quality: str, marked: int, runs: int) -> tuple[float, float]:
    """Share of intervals that cover the truth, and their mean width over that of people alone."""
    rng = np.random.default_rng(marked)
    covered, width, alone = 0, 0.0, 0.0
    for _ in range(runs):
        result = predicted(*_drawn(quality, marked, rng))
        covered += result.estimate.low <= _TRUTH <= result.estimate.high
        width += result.estimate.high - result.estimate.low
        alone += result.alone.high - result.alone.low
    return covered / runs, width / alone


@pytest.mark.parametrize(
    ("quality", "marked"), [("perfect", 20), (".9", 20), (".9", 50), ("useless", 50), ("generous", 100)]
)
def test_intervals_cover_at_their_level_and_are_never_wider_than_those_of_people(quality: str, marked: int) -> None:
    runs = 100
    coverage, width = _coverage(quality, marked, runs)
    assert coverage >= 0.95 - 2.5 * (0.95 * 0.05 / runs) ** 0.5
    assert width <= 1
    if quality in ("perfect", ".9", "generous"):
        assert width < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("marked", [20, 50, 100])
@pytest.mark.parametrize("quality", _QUALITIES)
def test_intervals_cover_for_judges_of_every_quality(quality: str, marked: int) -> None:
    runs = 1000
    coverage, width = _coverage(quality, marked, runs)
    assert coverage >= 0.95 - 2.5 * (0.95 * 0.05 / runs) ** 0.5
    assert width <= 1


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_judge_widens_the_interval_and_a_constant_one_changes_nothing(data: st.DataObject) -> None:
    items = data.draw(st.integers(2, 60))
    words = st.sampled_from([0.0, 0.5, 1.0])
    marks = np.array(data.draw(st.lists(words | st.just(float("nan")), min_size=items, max_size=items)))
    marks[0] = 0.5  # somebody marked something
    predictions = np.array(data.draw(st.lists(words | st.just(float("nan")), min_size=items, max_size=items)))
    predictions[0] = 1.0
    groups = np.array(data.draw(st.lists(st.integers(0, 20), min_size=items, max_size=items)))
    result = predicted(marks, predictions, groups)
    there = np.isfinite(marks)
    alone = intervals.estimate(marks[there], groups[there])
    assert result.alone == alone
    assert 0 <= result.estimate.low <= result.estimate.mean <= result.estimate.high <= 1
    assert result.estimate.high - result.estimate.low <= alone.high - alone.low + 1e-12
    assert 0 <= result.weight <= 1
    same = predicted(marks, np.full(items, 0.5), groups)
    assert (same.estimate, same.weight) == (alone, 0.0)


def test_the_order_of_the_items_and_the_names_of_the_groups_change_nothing() -> None:
    marks, predictions, groups = _drawn(".9", 60, np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(len(marks))
    first, second = (
        predicted(marks, predictions, groups),
        predicted(marks[order], predictions[order], 900 - groups[order]),
    )
    assert first.estimate.mean == pytest.approx(second.estimate.mean)
    assert first.estimate.low == pytest.approx(second.estimate.low)
    assert first.weight > 0.3


def test_a_generous_judge_does_not_raise_the_mean() -> None:
    """The judge's own mean lies far off; the one with marks lies where people's does."""
    rng = np.random.default_rng(3)
    means = [predicted(*_drawn("generous", 50, rng)).estimate.mean for _ in range(60)]
    raw = _drawn("generous", 50, rng)[1].mean()
    assert raw > _TRUTH + 0.1
    assert float(np.mean(means)) == pytest.approx(_TRUTH, abs=0.025)


def test_many_groups_share_folds() -> None:
    rng = np.random.default_rng(4)
    marks, predictions, groups = _drawn(".9", 300, rng, items=1200)
    result = predicted(marks, predictions, groups)
    assert result.estimate.low < _TRUTH < result.estimate.high
    assert result.weight > 0.3


@pytest.mark.parametrize(
    ("marks", "predictions", "problem"),
    [
        ([np.nan, np.nan], [1.0, 0.0], "no question has a score"),
        ([1.0, np.nan], [np.nan, np.nan], "the judge predicted no item"),
        ([1.0, 0.5], [2.0, 0.0], "a prediction lies outside 0 to 1"),
        ([1.0, 0.5], [1.0], "2 marks but 1 predictions"),
    ],
)
def test_what_cannot_be_estimated_is_refused(marks: Any, predictions: Any, problem: str) -> None:
    with pytest.raises(StudyError, match=problem):
        predicted(marks, predictions)


def test_few_marked_groups_are_left_to_people() -> None:
    marks = np.array([1.0, 0.0, 0.5, 1.0, *[np.nan] * 40])
    result = predicted(marks, np.where(np.isfinite(marks), marks, 0.5))
    assert isinstance(result, Predicted)
    assert (result.estimate, result.weight, result.items) == (result.alone, 0.0, 44)
