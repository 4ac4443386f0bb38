"""The retrievers: one index leg alone, or dense and lexical fused."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twofold.plugins import protocols
from twofold.plugins.protocols import Parts
from twofold.retrieval.fusion import LEXICAL_WEIGHT, RRF_K, blend, covered, distinct, fetch_size, fuse, word_weight
from twofold.types import Filter, Hit, Query, Retrieval

_THREADS = 8
"""Word searches of a retriever that run at the same time; threads start on demand."""


def by_filter(queries: Sequence[Query]) -> list[tuple[Filter, list[int]]]:
    """Group the numbers of queries by filter: an index searches each group at once."""
    batches: list[tuple[Filter, list[int]]] = []
    for number, query in enumerate(queries):
        for which, members in batches:
            if which == query.filter:
                members.append(number)
                break
        else:
            batches.append((query.filter, [number]))
    return batches


class LegOptions(protocols.Options):
    """Options of the retrievers ``dense`` and ``lexical``: none."""


class DenseRetriever:
    """Nearest vectors.

    Args:
        options: None to set.
        parts: Embedder and index.
    """

    version: ClassVar[int] = 1
    Options: ClassVar[type[LegOptions]] = LegOptions
    leg: ClassVar[str] = "dense"

    def __init__(self, options: LegOptions, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        self.index_version: int | None = None

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index."""
        self.index_version = version

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, best first, ranks from 1; no two with the same text."""
        retrievals: list[Retrieval] = [Retrieval(hits=())] * len(queries)
        for which, members in by_filter(queries):
            texts = [queries[m].text for m in members]
            vectors = None if self.leg == "lexical" else self._parts.embedder.embed(texts)
            # more than k, since copies of a text are left out below
            hits = self._parts.index.search(
                texts, vectors, fetch_size(k), leg=self.leg, version=self.index_version, filter=which
            )
            for member, query_hits in zip(members, hits, strict=True):
                retrievals[member] = Retrieval(hits=tuple(distinct(query_hits, k)))
        return retrievals


class LexicalRetriever(DenseRetriever):
    """Best BM25 matches; the embedder is not used."""

    leg: ClassVar[str] = "lexical"


class HybridRetriever:
    """Dense and lexical legs at the same time, fused.

    Args:
        options: See `Options`.
        parts: Embedder and index.
    """

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Options of the retriever ``hybrid``."""

        fusion: Literal["scores", "ranks"] = "scores"
        """``scores``: cosine plus weighted, scaled BM25 (`fusion.blend`), better on every set measured; ``ranks``:
        reciprocal rank fusion (`fusion.fuse`), for indexes whose dense scores are not cosines."""
        lexical: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
        """Weight of the lexical leg: with ``scores`` what a passage with all words of the question is worth, in cosine;
        with ``ranks``, 1 makes the legs equal. ``auto``: the weight chosen on the project's train and dev questions
        (`twofold bench retrieval`), .5 where there is no such choice."""
        rrf_k: int = Field(default=RRF_K, ge=0)
        """Damping of reciprocal rank fusion; smaller trusts the first ranks more."""
        fetch: int = Field(default=0, ge=0)
        """Hits taken from each leg; 0 for the larger of 4 k and 50."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        self.index_version: int | None = None

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index."""
        self.index_version = version

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, best first, ranks from 1; no two with the same text."""
        retrievals: list[Retrieval] = [Retrieval(hits=())] * len(queries)
        for which, members in by_filter(queries):
            hits = self._search([queries[m].text for m in members], k, which)
            for member, query_hits in zip(members, hits, strict=True):
                retrievals[member] = Retrieval(hits=tuple(query_hits))
        return retrievals

    def _search(self, texts: list[str], k: int, which: Filter) -> list[list[Hit]]:
        options, index, weight = self._options, self._parts.index, self._weight
        fetch = max(k, options.fetch) if options.fetch else fetch_size(k)

        def lexical() -> list[list[Hit]]:
            # with weight 0 the leg would change nothing
            if not weight:
                return [[] for _ in texts]
            return index.search(texts, None, fetch, leg="lexical", version=self.index_version, filter=which)

        words = self._pool.submit(lexical)  # beside the embedding, the slowest part (docs/notebook.md)
        vectors = self._parts.embedder.embed(texts)
        dense = index.search(texts, vectors, fetch, leg="dense", version=self.index_version, filter=which)
        legs = zip(texts, dense, words.result(), strict=True)
        fused = [self._fused(text, near, lexical_hits, fetch, weight) for text, near, lexical_hits in legs]
        # after fusion, of more than k hits: copies must not take the places of other passages
        return [distinct(hits, k) for hits in fused]

    @property
    def _weight(self) -> float:
        """The weight of the word leg, read anew: a choice for the project counts from the next question on."""
        if self._options.lexical != "auto":
            return self._options.lexical
        # the chosen weight is in cosine, which has no meaning for ranks
        chosen = self._parts.words() if self._parts.words and self._options.fusion == "scores" else None
        return LEXICAL_WEIGHT if chosen is None else chosen

    def _unknown(self, text: str) -> float:
        """Share of the question's letters that the embedder does not know, where it can tell."""
        embedder, letters = self._parts.embedder, sum(sign.isalnum() for sign in text)
        return embedder.unknown(text) / letters if isinstance(embedder, protocols.CountsUnknown) and letters else 0.0

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="words")

    def _fused(self, text: str, dense: list[Hit], lexical: list[Hit], count: int, weight: float) -> list[Hit]:
        options = self._options
        if options.fusion == "scores":
            # by the best passage of the word leg only: all others are scaled by its score
            share = covered(text, lexical[0].chunk) if lexical else 0.0
            worth = word_weight(weight, covered=share, unknown=self._unknown(text))
            return blend(dense, lexical, count, lexical_weight=worth)
        weights = {"lexical": weight}
        return fuse({"dense": dense, "lexical": lexical}, count, weights=weights, rrf_k=options.rrf_k)
