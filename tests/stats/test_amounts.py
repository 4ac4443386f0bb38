"""Means of amounts: their intervals cover, and sums and differences follow from one covariance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.stats.amounts import Amount, moments


def test_a_difference_of_two_columns_is_the_paired_difference():
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 50.0, size=(200, 2)) + rng.gamma(2.0, 80.0, size=(200, 1))
    groups = rng.integers(0, 40, 200)
    both, alone = moments(values, groups), moments(values[:, :1] - values[:, 1:], groups)
    paired, direct = both.sum([1, -1], level=0.95), alone.sum([1], level=0.95)
    assert (paired.mean, paired.low, paired.high) == pytest.approx((direct.mean, direct.low, direct.high))
    # Questions that are long for one are long for the other: paired, the difference is known better.
    assert paired.high - paired.low < both.sum([1, 0], level=0.95).high - both.sum([1, 0], level=0.95).low


@given(st.lists(st.floats(0.1, 1e4), min_size=3, max_size=3), st.floats(0.01, 100.0))
@settings(max_examples=50, deadline=None)
def test_sums_are_linear_and_intervals_contain_their_mean(weights, factor):
    taken = moments(np.random.default_rng(1).uniform(size=(60, 3)) * [1, 100, 0.01], np.arange(60) // 3)
    amount, scaled = taken.sum(weights, level=0.9), taken.sum([factor * w for w in weights], level=0.9)
    assert amount.low <= amount.mean <= amount.high
    assert scaled.mean == pytest.approx(factor * amount.mean)
    assert scaled.high - scaled.mean == pytest.approx(factor * (amount.high - amount.mean), rel=1e-6)
    assert taken.sum(weights, level=0.99).high > amount.high


def test_the_interval_covers_the_true_mean_of_skewed_grouped_amounts():
    """At a nominal 95 %, 400 draws of 40 groups of lognormal amounts: coverage within what chance allows."""
    rng, covered = np.random.default_rng(2), 0
    groups = np.repeat(np.arange(40), 4)
    for _ in range(400):
        by_group = rng.lognormal(4.0, 0.4, 40)
        values = by_group[groups] * rng.lognormal(0.0, 0.3, 160)
        found = moments(values[:, None], groups).sum([1.0], level=0.95)
        covered += found.low <= math.exp(4.0 + 0.08 + 0.045) <= found.high
    assert covered / 400 >= 0.91


def test_one_group_tells_no_interval_and_nothing_of_an_amount_is_nothing():
    alone = moments([[1.0], [3.0]], ["a", "a"]).sum([1.0], level=0.95)
    assert (alone.mean, alone.low, alone.high) == (2.0, -math.inf, math.inf)
    assert alone.times(0.0) == Amount(mean=0.0, low=0.0, high=0.0)


def test_an_amount_that_no_question_has_spoils_no_other():
    taken = moments([[1.0, math.nan], [2.0, math.nan], [3.0, math.nan]], ["a", "b", "c"])
    assert taken.sum([1.0, 0.0], level=0.95).mean == 2.0
    assert math.isnan(taken.sum([1.0, 1.0], level=0.95).mean)


def test_an_amount_of_one_group_alone_has_no_interval():
    taken = moments([[1.0, 5.0], [2.0, 7.0], [3.0, math.nan], [5.0, math.nan]], ["a", "a", "b", "c"])
    alone = taken.sum([0.0, 1.0], level=0.95)
    assert (alone.mean, alone.low, alone.high) == (6.0, -math.inf, math.inf)
    assert taken.sum([1.0, 1.0], level=0.95).high == math.inf
    assert math.isfinite(taken.sum([1.0, 0.0], level=0.95).high)


def test_an_amount_of_two_groups_varies_as_if_there_were_no_others():
    there = moments([[5.0], [7.0]], ["a", "b"])
    among = moments([[5.0], [7.0], *([math.nan] for _ in range(8))], list("abcdefghij"))
    assert among.covariance[0, 0] == pytest.approx(there.covariance[0, 0])
