"""Rerankers that need no model: near-duplicates out, variety (MMR), and an order against position bias."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twofold.plugins import protocols
from twofold.plugins.protocols import Parts
from twofold.retrieval.rerankers.ranking import reordered
from twofold.types import Hit, Query, Retrieval

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")


class NearDuplicates:
    """Leaves out a passage that says almost the same as a better passage.

    Passages are alike when the shingles of their letters have at least `share` in common (Broder 1997, resemblance:
    Jaccard's coefficient), or when one passage contains the other. The sets are compared exactly: a pool is small, and
    no sketch is needed. A passage with a number that the better passage lacks always stays: tables and forecasts
    differ in little else.

    Args:
        options: See `Options`.
        parts: Not used.
    """

    version: ClassVar[int] = 2
    final: ClassVar[bool] = False

    class Options(protocols.Options):
        """Options of the reranker ``near_duplicates``."""

        share: float = Field(default=0.8, gt=0, le=1)
        """Share of shingles in common from which a passage is left out."""
        letters: int = Field(default=5, ge=1)
        """Characters of a shingle."""

    def __init__(self, options: Options, *, parts: Parts) -> None:  # noqa: ARG002
        self._options = options

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:  # noqa: ARG002
        """At most `k` hits, in their order, without those that repeat a better one."""
        return [self._distinct(retrieval, k) for retrieval in retrievals]

    def _distinct(self, retrieval: Retrieval, k: int) -> Retrieval:
        distinct: list[Hit] = []
        shown: list[_Text] = []
        dropped = 0
        for hit in retrieval.hits:
            passage = self._read(hit.chunk.text)
            if any(passage.repeats(other, self._options.share) for other in shown):
                dropped += 1
                continue
            distinct.append(hit)
            shown.append(passage)
            if len(distinct) == k:
                break
        return reordered(retrieval, distinct, {"dropped": dropped})

    def _read(self, text: str) -> _Text:
        plain = " ".join(_WORD.findall(text.casefold()))
        size = self._options.letters
        return _Text(
            plain=plain,
            # max: a shorter text is its own shingle
            shingles=frozenset(plain[at : at + size] for at in range(max(1, len(plain) - size + 1))),
            numbers=frozenset(_NUMBER.findall(text)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A passage in the form in which passages are compared."""

    plain: str
    """The passage's words in small letters, blanks between them."""
    shingles: frozenset[str]
    """All runs of `letters` characters of `plain`."""
    numbers: frozenset[str]
    """The passage's numbers, as written."""

    def repeats(self, other: _Text, share: float) -> bool:
        """Does this passage say nothing that `other` does not say?"""
        if not self.numbers <= other.numbers:
            return False
        # blanks around both: whole words only
        if f" {self.plain} " in f" {other.plain} ":
            return True
        # their intersection cannot be larger than the smaller set: sizes alone decide most pairs
        sizes = sorted((len(self.shingles), len(other.shingles)))
        if sizes[0] < share * sizes[1]:
            return False
        common = len(self.shingles & other.shingles)
        return common >= share * (sum(sizes) - common)


class MarginalRelevance:
    """Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): relevant, and unlike the hits chosen before.

    Relevance is the search's score, scaled to [0, 1] within the pool; likeness is the cosine of the index's vectors.

    Args:
        options: See `Options`.
        parts: Index and embedder, for the passages' vectors.
    """

    version: ClassVar[int] = 1
    final: ClassVar[bool] = True

    class Options(protocols.Options):
        """Options of the reranker ``mmr``."""

        relevance: float = Field(default=0.8, ge=0, le=1)
        """Weight of relevance; the rest is the weight of being unlike."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:  # noqa: ARG002
        """At most `k` hits, chosen one after the other."""
        hits = list(chain.from_iterable(retrieval.hits for retrieval in retrievals))
        vectors = vectors_of(hits, self._parts)
        return [self._chosen(retrieval, k, vectors) for retrieval in retrievals]

    def _chosen(self, retrieval: Retrieval, k: int, vectors: dict[str, NDArray[np.float32]]) -> Retrieval:
        if not retrieval.hits:
            return retrieval
        scores = np.array([hit.score for hit in retrieval.hits])
        # equal scores have no spread: then none of the passages is the more relevant one
        relevance = (scores - scores.min()) / (np.ptp(scores) or 1.0)
        rows = np.stack([vectors[hit.chunk.id] for hit in retrieval.hits])
        alike = rows @ rows.T  # (hits, hits): cosines
        taken = [int(scores.argmax())]
        left = [n for n in range(len(scores)) if n != taken[0]]
        weight = self._options.relevance
        while left and len(taken) < k:
            worth = [weight * relevance[n] - (1 - weight) * alike[n, taken].max() for n in left]
            taken.append(left.pop(int(np.argmax(worth))))
        chosen = [retrieval.hits[n] for n in taken]
        return reordered(retrieval, chosen, {"moved": sum(n >= k for n in taken)})


def vectors_of(hits: Sequence[Hit], parts: Parts) -> dict[str, NDArray[np.float32]]:
    """Chunk id → vector: from the index, or computed for a chunk that the index no longer contains."""
    documents = list(dict.fromkeys(hit.chunk.span.document for hit in hits))
    stored: Any = parts.index.vectors_of(documents) if documents else ([], [])
    vectors = {chunk.id: vector for chunk, vector in zip(*stored, strict=True)}
    missing = {hit.chunk.id: hit.chunk.text for hit in hits if hit.chunk.id not in vectors}
    if missing:
        vectors.update(zip(missing, parts.embedder.embed(list(missing.values())), strict=True))
    return vectors


class EdgesOptions(protocols.Options):
    """Options of the reranker ``edges``: none."""


class Edges:
    """The best passages at both ends: first, last, second, last but one, and so on.

    Language models read the middle of a long prompt worst (Liu et al., TACL 2024, "Lost in the Middle").

    Args:
        options: None to set.
        parts: Not used.
    """

    version: ClassVar[int] = 1
    final: ClassVar[bool] = True
    Options: ClassVar[type[EdgesOptions]] = EdgesOptions

    def __init__(self, options: EdgesOptions, *, parts: Parts) -> None:  # noqa: ARG002
        self._options = options

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:  # noqa: ARG002
        """The first `k` hits, the middle of the list the least relevant."""
        reranked = []
        for retrieval in retrievals:
            hits = retrieval.hits[:k]
            reranked.append(reordered(retrieval, [*hits[::2], *hits[1::2][::-1]]))
        return reranked
