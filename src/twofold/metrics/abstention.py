"""Does the system say so when the documents do not tell, and only then? Abstention is the positive class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from twofold.plugins import protocols
from twofold.types import Answer, Example


class AbstentionPrecision:
    """Of the abstentions, the share on unanswerable examples; None for an answer that is no abstention."""

    version: ClassVar[int] = 1
    conditional: ClassVar[bool] = True
    """Whether an example is scored depends on the answer: no arms can be compared by it."""
    Options: ClassVar[type[protocols.Options]] = protocols.Options

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None."""
        return float(not example.answerable) if answer.abstained else None

    def wants(self, example: Example) -> str:
        """An abstention or not."""
        return repr(example.answerable)


class AbstentionRecall(AbstentionPrecision):
    """Of the unanswerable examples, the share abstained on; None for an answerable example."""

    conditional: ClassVar[bool] = False

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None."""
        return None if example.answerable else float(answer.abstained)


class AbstentionF1(AbstentionPrecision):
    """F1 of abstention precision and recall over all examples together (`pooled`).

    The score of one example is whether abstaining or answering was right.
    """

    pooled: ClassVar[bool] = True
    conditional: ClassVar[bool] = False

    def score(self, example: Example, answer: Answer) -> float | None:
        """1 when the decision to abstain or to answer was right, else 0."""
        return float(answer.abstained != example.answerable)

    def pool(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """F1 in [0, 1]; 1 when nothing was unanswerable and nothing was abstained on."""
        hits = sum(answer.abstained and not example.answerable for example, answer in items)
        marked = sum(answer.abstained for _, answer in items)
        unanswerable = sum(not example.answerable for example, _ in items)
        return 2 * hits / (marked + unanswerable) if marked + unanswerable else 1.0
