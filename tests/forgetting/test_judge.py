"""The gate's judgement on made-up scores: what may not fail it, what must, and that an error is never a number."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.forgetting.suite import Scores, floor, judge, outcome, suite

ITEMS = suite()
GENERAL = np.array([item.group == "general" for item in ITEMS])


def answers(ability: Scores, seed: int) -> Scores:
    """Right or wrong in each of three wordings, by each item's chance."""
    return (np.random.default_rng(seed).random((len(ability), 3)) < ability[:, None]).astype(float)


def ability(seed: int = 0) -> Scores:
    return np.random.default_rng(seed).beta(1.2, 1.0, len(ITEMS))


def test_a_model_that_is_sure_of_every_answer_has_no_noise() -> None:
    base = np.repeat((ability() > 0.5).astype(float)[:, None], 3, axis=1)
    assert floor(base) == 0


def test_the_floor_is_the_noise_of_wordings_and_falls_with_items() -> None:
    base = answers(ability(), 1)
    few = floor(base[:60])
    assert 0 < floor(base) < few < 0.2


@pytest.mark.slow
def test_a_model_of_equal_ability_seldom_fails() -> None:
    """Asked in other words, the same model must not look as if it had forgotten."""
    able, failures, runs = ability(3), 0, 60
    for seed in range(runs):
        base, same = answers(able, 2 * seed), answers(able, 2 * seed + 1)
        judged = judge(base, same, again=base[:, 0], threshold=0.0)
        failures += judged["general"]["failed"]
    assert failures <= 8  # 5 % of 60 is 3; more than 8 has a chance below 1 %


def test_a_real_drop_fails_and_is_named_with_its_interval() -> None:
    able = ability(4)
    base, tuned = answers(able, 1), answers(able * 0.7, 2)
    judged = judge(base, tuned, again=base[:, 0], threshold=0.02)
    line = judged["general"]
    assert judged["failed"]
    assert outcome(judged) == outcome(line) == "failed"
    assert line["drop"]["low"] > line["limit"] >= 0.02
    assert any(why.startswith("general: a drop of ") and "[" in why for why in judged["because"])


def test_refusing_less_fails_though_general_ability_is_kept() -> None:
    base = answers(ability(5), 1)
    base[~GENERAL] = 1
    tuned = base.copy()
    tuned[~GENERAL] = 0
    judged = judge(base, tuned, again=base[:, 0], threshold=0.02)
    assert judged["general"]["passed"]
    assert judged["refusal"]["failed"]
    assert outcome(judged) == "failed"


def test_the_threshold_counts_where_it_is_above_the_floor() -> None:
    base = answers(ability(6), 1)
    tuned = base.copy()
    tuned[np.flatnonzero(GENERAL)[:20]] = 0
    assert not judge(base, tuned, again=base[:, 0], threshold=0.01)["general"]["passed"]
    assert judge(base, tuned, again=base[:, 0], threshold=0.2)["general"]["passed"]


def test_a_drop_that_may_be_too_large_neither_passes_nor_fails() -> None:
    """Not shown to forget is not shown to keep: with the interval across the limit the gate is open, and says so."""
    base = answers(ability(9), 1)
    tuned = base.copy()
    tuned[np.flatnonzero(GENERAL)[:12]] = 0
    seen = judge(base, tuned, again=base[:, 0], threshold=0.0)["general"]["drop"]
    judged = judge(base, tuned, again=base[:, 0], threshold=seen["mean"] + 0.01)
    assert judged["general"]["limit"] < seen["high"], "the case is one where the estimate alone would pass"
    assert outcome(judged["general"]) == outcome(judged) == "open"
    assert "may exceed" in judged["because"][0]
    assert outcome(judge(base, tuned, again=base[:, 0], threshold=seen["high"] + 0.01)) == "passed"
    assert outcome({"passed": False, "because": []}) == "failed", "a result from before there was an open one"


def test_failed_answers_are_counted_and_never_scored() -> None:
    base = answers(ability(7), 1)
    some = base.copy()
    some[3, 1] = np.nan
    judged = judge(base, some, again=base[:, 0], threshold=0.02)
    assert judged["general"]["drop"]["mean"] == pytest.approx(0)
    assert judged["general"]["tuned"]["failed"] == 1
    assert judged["general"]["drop"]["n"] == int(GENERAL.sum()) - 1
    many = base.copy()
    many[: len(base) // 5] = np.nan
    refused = judge(base, many, again=base[:, 0], threshold=0.5)
    assert refused["failed"]
    assert "failed" in refused["because"][0]


def test_a_base_model_that_answers_otherwise_when_asked_again_raises_the_limit() -> None:
    base = answers(ability(8), 1)
    again = base[:, 0].copy()
    again[np.flatnonzero(GENERAL)[:60]] = 0
    line = judge(base, base, again=again, threshold=0.0)["general"]
    assert line["limit"] >= abs(line["order"]) > 0.05
