"""A statistic of several means of one sample: its value, its interval, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import StudyError
from twofold.stats.intervals import Array
from twofold.stats.joint import joint


def product(means: Mapping[str, Array]) -> Array:
    return means["a"] * means["b"]


def sample(chance: np.random.Generator, groups: int, shares: tuple[float, float]) -> tuple[Array, dict[str, Array]]:
    """Questions of `groups` documents, one to three each, of which those of one document are alike."""
    labels = np.repeat(np.arange(groups), chance.integers(1, 4, size=groups))
    columns = {}
    for name, share in zip("ab", shares, strict=True):
        of_group = chance.beta(4 * share, 4 * (1 - share), size=groups)
        columns[name] = (chance.random(len(labels)) < of_group[labels]).astype(float)
    return labels, columns


def test_the_value_is_that_of_the_means_of_questions_that_have_one() -> None:
    columns = {"a": [1.0, 0.0, 1.0, np.nan], "b": [0.5, 0.5, 0.5, 0.5]}
    assert joint(columns, [0, 1, 2, 3], product).mean == pytest.approx(2 / 3 * 0.5)


@pytest.mark.parametrize(("groups", "shares"), [(8, (0.5, 0.6)), (20, (0.9, 0.95)), (50, (0.3, 0.8))])
def test_the_interval_has_the_truth_in_it_as_often_as_it_says(groups: int, shares: tuple[float, float]) -> None:
    chance, hits = np.random.default_rng(5), 0
    for _ in range(100):
        labels, columns = sample(chance, groups, shares)
        estimate = joint(columns, labels, product, resamples=300)
        hits += estimate.low <= shares[0] * shares[1] <= estimate.high
    assert hits >= 91, "two standard errors below 95 of 100"


def test_a_share_that_never_varies_still_has_an_interval() -> None:
    """Twenty questions that are all right show no more than that few are wrong."""
    estimate = joint({"a": np.ones(20), "b": np.ones(20)}, np.arange(20), product)
    assert (estimate.mean, estimate.high) == (1.0, 1.0)
    assert 0.8 < estimate.low < 0.98


def test_one_group_says_nothing_of_others() -> None:
    estimate = joint({"a": [1.0, 0.0], "b": [1.0, 1.0]}, [3, 3], product, reach=(-1.0, 1.0))
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, -1.0, 1.0)


def test_means_that_no_question_has_are_refused() -> None:
    with pytest.raises(StudyError):
        joint({"a": [np.nan, np.nan], "b": [1.0, 1.0]}, [0, 1], product)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**16))
def test_the_ends_lie_around_the_value_and_within_reach(groups: int, seed: int) -> None:
    labels, columns = sample(np.random.default_rng(seed), groups, (0.6, 0.7))
    estimate = joint(columns, labels, product, resamples=50)
    assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1
