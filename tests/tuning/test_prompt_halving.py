"""Successive halving: the budget is kept, the best is found, and the project's own prompt stands within noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.tuning.prompt_halving import FEWEST, MOST, Scores, field_size, halved


def run(shares: list[float], *, questions: int, budget: int, seed: int = 0) -> tuple[object, list[tuple[int, int]]]:
    """Candidates that answer so large a share of the questions rightly."""
    draws = np.random.default_rng(seed).random(questions)
    calls: list[tuple[int, int]] = []

    def score(candidate: int, count: int) -> Scores:
        calls.append((candidate, count))
        return (draws[:count] < shares[candidate]).astype(float)

    simplicity = [(number > 0, 0, number) for number in range(len(shares))]
    return halved(simplicity, np.arange(questions), budget=budget, score=score), calls


def test_the_best_of_many_is_found_and_asked_most() -> None:
    shares = [0.3] * 11 + [0.9]
    outcome, _ = run(shares, questions=60, budget=540)
    assert outcome.chosen == 11  # type: ignore[attr-defined]
    sizes = [len(scores) for scores in outcome.scores]  # type: ignore[attr-defined]
    assert sizes[0] == sizes[11] == max(sizes)
    assert sizes.count(min(sizes)) >= len(shares) // 2


def test_the_own_prompt_stands_where_none_is_better_and_meets_the_best_of_the_others() -> None:
    outcome, _ = run([0.6, 0.6, 0.2, 0.1], questions=40, budget=200)
    assert (outcome.chosen, outcome.rival) == (0, 1)  # type: ignore[attr-defined]
    assert outcome.gain.mean == 0  # type: ignore[attr-defined]
    worse, _ = run([0.9, 0.1, 0.2, 0.1], questions=40, budget=200)
    assert worse.chosen == 0  # type: ignore[attr-defined]
    assert len(worse.scores[0]) == max(map(len, worse.scores))  # type: ignore[attr-defined]


def test_a_gain_within_one_standard_error_is_noise() -> None:
    one = np.zeros(20)
    one[0] = 1.0
    outcome = halved(
        [(False, 0, 0), (True, 0, 1)],
        np.arange(20),
        budget=100,
        score=lambda candidate, count: (one if candidate else np.zeros(20))[:count],
    )
    assert outcome.gain.mean == pytest.approx(0.05)
    assert outcome.error == pytest.approx(0.05)
    assert outcome.chosen == 0


def test_a_few_questions_choose_nothing_however_much_they_agree() -> None:
    few, _ = run([0.0, 1.0], questions=FEWEST - 1, budget=5 * FEWEST)
    enough, _ = run([0.0, 1.0], questions=FEWEST, budget=5 * FEWEST)
    assert (few.chosen, enough.chosen) == (0, 1)  # type: ignore[attr-defined]


def test_without_another_candidate_the_own_prompt_stands() -> None:
    outcome, calls = run([0.5], questions=10, budget=50)
    assert (outcome.chosen, outcome.rival, calls) == (0, 0, [(0, 10)])  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(
    questions=st.integers(1, 80),
    looks=st.integers(2, 12),
    available=st.integers(2, 40),
    seed=st.integers(0, 5),
)
def test_the_budget_is_never_exceeded_and_questions_are_nested(
    questions: int, looks: int, available: int, seed: int
) -> None:
    budget = looks * questions
    size = field_size(budget, questions, available)
    assert 2 <= size <= min(MOST, available)
    shares = list(np.random.default_rng(seed).random(size))
    outcome, calls = run(shares, questions=questions, budget=budget, seed=seed)
    assert outcome.spent <= budget  # type: ignore[attr-defined]
    assert outcome.spent == sum(map(len, outcome.scores))  # type: ignore[attr-defined]
    asked_of_each: dict[int, int] = {}
    for candidate, count in calls:
        assert count >= asked_of_each.get(candidate, 0)
        asked_of_each[candidate] = count
    if size > 2:
        assert min(asked_of_each.values()) >= min(FEWEST, questions)
    assert outcome.chosen in range(size)  # type: ignore[attr-defined]
