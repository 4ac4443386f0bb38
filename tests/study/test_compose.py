"""What a study's record says of seconds that answers share."""

from __future__ import annotations

import pytest

from twofold.study.compose import timing
from twofold.types import Answer, Timing


def _answers(*batches: tuple[int, float]) -> list[Answer]:
    return [Answer(text="a", timing=Timing(generation=each)) for size, each in batches for _ in range(size)]


def test_answers_of_one_batch_are_one_measurement() -> None:
    record = timing(_answers((32, 1.5)), level=0.95)
    assert list(record) == ["generation"]
    assert (record["generation"]["value"], record["generation"]["n"]) == (1.5, 32)
    assert (record["generation"]["low"], record["generation"]["high"]) == (None, None)


def test_the_interval_is_one_over_batches_and_holds_the_median() -> None:
    few = [(4, 0.1 * number) for number in range(1, 10)]
    record = timing(_answers((200, 5.0), *few), level=0.95)["generation"]
    assert record["value"] == 5.0
    assert record["low"] == pytest.approx(0.2)
    assert record["high"] == 5.0
