"""Bets against a plain reference; false crowns, power and saving of races; what looks and names may not change."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.stats import betting

LAMBDAS = (0.04, 0.08, 0.12, 0.18, 0.25, 0.35, 0.45, 0.6, 0.75, 0.9)


def plainly(differences: list[float], sizes: list[int]) -> list[float]:
    """The wealth after each group, as the definition says it, one bet and one group at a time."""
    wealth = [1.0] * len(LAMBDAS)
    out = []
    for difference, n in zip(differences, sizes, strict=True):
        for place, share in enumerate(LAMBDAS):
            stake = min(0.95, share * n / (1 + (n - 1) * 0.2))
            wealth[place] *= 1 + stake * difference
        out.append(sum(wealth) / len(wealth))
    return out


def study(seed: int, *, groups: int = 60, arms: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Group means and sizes of a study in which arms differ at random."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, groups)
    means = rng.uniform(0.1, 0.8, arms)
    return rng.binomial(sizes[:, None], means) / sizes[:, None], sizes


def looked(table: np.ndarray, sizes: np.ndarray, ends: list[int], *, alpha: float = 0.05) -> betting.Race:
    race = betting.Race(sizes, arms=table.shape[1], alpha=alpha)
    answered = np.full(table.shape, np.nan)
    for end in ends:
        answered[:end] = table[:end]
        race.look(answered)
    return race


@pytest.mark.parametrize("seed", range(6))
def test_the_wealth_is_that_of_the_definition(seed: int) -> None:
    table, sizes = study(seed, groups=25)
    race = looked(table, sizes, list(range(1, 26)))
    for one, other in itertools.permutations(range(4), 2):
        wealth = plainly((table[:, one] - table[:, other]).tolist(), sizes.tolist())
        assert math.exp(race.peaks[one, other]) == pytest.approx(max(1.0, *wealth))
        assert race.shown[one, other] == (max(wealth) >= 3 / 0.05)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.sets(st.integers(1, 59), max_size=5))
def test_what_is_shown_stays_shown_and_has_an_interval_above_0(seed: int, cuts: set[int]) -> None:
    table, sizes = study(seed)
    ends = [*sorted(cuts), 60]
    shown = np.zeros((4, 4), dtype=bool)
    for number in range(1, len(ends) + 1):
        race = looked(table, sizes, ends[:number])
        assert (race.shown | ~shown).all()
        shown = race.shown
    for one, other in itertools.permutations(range(4), 2):
        low, high = race.difference(one, other)
        assert low <= high
        assert (low > 0) == bool(shown[one, other])
        back = race.difference(other, one)
        assert (low, high) == pytest.approx((-back[1], -back[0]), abs=1e-9)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_other_numbers_of_the_arms_change_no_bet(seed: int, order: list[int]) -> None:
    table, sizes = study(seed)
    ends = [20, 40, 60]
    race, other = looked(table, sizes, ends), looked(table[:, order], sizes, ends)
    assert other.peaks == pytest.approx(race.peaks[np.ix_(order, order)])
    assert order[other.standing().leader] == race.standing().leader
    assert [other.mean(place, level=0.95) for place in range(4)] == [race.mean(arm, level=0.95) for arm in order]


def test_early_an_arm_must_beat_all_others_and_at_the_end_only_not_lie_behind() -> None:
    sizes = np.ones(80, dtype=int)
    table = np.zeros((80, 3))
    table[:, 1:] = 1.0  # two arms that are right throughout, and a simple one that never is
    race = looked(table, sizes, [40, 80])
    assert race.standing().crowned is None
    assert race.standing(last=True).crowned == 1, "the simpler of the two"
    assert looked(table[:, :2], sizes, [40]).standing().crowned == 1
    worse = looked(table[:, [1, 0]], sizes, [40])
    assert worse.standing().crowned == 0, "the simplest arm wins where it beats every other one"
    assert looked(table[:, [1, 2]], sizes, [80]).standing(last=True).crowned is None, "a tie crowns nobody"


def test_an_arm_that_may_not_be_chosen_need_not_be_beaten() -> None:
    sizes = np.ones(40, dtype=int)
    table = np.zeros((40, 3))
    table[:, [0, 2]] = 1.0  # the simplest arm is as good as the last one, and no contender
    race = betting.Race(sizes, arms=3, alpha=0.05, contenders=(1, 2))
    race.look(table)
    assert race.standing().crowned == 2
    assert looked(table, sizes, [40]).standing().crowned is None


def test_a_beaten_arm_is_asked_no_more_and_answers_later_when_another_arm_leads() -> None:
    sizes = np.ones(120, dtype=int)
    table = np.zeros((120, 3))
    table[:14, 0] = 1.0  # leads first, and is shown better than the last arm, which is never right until then
    table[:, 1] = [1.0, 0.0] * 60  # leads after 30 groups, and is not shown better than the last arm
    table[10:, 2] = 1.0
    first = betting.simulated(table[:20], sizes[:20], [10, 20], alpha=0.05)
    assert first.answers == (20, 20, 10)
    run = betting.simulated(table, sizes, list(range(10, 121, 10)), alpha=0.05)
    assert run.answers[2] == run.questions
    assert run.crowned == 2


def test_a_clear_gain_is_found_and_most_answers_are_saved() -> None:
    rng, won, answers = np.random.default_rng(5), 0, []
    for _ in range(40):
        table, sizes = world(rng, (0.3, 0.3, 0.3, 0.3, 0.5), groups=300, size=1, alike=0.72)
        run = betting.simulated(table, sizes, list(range(30, 301, 30)), alpha=0.025)
        won += run.crowned == 4
        answers.append(sum(run.answers) / 1500)
    assert won >= 0.95 * 40
    assert np.median(answers) < 0.5


def test_confidence_sequences_hold_the_truth_at_every_look() -> None:
    rng, missed, number = np.random.default_rng(6), 0, 60
    means = (0.3, 0.45)
    for _ in range(number):
        table, sizes = world(rng, means, groups=90, size=2, alike=0.4)
        race = looked(table, sizes, list(range(3, 91, 3)), alpha=0.05)  # 1 / .05 on each side
        low, high = race.difference(1, 0)
        ends = [race.mean(arm, level=0.9) for arm in (0, 1)]
        missed += not low <= 0.15 <= high or any(not a <= truth <= b for (a, b), truth in zip(ends, means, strict=True))
    assert missed <= 0.1 * number


def world(
    rng: np.random.Generator, means: tuple[float, ...], *, groups: int, size: int, alike: float
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong by luck that arms share on a question, and questions of a group with each other."""
    n = groups * size
    mine, common = rng.uniform(size=(n, len(means))), np.repeat(rng.uniform(size=groups), size)
    question = np.where(rng.uniform(size=n) < 0.4, common, rng.uniform(size=n))
    luck = np.where(rng.uniform(size=mine.shape) < alike, question[:, None], mine)
    scores = (luck < np.array(means)).astype(float)
    return scores.reshape(groups, size, len(means)).mean(axis=1), np.full(groups, size)
