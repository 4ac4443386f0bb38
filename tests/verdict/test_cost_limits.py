"""Prices and volumes at which the cheaper of two arms becomes the dearer one, beside the costs themselves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from cost_books import PRICES, metered
from twofold.costs.metering import opened
from twofold.costs.parts import scenario
from twofold.costs.prices import Prices
from twofold.costs.totals import CostBook
from twofold.settings.sections import CostsSection
from twofold.verdict import cost_limits


def book(*, volume: float = 10_000.0, **amounts: float) -> CostBook:
    prices = Prices(amounts={**PRICES, **amounts}, currency="EUR")
    use = scenario(CostsSection(volume=volume, serving="hosted", hours_examples=40, hours_month=2))
    return CostBook(opened(metered()), prices, use)


def gap(of: CostBook) -> float:
    # ft pays for training and examples, rag for its index and longer prompts.
    return of.monthly("rag").known.mean - of.monthly("ft").known.mean


def test_the_gap_is_the_difference_of_the_monthly_costs_with_the_interval_of_the_pair() -> None:
    difference = cost_limits.gap(book(), "rag", "ft").amount
    assert difference.mean == pytest.approx(gap(book()))
    assert difference.low < difference.mean < difference.high
    # Paired: questions that are long are long for both arms.
    single = book().monthly("rag").known
    assert difference.high - difference.low < 2 * (single.high - single.low)


@pytest.mark.parametrize("item", ["prompt_tokens", "index", "person", "machine"])
def test_the_edge_of_a_price_is_where_the_order_of_the_costs_turns(item: str) -> None:
    bounds = {one["what"]: one for one in cost_limits.bounds(book(), "rag", ["ft", "base"])}
    bound = bounds[f"price of {item}, rag against ft"]
    edge = bound["high"] if bound["high"] is not None else bound["low"]
    assert edge is not None
    # Step by step past the edge: the sign of the difference changes between the two steps around it, and nowhere else.
    steps = [edge * factor for factor in (0.25, 0.5, 0.9, 0.999, 1.001, 1.1, 2.0, 4.0)]
    signs = [gap(book(**{item: price})) < 0 for price in steps]
    turns = [place for place, (before, after) in enumerate(pairwise(signs)) if before != after]
    assert turns == [3]
    # Inside of it rag is the cheaper one, as at the study.
    assert signs[0] == (bound["high"] is not None)


def test_the_edge_of_the_volume_is_where_the_order_of_the_costs_turns() -> None:
    bound = next(one for one in cost_limits.bounds(book(), "rag", ["ft"]) if one["dimension"] == "volume")
    edge = bound["high"]
    assert edge is not None
    assert edge > 10_000
    assert gap(book(volume=edge * 0.999)) < 0 < gap(book(volume=edge * 1.001))
    assert edge == pytest.approx(book().break_even("rag", "ft").volume)


def test_a_rival_that_is_cheaper_already_bounds_nothing() -> None:
    assert cost_limits.bounds(book(), "rag", ["base"]) == []


def test_prices_and_volume_are_told_apart() -> None:
    then = book()
    edges = {one["what"]: one for one in cost_limits.bounds(then, "rag", ["ft"])}
    dear = edges["price of prompt_tokens, rag against ft"]["high"]
    many = edges["answers a month, rag against ft"]["high"]
    assert dear is not None
    assert many is not None
    cases = {
        "price": book(prompt_tokens=1.01 * dear),
        "volume": book(volume=1.01 * many),
    }
    for dimension, now in cases.items():
        reasons, unknown = cost_limits.turned(then, now, chosen="rag", rivals=["ft"])
        assert ([one["dimension"] for one in reasons], unknown) == ([dimension], [])
    within = book(prompt_tokens=0.99 * dear), book(volume=0.99 * many)
    for now in within:
        assert cost_limits.turned(then, now, chosen="rag", rivals=["ft"]) == ([], [])


def test_a_price_that_is_unknown_now_is_said_and_ends_nothing() -> None:
    then = book()
    amounts = {item: price for item, price in PRICES.items() if item != "prompt_tokens"}
    now = CostBook(then.meter, replace(then.prices, amounts=amounts), then.scenario)
    reasons, unknown = cost_limits.turned(then, now, chosen="rag", rivals=["ft"])
    assert (reasons, [one["dimension"] for one in unknown]) == ([], ["price"])
    assert "prompt_tokens" in unknown[0]["why"]
