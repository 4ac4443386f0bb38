"""Intervals that include how much training runs differ: they hold their coverage, however few runs there are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.stats import intervals, repeats
from twofold.stats.distributions import chi_square_below, chi_square_quantile
from twofold.types import Estimate

PAIR = {"ft - rag": np.array([-1.0, 1.0])}


def worlds(rng: np.random.Generator, runs: int, questions: int, seed_sd: float) -> np.ndarray:
    """Scores of rag and ft, shape (runs, questions, 2), that are right or wrong; in the long run ft gains nothing."""
    level = rng.normal(0.6, seed_sd, size=(runs, 1))
    # A question is easy or hard for every arm and run.
    ease = rng.normal(0, 0.25, size=questions)
    tuned = rng.random((runs, questions)) < np.clip(level + ease, 0, 1)
    plain = np.tile(rng.random(questions) < np.clip(0.6 + ease, 0, 1), (runs, 1))
    return np.stack([plain, tuned], axis=2).astype(float)


@pytest.mark.parametrize("runs", [2, 3, 5])
@pytest.mark.parametrize("seed_sd", [0.01, 0.06])
def test_an_interval_with_the_runs_in_it_holds_its_level(runs: int, seed_sd: float) -> None:
    rng = np.random.default_rng(runs)
    inside, alone = 0, 0
    simulations = 50
    for _ in range(simulations):
        scores = worlds(rng, runs, 60, seed_sd)
        mean = scores.mean(axis=0)
        questions = intervals.contrasts(mean, None, PAIR, resamples=200, joint=False)
        both = repeats.widened(questions, PAIR, scores, level=0.95)["ft - rag"]
        inside += both.low <= 0 <= both.high
        alone += questions["ft - rag"].low <= 0 <= questions["ft - rag"].high
    # 95 % less two standard errors of so many simulations.
    assert inside / simulations >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / simulations)
    assert inside >= alone


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_student_and_the_quadrature_cover_at_any_ratio_of_the_variances(runs: int) -> None:
    # The two variances as χ², the mean as normal: what the interval is made of, without the scores.
    rng = np.random.default_rng(1)
    draws, freedom = 40_000, 30
    for share in (0.02, 0.2, 0.5, 0.8, 0.98):
        questions = np.sqrt((1 - share) * rng.chisquare(freedom, draws) / freedom) * 2.0423  # t(.975; 30)
        z = rng.normal(size=draws)
        seeds = np.sqrt(share * rng.chisquare(runs - 1, draws) / (runs - 1))
        # `half_width` of values with that standard error of their mean
        unit = repeats.half_width(np.arange(runs), level=0.95) / (np.std(np.arange(runs), ddof=1) / math.sqrt(runs))
        assert (np.abs(z) <= np.hypot(questions, unit * seeds)).mean() >= 0.948


def test_runs_that_score_alike_change_no_interval() -> None:
    scores = np.tile(worlds(np.random.default_rng(0), 1, 40, 0.0), (3, 1, 1))
    questions = intervals.contrasts(scores[0], None, PAIR, resamples=200)
    assert repeats.widened(questions, PAIR, scores, level=0.95) == questions
    value = Estimate(mean=0.5, low=0.4, high=0.6, n=9)
    assert repeats.widened_estimate(value, [0.5, 0.5], level=0.95) == value


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0.8, 0.99))
def test_an_interval_only_grows_and_stays_within_what_can_be(values: list[float], level: float) -> None:
    mean = float(np.mean(values))
    value = Estimate(mean=mean, low=max(0.0, mean - 0.1), high=min(1.0, mean + 0.1), n=9)
    wide = repeats.widened_estimate(value, values, level=level)
    assert 0 <= wide.low <= value.low + 1e-12
    assert value.high - 1e-12 <= wide.high <= 1
    assert wide.mean == mean


@pytest.mark.parametrize("joint", [False, True])
def test_p_is_below_the_level_left_exactly_where_the_interval_leaves_out_0(joint: bool) -> None:
    rng = np.random.default_rng(5)
    sides = set()
    # A second contrast, so that the family has two members.
    family = {**PAIR, "rag - ft": -PAIR["ft - rag"]}
    for _ in range(40):
        scores = worlds(rng, 3, 50, 0.05)
        scores[:, :, 1] = np.minimum(1, scores[:, :, 1] + (rng.random(50) < rng.random()) * 0.7)
        questions = intervals.contrasts(scores.mean(axis=0), None, family, resamples=200, joint=joint)
        both = repeats.widened(questions, family, scores, level=0.95, joint=joint)["ft - rag"]
        outside = both.low > 0 or both.high < 0
        assert (both.p <= 0.05 + 1e-9) == outside
        assert both.p >= questions["ft - rag"].p
        sides.add(outside)
    assert sides == {True, False}


def test_no_run_is_better_than_an_arm_that_has_everything_right() -> None:
    rng = np.random.default_rng(3)
    runs = np.ones((2, 20, 2))
    runs[0, :, 1], runs[1, :, 1] = rng.random(20) < 0.9, rng.random(20) < 0.5
    means = runs.mean(axis=0)
    questions = intervals.contrasts(means, None, PAIR, resamples=200, joint=False)
    alone = questions["ft - rag"]
    both = repeats.widened(questions, PAIR, runs, level=0.95)["ft - rag"]
    room = -alone.mean
    assert both.high == pytest.approx(alone.mean + math.hypot(alone.high - alone.mean, room))
    assert both.high < 0.5
    assert both.low == -1, "two runs say little of how much worse it may be"


def test_the_spread_of_runs_has_the_interval_of_a_standard_deviation() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        value = repeats.spread(rng.normal(0.5, 0.02, size=3))
        inside += value.low <= 0.02 <= value.high
    assert 0.92 <= inside / 400 <= 0.98
    assert repeats.spread([0.5, 0.5, 0.5]) == Estimate(mean=0.0, low=0.0, high=0.0, n=3)


@pytest.mark.parametrize(
    ("freedom", "upper", "lower"), [(1, 5.0239, 0.00098), (2, 7.3778, 0.0506), (9, 19.0228, 2.7004)]
)
def test_quantiles_of_chi_square_are_those_of_the_tables(freedom: int, upper: float, lower: float) -> None:
    assert chi_square_quantile(0.975, freedom) == pytest.approx(upper, abs=1e-4)
    assert chi_square_quantile(0.025, freedom) == pytest.approx(lower, abs=1e-4)
    assert chi_square_below(chi_square_quantile(0.5, freedom), freedom) == pytest.approx(0.5)
    assert chi_square_below(0.0, freedom) == 0
