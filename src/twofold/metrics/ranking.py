"""How well the right documents are ranked among an answer's hits: nDCG, recall and reciprocal rank.

What is right comes from `Example.sources`, `spans` and `grades`. None of the three applies to an example whose sources
are unknown, nor to one that cannot be answered from the documents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from twofold.plugins import protocols
from twofold.types import Answer, Example, Hit


class RankingOptions(protocols.Options):
    """Options of the ranking metrics."""

    k: int = Field(default=10, ge=1)
    """Ranks that count."""
    unit: Literal["document", "passage"] = "document"
    """Unit that is ranked. ``document``: each document once, at its best hit, as retrieval benchmarks do. ``passage``:
    the hits as they are; where an example has spans in a document, only a hit that overlaps one of them finds it."""


def relevance(example: Example) -> dict[str, float]:
    """Document id → gain of finding it; a source without a grade counts 1."""
    return {**dict.fromkeys(example.sources, 1.0), **example.grades}


def gains(example: Example, hits: Sequence[Hit], unit: str = "document") -> list[float]:
    """Gain at each rank, best first: a document's grade where it is found for the first time, otherwise 0."""
    grades = relevance(example)
    spans = {span.document for span in example.spans}
    met: set[str] = set()
    gained = []
    for hit in hits:
        here = hit.chunk.span
        if unit == "document":
            if here.document in met:
                continue
            met.add(here.document)
            gained.append(grades.get(here.document, 0.0))
            continue
        # A document counts once, however many of its passages are found.
        right = here.document in grades and here.document not in met
        if right and here.document in spans:
            right = any(
                s.document == here.document and s.start < here.end and here.start < s.end for s in example.spans
            )
        if right:
            met.add(here.document)
        gained.append(grades[here.document] if right else 0.0)
    return gained


class Ndcg:
    """Normalised discounted cumulative gain at `k` (Järvelin & Kekäläinen 2002; linear gain, as trec_eval has it)."""

    version: ClassVar[int] = 1
    Options: ClassVar[type[RankingOptions]] = RankingOptions

    def __init__(self, options: RankingOptions) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """A value in [0, 1], or None."""
        # The best ranking has `k` places too: with more, none could reach 1.
        ideal = sorted(relevance(example).values(), reverse=True)[: self.options.k]
        if not ideal or not example.answerable:
            return None
        return min(1.0, _dcg(self._gains(example, answer)) / _dcg(ideal))  # sums of like terms may round above 1

    def wants(self, example: Example) -> str:
        """The documents to find."""
        return repr(sorted(relevance(example)))

    def _gains(self, example: Example, answer: Answer) -> list[float]:
        return gains(example, answer.hits, self.options.unit)[: self.options.k]


class Recall(Ndcg):
    """Share of the right documents among the first `k`; of the best `k` where there are more right ones."""

    def score(self, example: Example, answer: Answer) -> float | None:
        """A share in [0, 1], or None."""
        total = len(relevance(example))
        if not total or not example.answerable:
            return None
        return sum(gain > 0 for gain in self._gains(example, answer)) / min(total, self.options.k)


class ReciprocalRank(Ndcg):
    """1 / rank of the first right document; 0 when none is among the first `k`."""

    def score(self, example: Example, answer: Answer) -> float | None:
        """A value in [0, 1], or None."""
        if not relevance(example) or not example.answerable:
            return None
        return next((1 / rank for rank, gain in enumerate(self._gains(example, answer), 1) if gain > 0), 0.0)


def _dcg(values: Sequence[float]) -> float:
    # At rank 1 the discount is log2(2) = 1.
    return sum(value / math.log2(rank + 1) for rank, value in enumerate(values, 1))
