"""What the record of costs says of its own intervals."""

from __future__ import annotations

import numpy as np
import pytest

from cost_books import PRICES, metered
from twofold.costs.metering import QUANTITIES, Metered, opened
from twofold.costs.parts import scenario
from twofold.costs.prices import Prices
from twofold.costs.report import costs_of
from twofold.settings.sections import CostsSection


def one_batch(record: Metered, arm: str, quantity: str = "generation_seconds") -> Metered:
    """The record as it is where all answers of an arm had an equal share of one batch's seconds."""
    place = record["arms"].index(arm) * len(QUANTITIES) + QUANTITIES.index(quantity)
    covariance = np.array(record["covariance"])
    covariance[place, :] = covariance[:, place] = 0.0
    covariance[place, place] = 1e-34  # as rounding leaves it
    return {**record, "covariance": covariance.tolist()}


def remarks(record: Metered, *, batched: bool = True) -> list[str]:
    section = CostsSection(batched=batched)
    prices = Prices(amounts=PRICES, currency="EUR", file="prices.csv")
    shown = costs_of("0001-p", opened(record, batched=batched), prices=prices, scenario=scenario(section))["warnings"]
    return [remark for remark in shown if "one batch" in remark]


def test_an_interval_without_variance_of_seconds_is_remarked() -> None:
    record = metered(hosted=False)
    assert remarks(record) == []
    (remark,) = remarks(one_batch(record, "rag"))
    assert remark.startswith("all answers of rag were made, or all their passages searched for, in one batch")
    (remark,) = remarks(one_batch(one_batch(record, "rag"), "base"))
    assert remark.startswith("all answers of base and of rag were made, or")


def test_seconds_that_do_not_vary_give_no_interval() -> None:
    prices = Prices(amounts=PRICES, currency="EUR", file="prices.csv")
    record = one_batch(metered(hosted=False), "rag")
    arms = costs_of("0001-p", opened(record), prices=prices, scenario=scenario(CostsSection()))["arms"]
    for cost in (arms["rag"]["per_1000"], arms["rag"]["running_per_1000"], arms["rag"]["monthly"]):
        assert cost["mean"] > 0
        assert (cost["low"], cost["high"]) == (None, None)
    base = arms["base"]["running_per_1000"]
    assert base["low"] is not None
    assert base["low"] < base["mean"]
    # Paid by tokens, seconds cost nothing.
    by_tokens = costs_of("0001-p", opened(record), prices=prices, scenario=scenario(CostsSection(serving="hosted")))
    assert by_tokens["arms"]["base"]["per_1000"]["low"] is not None


@pytest.mark.parametrize("hosted", [True, False])
def test_passages_searched_for_in_one_batch_are_remarked_and_timed_alone_are_none(*, hosted: bool) -> None:
    record = one_batch(metered(hosted=hosted), "rag", "retrieval_seconds")
    prices = Prices(amounts=PRICES, currency="EUR", file="prices.csv")
    costs = costs_of("0001-p", opened(record), prices=prices, scenario=scenario(CostsSection()))
    assert costs["arms"]["rag"]["per_1000"]["low"] is None
    (remark,) = remarks(record)
    assert "all their passages searched for" in remark
    # What is unknown of an arm's seconds is no break-even of 0.
    pair = next(row for row in costs["break_even"] if {row["arm"], row["other"]} == {"base", "rag"})
    assert (pair["low"], pair["high"]) == (None, None)
    # The cure that the remark names: the sum of searching and answering was timed, with an error.
    assert remarks(record, batched=False) == []
    use = CostsSection(batched=False)
    alone = costs_of("0001-p", opened(record, batched=False), prices=prices, scenario=scenario(use))["arms"]["rag"]
    assert alone["per_1000"]["low"] is not None
    assert alone["per_1000"]["low"] < alone["per_1000"]["mean"]
    # At a hosted model the search alone is paid by seconds: its cost is no more certain than what was timed.
    units = next(part for part in alone["parts"] if part["part"] == "search")["units"]
    assert units["low"] is not None
    assert units["high"] is not None
    assert units["low"] < units["mean"] < units["high"]
    # The whole has the error of the whole.
    moments = opened(record, batched=False).moments
    whole = opened(record).weights("rag", {"retrieval_seconds": 1.0, "generation_seconds": 1.0})
    assert whole @ moments.covariance @ whole == pytest.approx(record["alone"]["rag"]["error"] ** 2)


@pytest.mark.parametrize(("hosted", "batched"), [(True, True), (False, False)])
def test_tokens_and_single_questions_need_no_remark(*, hosted: bool, batched: bool) -> None:
    assert remarks(one_batch(metered(hosted=hosted), "rag"), batched=batched) == []


def test_updates_of_documents_that_there_are_not_are_remarked() -> None:
    prices = Prices(amounts=PRICES, currency="EUR", file="prices.csv")
    use = scenario(CostsSection(updates=4))
    for record, remarked in ((metered(), False), ({**metered(), "documents": False}, True)):
        shown = costs_of("0001-p", opened(record), prices=prices, scenario=use)["warnings"]
        assert any(remark.startswith("[costs].updates is 4, and the project has no documents") for remark in shown) == (
            remarked
        )
