"""Passages cut from the documents in place of those that a search would find: a plan searches for nothing. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import ClassVar

from twofold.answering.system import as_hits, gold_chunks, query
from twofold.types import Chunk, Document, Example, Filter, Hit, Query, Retrieval, Span

_PIECE = 700
"""Characters of a passage where the chunker cannot be asked."""


class StandIns:
    """A retriever that shows a question its gold passage, where it is known, and others drawn by its id.

    Args:
        passages: Document → its passages.
        examples: The questions that may be asked.
    """

    version: ClassVar[int] = 1

    def __init__(self, passages: Mapping[str, Sequence[Chunk]], examples: Sequence[Example]) -> None:
        self._passages = passages
        self._pool = list(chain.from_iterable(passages.values()))
        self._examples = {query(example).text: example for example in examples}

    def pin(self, version: int | None) -> None:
        """There is no index to pin."""

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """`k` passages for each question, fewer where there are not as many."""
        return [Retrieval(hits=tuple(self.hits(self._examples[one.text], k, one.filter))) for one in queries]

    def hits(self, example: Example, count: int, which: Filter | None = None) -> list[Hit]:
        """A gold passage and others, of documents that the filter lets be seen."""
        # By its id, so that a plan asked for twice says the same.
        others = random.Random(example.id).sample(self._pool, min(count, len(self._pool)))
        seen = [chunk for chunk in (*self.gold([example])[0][:1], *others) if which is None or which.allows(chunk)]
        return as_hits(seen[:count])

    def gold(self, examples: Sequence[Example]) -> list[list[Chunk]]:
        """Gold passages of each example, best evidence first."""
        golds = []
        for e in examples:
            passages = chain.from_iterable(self._passages.get(source, ()) for source in e.sources)
            golds.append(gold_chunks(e, list(passages)))
        return golds


def pieces(document: Document) -> list[Chunk]:
    """Passages of equal length, where the chunker cannot be asked."""
    starts = range(0, max(1, len(document.text)), _PIECE)
    chunks: list[Chunk] = []
    for number, start in enumerate(starts):
        chunks.append(
            Chunk(
                id=f"{document.id}/{start}",
                span=Span(document=document.id, start=start, end=min(len(document.text), start + _PIECE)),
                text=document.text[start : start + _PIECE],
                title=document.title,
                ordinal=number,
            )
        )
    return chunks
