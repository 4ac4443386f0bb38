"""Cohen's κ and Krippendorff's α against published figures, their limits, and the coverage of their intervals."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.stats.agreement import cohen_kappa, krippendorff_alpha, with_interval

Statistic = Callable[[Any], float | None]
PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30)


def test_kappa_is_that_of_a_published_table() -> None:
    """Fifty proposals read by two people: 20 yes and yes, 5 yes and no, 10 no and yes, 15 no and no."""
    units = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(units) == pytest.approx(0.4)


def test_alpha_is_that_of_krippendorff_s_example() -> None:
    """Krippendorff (2011), section C: four observers, twelve units, values left out; α of categories is .743."""
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
    c = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
    units = [[value for value in unit if value is not None] for unit in zip(a, b, c, d, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.0005)


@given(PAIRS)
def test_kappa_keeps_its_limits_and_knows_no_first_person(units: list[tuple[str, str]]) -> None:
    value = cohen_kappa(units)
    turned = cohen_kappa([(second, first) for first, second in units])
    assert value == (turned if turned is None else pytest.approx(turned))
    if value is None:
        assert len(set(units)) == 1
        return
    assert -1 <= value <= 1
    assert (value == 1) == all(first == second for first, second in units)


@given(PAIRS, st.integers(1, 8))
def test_an_interval_holds_its_value_and_is_never_a_point(units: list[tuple[str, str]], groups: int) -> None:
    names = [str(number % groups) for number in range(len(units))]
    for statistic in (cohen_kappa, krippendorff_alpha):
        value = with_interval(statistic, units, names)
        if value is None:
            assert statistic(units) is None
            continue
        assert value.low <= value.mean <= value.high <= 1
        assert value.high - value.low > 0.01


@pytest.mark.parametrize("statistic", [cohen_kappa, krippendorff_alpha])
def test_the_interval_of_labels_that_come_in_groups_covers(statistic: Statistic) -> None:
    """Of labels whose groups are alike a coverage of 95 % is wanted; 50 runs cannot tell it from 90 %."""
    chance, runs = random.Random(0), 50
    truth = statistic(labelled(chance, 20_000)[0])
    assert truth is not None
    covered = 0
    for _ in range(runs):
        value = with_interval(statistic, *labelled(chance, 25))
        assert value is not None
        covered += value.low <= truth <= value.high
    assert covered >= 0.88 * runs


def labelled(chance: random.Random, groups: int) -> tuple[list[tuple[str, str]], list[str]]:
    """Three items a group, all of one category; in a quarter of the groups the second person guesses."""
    units, names = [], []
    for group in range(groups):
        word, guesses = chance.choice("aab"), chance.random() < 0.25
        for _ in range(3):
            units.append((word, chance.choice("ab") if guesses else word))
            names.append(str(group))
    return units, names
