"""What the record of costs says of its own intervals."""

from __future__ import annotations

import numpy as np
import pytest

from cost_books import PRICES, metered
from twofold.config import CostsSection
from twofold.costs.metering import QUANTITIES, Metered, opened
from twofold.costs.parts import scenario
from twofold.costs.prices import Prices
from twofold.costs.report import costs_of


def one_batch(record: Metered, arm: str) -> Metered:
    """The record as it is where all answers of an arm had an equal share of one batch's seconds."""
    place = record["arms"].index(arm) * len(QUANTITIES) + QUANTITIES.index("generation_seconds")
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
    assert remark.startswith("all answers of rag were made in one batch")
    (remark,) = remarks(one_batch(one_batch(record, "rag"), "base"))
    assert remark.startswith("all answers of base and of rag were made in one batch")


@pytest.mark.parametrize(("hosted", "batched"), [(True, True), (False, False)])
def test_tokens_and_single_questions_need_no_remark(*, hosted: bool, batched: bool) -> None:
    assert remarks(one_batch(metered(hosted=hosted), "rag"), batched=batched) == []
