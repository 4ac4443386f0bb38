"""The weight of the word leg is chosen where a gain is sure, and stays where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.study.retrieval_blend import chosen, compared

WEIGHTS = (0.0, 0.5, 1.0)


def _scores(gain: float, noise: float, count: int) -> np.ndarray:
    chance = np.random.default_rng(7)
    base = chance.uniform(0.2, 0.8, count)
    return np.column_stack([base + gain + noise * chance.normal(size=count), base, base - gain])


def test_a_sure_gain_is_taken() -> None:
    gains, errors = compared(_scores(0.07, 0.1, 120), [f"g{n // 3}" for n in range(120)], 1)
    assert gains[0] == pytest.approx(0.07, abs=0.03)
    assert gains[1] == errors[1] == 0
    assert chosen(WEIGHTS, gains, errors, now=0.5) == 0.0


def test_the_default_stays_where_questions_are_few_or_of_one_group() -> None:
    few = _scores(0.03, 0.3, 8)
    assert chosen(WEIGHTS, *compared(few, range(8), 1), now=0.5) == 0.5
    many = _scores(0.07, 0.1, 120)
    assert chosen(WEIGHTS, *compared(many, ["one"] * 120, 1), now=0.5) == 0.5


def test_questions_made_of_the_documents_only_lower_the_weight() -> None:
    gains, errors = [-0.05, 0.0, 0.05], [0.01, 0.0, 0.01]
    assert chosen(WEIGHTS, gains, errors, now=0.5) == 1.0
    assert chosen(WEIGHTS, gains, errors, now=0.5, only_less=True) == 0.5
    assert chosen(WEIGHTS, [0.05, 0.0, 0.1], errors, now=0.5, only_less=True) == 0.0


def test_questions_without_a_score_are_left_out_and_groups_count_once() -> None:
    scores = _scores(0.05, 0.2, 40)
    doubled = np.vstack([scores, scores, np.full((1, 3), np.nan)])
    groups = [*range(40), *range(40), "x"]
    one, other = compared(scores, range(40), 1), compared(doubled, groups, 1)
    assert other[0] == pytest.approx(one[0])
    assert other[1] == pytest.approx(one[1]), "the same questions twice are no more sure"
