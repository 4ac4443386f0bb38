"""Amounts of answers become means with a covariance; beginnings of prompts that repeat are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_books
from twofold.costs.metering import QUANTITIES, AnswerAmounts, of_answers, opened, reused


@given(st.lists(st.text(alphabet="ab", max_size=6), max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_share_reused_is_that_of_the_longest_beginning_of_any_earlier_prompt(prompts):
    shares = reused(prompts)
    for number, prompt in enumerate(prompts):
        longest = max((common(prompt, earlier) for earlier in prompts[:number]), default=0)
        assert shares[number] == (longest / len(prompt) if prompt else 0.0)


def common(text: str, other: str) -> int:
    return next((n for n in range(len(text), 0, -1) if other.startswith(text[:n])), 0)


def amounts(wrong: list[float]) -> AnswerAmounts:
    some = [float(number % 5) for number in range(len(wrong))]
    return AnswerAmounts(
        prompt_tokens=some,
        cached_prompt_tokens=some,
        completion_tokens=some,
        retrieval_seconds=some,
        generation_seconds=some,
        wrong=wrong,
    )


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_an_arm_that_is_always_right_or_wrong_has_no_certain_share(wrong):
    means, covariance, _, right = of_answers({"a": amounts([wrong] * 40)}, np.arange(40), level=0.95)
    place = QUANTITIES.index("wrong")
    assert means[place] == wrong
    # By Agresti and Coull: two more of each kind among 44.
    assert covariance[place][place] == pytest.approx(2 / 44 * 42 / 44 / 44)
    assert right["a"]["low"] < right["a"]["high"]


def test_a_metric_that_says_nothing_of_right_answers_leaves_them_unknown():
    means, _, _, right = of_answers({"a": amounts([float("nan")] * 10)}, np.arange(10), level=0.95)
    assert means[QUANTITIES.index("wrong")] is None
    assert right == {}
    record = {**cost_books.metered(arms=("base",)), "means": [*means], "right": {}}
    assert np.isnan(opened(record).mean("base", "wrong"))


def test_shares_of_right_answers_are_wider_than_at_the_level_of_the_costs():
    record = cost_books.metered()
    _, _, _, right = of_answers({"a": amounts([0.0, 1.0] * 20)}, np.arange(40), level=0.5)
    assert record["right"]["rag"]["n"] == record["questions"]
    assert right["a"]["high"] - right["a"]["low"] > 0.1
