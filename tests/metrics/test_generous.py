"""A metric that gives nearly everything to anything is no metric, and the self-test says so."""

from __future__ import annotations

import pytest

from twofold.errors import ScorerBroken
from twofold.study.scorer_check import self_test
from twofold.types import Answer, Example, Message

WORDS = ("pump", "seed", "well", "field", "press", "plough", "barn", "gate", "silo", "hoe", "rake", "cart")
ASKED = [
    Example(id=word, messages=(Message(role="user", content=f"which {word}?"),), references=(f"the {word}",))
    for word in WORDS
]


class Generous:
    """1 for the reference, else so much for anything."""

    def __init__(self, least: float) -> None:
        self.least = least

    def score(self, example: Example, answer: Answer) -> float:
        return 1.0 if answer.text in example.references else self.least


@pytest.mark.parametrize("least", [0.55, 0.85, 0.95])
def test_a_metric_that_gives_much_to_anything_is_refused(least: float) -> None:
    with pytest.raises(ScorerBroken, match="the metric cannot tell right from wrong"):
        self_test(Generous(least), ASKED)


def test_a_metric_that_gives_a_little_to_anything_passes() -> None:
    told = self_test(Generous(0.2), ASKED)
    assert told["gold"] == 1
    assert told["shuffled"] < 0.5
