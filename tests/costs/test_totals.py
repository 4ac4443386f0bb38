"""Costs add up: linear where they should be, break-even breaks even, and nothing unknown is a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_books
from twofold.costs.metering import AnswerAmounts, of_answers, opened
from twofold.costs.parts import HOURS
from twofold.costs.report import costs_of
from twofold.costs.totals import CostBook


def without(*items: str) -> dict[str, float]:
    return {item: price for item, price in cost_books.PRICES.items() if item not in items}


def test_a_month_is_the_sum_of_its_parts_by_hand():
    record = cost_books.metered(arms=("rag",))
    book = cost_books.book(
        record=record, volume=1000, months=10, updates=2, churn=0.5, hours_documents=8, hours_month=1
    )
    taken = opened(record)
    answer = (
        taken.mean("rag", "prompt_tokens") * 0.2e-6
        + taken.mean("rag", "completion_tokens") * 0.8e-6
        + taken.mean("rag", "retrieval_seconds") * 0.6 / 3600
    )
    embedding = 500 * 0.01 / 3600 * 0.6
    once = 60 * answer + embedding + 8 * 50
    month = once / 10 + 15 + 0.05 * 0.1 + 50 + 2 * 0.5 * embedding + 1000 * answer
    assert book.monthly("rag").known.mean == pytest.approx(month)
    assert book.monthly("rag").unknown == ()
    assert book.once("rag").known.mean == pytest.approx(once)
    assert book.per_answer("rag").known.mean == pytest.approx(month / 1000)


def test_no_interval_of_a_cost_reaches_below_nothing():
    # One long answer among five: the standard error is as large as the mean, and the critical value nearly 3.
    tokens = [10.0, 10.0, 10.0, 10.0, 5000.0]
    flat = [1.0] * 5
    answers = AnswerAmounts(
        prompt_tokens=tokens,
        cached_prompt_tokens=flat,
        completion_tokens=tokens,
        retrieval_seconds=[0.0] * 5,
        generation_seconds=flat,
        wrong=[0.0, 1.0, 0.0, 1.0, 0.0],
    )
    means, covariance, worth, right = of_answers({"base": answers}, np.arange(5), level=0.95)
    start = cost_books.metered(arms=("base",))
    record = {**start, "means": means, "covariance": covariance, "worth": worth, "right": right, "questions": 5}
    book = cost_books.book(record=record)
    assert book.running("base").known.low == 0
    assert book.monthly("base").known.low == book.fixed("base").known.mean
    per_right = book.per_right("base").cost
    assert per_right is not None
    assert per_right.known.low >= 0
    costs = costs_of("s", book.meter, prices=book.prices, scenario=book.scenario)
    assert all(part["units"]["low"] >= 0 and part["cost"]["low"] >= 0 for part in costs["arms"]["base"]["parts"])


def test_no_interval_counts_more_wrong_answers_than_there_are_answers():
    flat = [1.0] * 6
    for wrong in ([1.0] * 5 + [0.0], [0.0] * 5 + [1.0]):
        answers = AnswerAmounts(
            prompt_tokens=flat,
            cached_prompt_tokens=flat,
            completion_tokens=flat,
            retrieval_seconds=[0.0] * 6,
            generation_seconds=flat,
            wrong=wrong,
        )
        means, covariance, worth, right = of_answers({"base": answers}, np.arange(6), level=0.95)
        start = cost_books.metered(arms=("base",))
        record = {**start, "means": means, "covariance": covariance, "worth": worth, "right": right, "questions": 6}
        book = cost_books.book({**cost_books.PRICES, "wrong_answer": 4.0}, record=record)
        rest, known = book.running("base").known, book.running("base", risk=True).known
        assert rest.low <= known.low <= known.mean <= known.high <= rest.high + 4.0
        costs = costs_of("s", book.meter, prices=book.prices, scenario=book.scenario)["arms"]["base"]
        [part] = [part for part in costs["parts"] if part["part"] == "wrong answers"]
        assert 0 <= part["units"]["low"] <= part["units"]["high"] <= 1
        assert part["cost"]["high"] <= 4.0


@given(st.floats(1, 1e6), st.floats(1, 1e6))
@settings(max_examples=30, deadline=None)
def test_a_month_is_linear_in_the_volume(first, second):
    book = cost_books.book(hours_examples=20, retrainings=1)
    for arm in book.arms:
        start = book.fixed(arm).known.mean
        a, b = (book.monthly(arm, volume=volume).known.mean - start for volume in (first, second))
        assert a * second == pytest.approx(b * first, rel=1e-6)


@given(st.sampled_from(sorted(cost_books.PRICES)), st.floats(0.0, 50.0))
@settings(max_examples=40, deadline=None)
def test_a_month_is_linear_in_every_price(item, factor):
    def month(times: float) -> float:
        scaled = {**cost_books.PRICES, item: cost_books.PRICES[item] * times}
        return cost_books.book(scaled, hours_month=2, cached=True, retrainings=1).monthly("rag").known.mean

    assert month(factor) - month(0) == pytest.approx(factor * (month(1) - month(0)), rel=1e-6, abs=1e-9)


@given(
    retrainings=st.floats(0, 10),
    hours=st.floats(0, 100),
    pair=st.sampled_from([("base", "rag"), ("base", "ft"), ("rag", "ft")]),
    price=st.floats(0.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_at_the_break_even_two_arms_cost_the_same(retrainings, hours, pair, price):
    prices = {**cost_books.PRICES, "wrong_answer": price}
    book = cost_books.book(prices, retrainings=retrainings, hours_examples=hours)
    even = book.break_even(*pair, risk=True)
    assert even.low <= even.volume <= even.high
    costs = {}
    for volume in (1.0, 1e3, even.volume, 1e9):
        if math.isfinite(volume):
            costs[volume] = [book.monthly(arm, volume=volume, risk=True).known.mean for arm in (even.arm, even.other)]
    if even.outcome == "never":
        assert all(cheaper <= dearer * (1 + 1e-9) for cheaper, dearer in costs.values())
    elif even.volume:
        assert costs[even.volume][0] == pytest.approx(costs[even.volume][1], rel=1e-9)
        below = [book.monthly(arm, volume=even.volume / 2, risk=True).known.mean for arm in (even.arm, even.other)]
        above = [book.monthly(arm, volume=even.volume * 2, risk=True).known.mean for arm in (even.arm, even.other)]
        assert below[0] <= below[1]
        assert above[0] >= above[1]


def test_which_arm_is_named_first_does_not_matter_for_the_break_even():
    book = cost_books.book({**cost_books.PRICES, "wrong_answer": 0.01})
    assert book.break_even("base", "rag", risk=True) == book.break_even("rag", "base", risk=True)
    assert book.break_even("base", "rag", risk=True).outcome == "from"
    # Without a price of wrong answers, retrieval only adds tokens and an index.
    assert book.break_even("base", "rag").outcome == "never"


def test_the_break_even_of_studies_contains_the_true_one():
    """Two arms whose true means are known: 200 studies of 60 questions, nominal 95 %."""
    rng, covered = np.random.default_rng(3), 0
    prices = {**dict.fromkeys(cost_books.PRICES, 0.0), "completion_tokens": 1e4, "index": 5.0}
    record = cost_books.metered(arms=("base", "rag"))
    place = {arm: number * 6 + 2 for number, arm in enumerate(record["arms"])}
    for _ in range(200):
        values = np.stack([rng.gamma(4.0, 10.0, 60), rng.gamma(4.0, 5.0, 60)], axis=1)
        covariance = np.zeros((12, 12))
        inner = np.cov(values.T) / 60
        places = list(place.values())
        covariance[np.ix_(places, places)] = inner
        means = list(record["means"])
        means[places[0]], means[places[1]] = map(float, values.mean(axis=0))
        study = {**record, "means": means, "covariance": covariance.tolist(), "worth": 60.0}
        # So many months that the study's own answers, paid once, are nothing: the truth is then known by hand.
        even = cost_books.book(prices, record=study, months=1e12).break_even("base", "rag")
        covered += even.low <= 5.0 / (1e-2 * 20.0) <= even.high
    assert covered / 200 >= 0.91


def test_an_unknown_price_is_named_and_no_number():
    book = cost_books.book(without("index"))
    cost = book.monthly("rag")
    assert cost.unknown == ("index",)
    assert cost.known.mean == pytest.approx(cost_books.book().monthly("rag").known.mean - 15)
    assert book.break_even("base", "rag").outcome == "unknown"
    assert book.break_even("base", "rag").unknown == ("index",)
    assert book.break_even("base", "ft").outcome != "unknown"  # neither has an index


def test_what_both_arms_need_alike_cancels_though_its_price_is_unknown():
    book = cost_books.book(without("person"), hours_evaluation=30)
    assert book.monthly("base").unknown == ("person",)
    assert book.break_even("base", "ft").unknown == ()


def test_an_index_that_was_not_metered_is_unknown():
    record = {**cost_books.metered(), "index": None}
    assert set(cost_books.book(record=record).monthly("rag").unknown) == {
        "embedding (not metered)",
        "index storage (not metered)",
    }


def test_a_right_answer_costs_what_all_answers_cost_divided_by_the_share_of_right_ones():
    book = cost_books.book()
    right = book.per_right("rag").cost
    share = book.meter.split["rag"]
    assert right.known.mean == pytest.approx(book.per_answer("rag").known.mean / share.mean)
    assert right.known.low < right.known.mean < right.known.high
    none = {**cost_books.metered(), "right": {}}
    assert cost_books.book(record=none).per_right("rag").cost is None


def test_weights_learned_by_heart_are_trained_again_with_every_update():
    still, daily = cost_books.book(), cost_books.book(updates=30)
    assert daily.times("ft")["retraining"] == 30
    assert daily.fixed("ft").known.mean > still.fixed("ft").known.mean + 30 * 900 / 3600 * 2.0
    assert daily.fixed("base") == still.fixed("base")
    open_book = cost_books.metered(arms=("base", "ft+rag"))
    assert cost_books.book(record=open_book, updates=30).times("ft+rag")["retraining"] == 0


def test_without_documents_no_update_trains_again():
    bare = {**cost_books.metered(arms=("base", "ft")), "documents": False}
    book = cost_books.book(record=bare, updates=30, retrainings=0.5)
    assert book.times("ft")["retraining"] == 0.5
    still, daily = book.over_updates("ft", [0, 30])
    assert still == daily


def test_the_cadence_of_retraining_is_that_of_the_configuration():
    assert cost_books.book(retrainings=2.5).scenario.retrainings == 2.5


def test_cached_tokens_are_paid_at_their_price():
    plain, cached = cost_books.book(), cost_books.book(cached=True)
    saved = plain.running("base").known.mean - cached.running("base").known.mean
    assert saved == pytest.approx(12 * (0.2 - 0.02) / 1e6)
    assert (
        "cached_prompt_tokens" in cost_books.book(without("cached_prompt_tokens"), cached=True).running("base").unknown
    )


def test_idle_hours_are_paid_by_the_answers():
    record = cost_books.metered(hosted=False)
    busy, half = cost_books.book(record=record), cost_books.book(record=record, utilisation=0.5)
    assert half.running("base").known.mean == pytest.approx(2 * busy.running("base").known.mean)


def test_seconds_of_one_question_at_a_time_are_counted_where_the_use_says_so():
    record = cost_books.metered(hosted=False)
    alone = cost_books.book(record=record, batched=False)
    cost = alone.running("base").known
    assert cost.mean == pytest.approx(0.9 / 3600 * 0.6)
    assert cost.low < cost.mean < cost.high
    # Searching is a part of the seconds timed, and stays a line of its own.
    assert alone.running("rag").known.mean == pytest.approx(0.9 / 3600 * 0.6)
    assert "generation (not metered)" in alone.running("ft").unknown


def test_a_machine_pays_from_the_volume_on_at_which_tokens_cost_its_month():
    record = cost_books.metered(hosted=False)
    book = cost_books.book({**cost_books.PRICES, "prompt_tokens": 20.0, "completion_tokens": 80.0}, record=record)
    machine = book.own_machine("rag")
    tokens = book.meter.mean("rag", "prompt_tokens") * 20e-6 + book.meter.mean("rag", "completion_tokens") * 80e-6
    assert machine.outcome == "from"
    assert machine.volume * tokens == pytest.approx(HOURS * 0.6)
    assert machine.low < machine.volume < machine.high
    assert machine.volume <= machine.capacity
    # Tokens so cheap that the answers of a whole month's work cost less than the machine.
    assert (
        cost_books.book({**cost_books.PRICES, "prompt_tokens": 0.001}, record=record).own_machine("base").outcome
        == "never"
    )


def test_seconds_at_an_endpoint_are_not_those_of_a_machine():
    assert cost_books.book().own_machine("base").unknown == ("generation on a machine of your own (not metered)",)


def test_curves_rise_with_volume_and_updates():
    book = cost_books.book()
    by_volume = [cost.known.mean for cost in book.over_volume("rag", [10, 100, 1000])]
    by_updates = [cost.known.mean for cost in book.over_updates("ft", [0, 1, 4])]
    assert by_volume == sorted(by_volume)
    assert by_updates == sorted(by_updates)
    assert by_updates[0] < by_updates[-1]


def test_passages_lengthen_the_prompt_by_what_was_metered():
    other, tokens = cost_books.book().passages("rag")
    assert other == "base"
    assert 250 < tokens.low < tokens.mean < tokens.high < 400
    assert CostBook.passages(cost_books.book(), "base") is None


def of_far(record):
    """The record with its arms as those of a further model."""
    named = {key: [f"far/{arm}" for arm in record[key]] for key in ("arms", "retrieves", "hosted")}
    for key in ("right", "tuned", "training", "alone"):
        named[key] = {f"far/{arm}": value for arm, value in record[key].items()}
    return {**record, **named}


def test_tokens_of_a_further_model_are_paid_at_its_own_prices_or_at_none():
    record = of_far(cost_books.metered(arms=("base", "rag")))
    unpriced = cost_books.book(record=record)
    assert unpriced.per_answer("far/base").unknown == ("far/completion_tokens", "far/prompt_tokens")
    own = {"far/prompt_tokens": 0.4, "far/completion_tokens": 1.6}
    # Twice the price of the project's own model: twice the cost of what is paid by the token.
    dear = cost_books.book({**cost_books.PRICES, **own}, record=record)
    usual = cost_books.book(record=cost_books.metered(arms=("base", "rag")))
    assert dear.per_answer("far/base").known.mean == pytest.approx(2 * usual.per_answer("base").known.mean)
    assert dear.per_answer("far/base").unknown == ()
    # The counterpart without passages is that of the same model.
    assert dear.passages("far/rag")[0] == "far/base"
    parts = costs_of("0001", dear.meter, prices=dear.prices, scenario=dear.scenario)["arms"]["far/rag"]["parts"]
    assert {part["unit"] for part in parts if part["item"].startswith("far/")} == {"million tokens"}
