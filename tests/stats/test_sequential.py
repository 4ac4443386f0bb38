from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.stats import sequential


def run_length(draw: object, *, tolerated: float, threshold: float, most: int, block: int = 50) -> int | None:
    wealth = sequential.START
    for seen in range(0, most, block):
        wealth = sequential.advanced(wealth, draw(block), tolerated=tolerated)  # type: ignore[operator]
        if sequential.statistic(wealth) >= threshold:
            return seen + block
    return None


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.floats(0.01, 0.9),
    st.lists(st.floats(0, 1e6), min_size=len(sequential.START), max_size=len(sequential.START)),
)
def test_wealth_is_never_negative_and_one_more_loss_never_lowers_it(
    values: list[float], tolerated: float, wealth: list[float]
) -> None:
    after = sequential.advanced(wealth, values, tolerated=tolerated)
    assert min(after) >= 0
    worse = sequential.advanced(wealth, [1.0, *values[1:]], tolerated=tolerated)
    assert sequential.statistic(worse) >= sequential.statistic(after) * (1 - 1e-9)


@pytest.mark.parametrize(("mean", "block"), [(0.02, 1), (0.02, 50), (0.5, 10)])
def test_under_the_null_a_look_multiplies_wealth_by_one_on_average(mean: float, block: int) -> None:
    """The property on which the stated run length rests; sampled without replacement, as probes are."""
    rng = np.random.default_rng(1)
    population = (np.arange(400) < 400 * mean).astype(float)
    means = []
    for _ in range(4000):
        look = rng.choice(population, block, replace=False)
        means.append(sequential.advanced([1.0] * len(sequential.STAKES), look, tolerated=mean))
    grown = np.asarray(means) / (1 + block)
    error = grown.std(axis=0) / np.sqrt(len(grown))
    assert np.all(grown.mean(axis=0) <= 1 + 4 * error)


def test_false_alarms_are_as_rare_as_stated() -> None:
    """With an expected run length of at least 2,000, at most half of the runs may end before 1,000 (in fact few do)."""
    rng = np.random.default_rng(2)
    runs = []
    for _ in range(300):
        found = run_length(lambda n: rng.random(n) < 0.05, tolerated=0.05, threshold=2000, most=4000)
        runs.append(found or 4000)
    assert np.mean(runs) >= 2000


def test_a_tenth_that_is_lost_is_found_within_two_hundred_values() -> None:
    rng = np.random.default_rng(3)
    delays = []
    for _ in range(200):
        delays.append(run_length(lambda n: rng.random(n) < 0.1, tolerated=0.02, threshold=2.7e6, most=5000, block=10))
    assert None not in delays
    assert np.median([delay for delay in delays if delay]) <= 200


def test_values_outside_of_their_range_are_refused() -> None:
    for values, tolerated in (([1.5], 0.1), ([-0.1], 0.1), ([float("nan")], 0.1), ([0.5], 0.0)):
        with pytest.raises(ValueError, match="lie in"):
            sequential.advanced(sequential.START, values, tolerated=tolerated)
    assert sequential.advanced(sequential.START, [], tolerated=0.1) == sequential.START


BITS = st.lists(st.integers(0, 1), min_size=1, max_size=60)


@given(st.lists(BITS, min_size=1, max_size=8), st.floats(0.01, 0.9), st.sampled_from([0, 1, 7]))
def test_per_look_and_per_value_are_the_same_bets_in_other_blocks(
    looks: list[list[int]], tolerated: float, block: int
) -> None:
    detector, wealth, over = sequential.MeanDetector(), sequential.START, False
    for values in looks:
        # A detector that is stored between looks goes on as it was.
        stored = json.loads(json.dumps(detector.to_json()))
        detector = sequential.MeanDetector.from_json(stored).after(
            values, tolerated=tolerated, run_length=1e9, block=block
        )
        size = block or len(values)
        for start in range(0, len(values), size):
            wealth = sequential.advanced(wealth, values[start : start + size], tolerated=tolerated)
            over = over or sequential.statistic(wealth) >= 1e9
        if over:
            break
    assert (detector.wealth, detector.alarm) == (wealth, over)
    assert detector.window[1] <= sum(map(len, looks))


def test_a_rise_at_the_end_of_a_long_look_is_seen_per_value_and_a_look_without_values_changes_nothing() -> None:
    look = [0.0] * 2000 + [1.0] * 40
    per_look = sequential.MeanDetector().after(look, tolerated=0.05, run_length=1e6)
    per_value = sequential.MeanDetector().after(look, tolerated=0.05, run_length=1e6, block=1)
    assert (per_look.alarm, per_value.alarm) == (False, True)
    assert per_value.after([], tolerated=0.05, run_length=1e6) == per_value
