"""Cost books of invented studies, whose amounts are drawn by seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.costs.metering import QUANTITIES, AnswerAmounts, Metered, of_answers, opened
from twofold.costs.parts import scenario
from twofold.costs.prices import Prices
from twofold.costs.totals import CostBook
from twofold.settings.sections import CostsSection

PRICES = {
    "prompt_tokens": 0.2,
    "cached_prompt_tokens": 0.02,
    "completion_tokens": 0.8,
    "machine": 0.6,
    "training_machine": 2.0,
    "index": 15.0,
    "index_storage": 0.1,
    "person": 50.0,
}
"""Invented, for arithmetic alone."""


def metered(*, arms: tuple[str, ...] = ("base", "rag", "ft"), hosted: bool = True, questions: int = 60) -> Metered:
    """Amounts of a study: arms with retrieval read and search more, tuned ones are right more often."""
    rng = np.random.default_rng(7)
    length = rng.integers(20, 60, questions)
    amounts = {}
    for arm in arms:
        passages = rng.integers(250, 400, questions) if "rag" in arm else np.zeros(questions)
        right = rng.uniform(size=questions) < {"base": 0.2, "rag": 0.6, "ft": 0.4, "ft+rag": 0.8}[arm]
        amounts[arm] = AnswerAmounts(
            prompt_tokens=list(length + passages),
            cached_prompt_tokens=list(np.full(questions, 12.0)),
            completion_tokens=list(rng.integers(5, 30, questions).astype(float)),
            retrieval_seconds=list(rng.uniform(0.01, 0.02, questions) * ("rag" in arm)),
            generation_seconds=list(rng.uniform(0.2, 0.5, questions)),
            wrong=list(1.0 - right),
        )
    means, covariance, worth, shares = of_answers(amounts, np.arange(questions) // 2, level=0.95)
    tuned = {arm: "open-book" if "rag" in arm else "closed-book" for arm in arms if "ft" in arm}
    return {
        "arms": list(arms),
        "quantities": list(QUANTITIES),
        "means": means,
        "covariance": covariance,
        "worth": worth,
        "questions": questions,
        "level": 0.95,
        "right": shares,
        "retrieves": [arm for arm in arms if "rag" in arm],
        "tuned": tuned,
        "training": {arm: {"seconds": 900.0, "tokens": None} for arm in tuned},
        "alone": {arm: {"mean": 0.9, "error": 0.05, "n": 40} for arm in arms[:2]},
        "index": {"chunks": 500, "seconds_per_chunk": 0.01, "gib": 0.05},
        "hosted": list(arms) if hosted else [],
        "hardware": "a test's machine",
    }


def book(prices: dict[str, float] | None = None, *, record: Metered | None = None, **costs: Any) -> CostBook:
    """A cost book under ``[costs]`` of these values."""
    table = Prices(amounts=PRICES if prices is None else prices, currency="EUR", file="prices.csv")
    section = CostsSection(**costs)
    return CostBook(opened(record or metered(), batched=section.batched), table, scenario(section))
