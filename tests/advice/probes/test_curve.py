"""The extrapolation of scores after short trainings: its form, and that its interval holds what it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.advice.probes.curve import EXPONENTS, TRAINING, predicted, weights_of
from twofold.stats.intervals import Array

SIZES = (16, 32, 64)


@pytest.mark.parametrize("exponent", [value for value in EXPONENTS if value])
def test_a_power_law_of_that_exponent_is_continued_exactly(exponent: float) -> None:
    curve = [0.7 - np.sign(exponent) * size**-exponent for size in (*SIZES, 256)]
    assert weights_of(SIZES, 256, exponent) @ curve[:3] == pytest.approx(curve[3])


def test_equal_gains_a_doubling_are_continued_by_the_exponent_zero() -> None:
    assert weights_of(SIZES, 256, 0.0) @ [0.1, 0.2, 0.3] == pytest.approx(0.5)


@given(st.sampled_from(EXPONENTS), st.integers(17, 4096))
def test_a_flat_curve_stays_flat(exponent: float, at: int) -> None:
    assert weights_of(SIZES, at, exponent).sum() == pytest.approx(1.0)


def power(size: float) -> float:
    return 0.85 - 1.5 * size**-0.5


def saturating(size: float) -> float:
    return 0.6 - 0.4 * math.exp(-size / 20)


def logistic(size: float) -> float:
    return 0.1 + 0.6 / (1 + math.exp(-2 * math.log(size / 90)))


def scored(chance: np.random.Generator, truth: Callable[[float], float], count: int) -> Array:
    """Scores of the same dev questions after three trainings, which differ by the noise of their seeds, too."""
    means = [truth(size) + chance.normal(0, TRAINING) for size in SIZES]
    alike = chance.random((count, 1))
    drawn = np.where(chance.random((count, 3)) < 0.7, alike, chance.random((count, 3)))
    return (drawn < np.clip(means, 0.01, 0.99)).astype(float)


@pytest.mark.parametrize("truth", [power, saturating, logistic, lambda size: 0.4], ids=["power", "sat", "log", "flat"])
@pytest.mark.parametrize(("at", "over"), [(128, 0), (256, 128)])
def test_the_interval_has_the_truth_in_it(truth: Callable[[float], float], at: int, over: int) -> None:
    """Also where the curve is none of the form: what saturates sooner or rises later."""
    chance, hits = np.random.default_rng(3), 0
    expected = truth(at) - (truth(over) if over else 0.0)
    for _ in range(12):
        scores = scored(chance, truth, 60)
        estimate = predicted(scores, SIZES, np.arange(60), at=at, over=over)
        hits += estimate.low <= expected <= estimate.high
    assert hits >= 10, "of twelve; 95 % are eleven"


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([64, 200]), st.booleans())
def test_scores_stay_scores_and_gains_gains(seed: int, at: int, gain: bool) -> None:
    scores = scored(np.random.default_rng(seed), power, 12)
    estimate = predicted(scores, SIZES, np.arange(12) // 2, at=2 * at if gain else at, over=at if gain else 0)
    assert (-1 if gain else 0) <= estimate.low <= estimate.mean <= estimate.high <= 1


def test_a_failed_answer_leaves_its_question_out() -> None:
    scores = scored(np.random.default_rng(1), power, 30)
    scores[4, 1] = np.nan
    assert predicted(scores, SIZES, np.arange(30), at=64).n == 29
