"""Amounts of answers become means with a covariance; beginnings of prompts that repeat are counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_books
from twofold.costs.metering import QUANTITIES, AnswerAmounts, divided, of_answers, opened, reused


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


SIZES = st.lists(st.floats(1.0, 1e4), min_size=8, max_size=8)


@given(SIZES, SIZES, st.lists(st.sampled_from([0.0, 0.25, 1.5, float("nan")]), min_size=8, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_batch_takes_as_long_however_its_seconds_are_divided(read, written, shares):
    seconds = np.array(divided(shares, read, written))
    for share in set(shares):
        members = np.array([other == share for other in shares])
        assert seconds[members].sum() == pytest.approx(np.array(shares)[members].sum(), abs=1e-9)
    assert np.isnan(seconds).tolist() == np.isnan(shares).tolist()


def test_seconds_of_a_batch_are_divided_by_the_tokens_that_vary_more():
    read, written = [100.0, 110.0, 90.0, 100.0], [2.0, 18.0, 10.0, 10.0]
    assert divided([1.0] * 4, read, written) == pytest.approx([0.2, 1.8, 1.0, 1.0])
    # Made one by one, each has its own.
    assert divided([0.1, 0.2, 0.3, 0.4], read, written) == [0.1, 0.2, 0.3, 0.4]
    assert divided([1.0] * 4, [float("nan")] * 4, [0.0] * 4) == [1.0] * 4


def test_the_interval_of_one_batch_covers_where_seconds_follow_tokens():
    """Answers take .002 s a token read and .03 s a token written, one batch of 60 in 30 groups: 300 draws at 95 %."""
    rng, covered = np.random.default_rng(3), 0
    true = 0.002 * 300 + 0.03 * 20
    for _ in range(300):
        read, written = rng.uniform(200, 400, 60), rng.uniform(5, 35, 60)
        share = float((0.002 * read + 0.03 * written).mean())
        seconds = divided([share] * 60, list(read), list(written))
        one = AnswerAmounts(
            prompt_tokens=list(read),
            cached_prompt_tokens=list(read),
            completion_tokens=list(written),
            retrieval_seconds=[0.0] * 60,
            generation_seconds=seconds,
            wrong=[0.0, 1.0] * 30,
        )
        means, covariance, worth, _ = of_answers({"base": one}, np.arange(60) // 2, level=0.95)
        record = {**cost_books.metered(arms=("base",)), "means": means, "covariance": covariance, "worth": worth}
        cost = opened(record).amount("base", "generation_seconds")
        covered += cost.low <= true <= cost.high
    assert covered / 300 >= 0.92


def test_amounts_of_one_group_alone_stand_in_a_record_as_unknown():
    some = [1.0, 2.0] + [float("nan")] * 38
    lonely = AnswerAmounts(
        prompt_tokens=some,
        cached_prompt_tokens=some,
        completion_tokens=some,
        retrieval_seconds=[0.0] * 40,
        generation_seconds=some,
        wrong=[1.0] * 40,
    )
    means, covariance, worth, _ = of_answers({"base": lonely}, np.arange(40) // 2, level=0.95)
    assert covariance[0][0] is None
    record = {**cost_books.metered(arms=("base",)), "means": means, "covariance": covariance, "worth": worth}
    tokens = opened(json.loads(json.dumps(record, allow_nan=False))).amount("base", "prompt_tokens")
    assert (tokens.mean, tokens.high) == (1.5, float("inf"))
    assert opened(record).amount("base", "wrong").high < float("inf")
