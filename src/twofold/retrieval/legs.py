"""The retrievers: one index leg alone, or dense and lexical fused."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from pydantic import Field

from twofold import plugins
from twofold.plugins import Embedder, Index
from twofold.retrieval.fusion import RRF_K, distinct, fetch_size, fuse
from twofold.types import Hit


class LegOptions(plugins.Options):
    """Options of the retrievers ``dense`` and ``lexical``: none."""


class DenseRetriever:
    """Nearest vectors.

    Args:
        options: None to set.
        embedder: Makes the queries' vectors.
        index: Where to search.
    """

    version: ClassVar[int] = 1
    Options: ClassVar[type[LegOptions]] = LegOptions
    leg: ClassVar[str] = "dense"

    def __init__(self, options: LegOptions, *, embedder: Embedder, index: Index) -> None:
        self._options = options
        self._embedder = embedder
        self._index = index
        self.index_version: int | None = None

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index."""
        self.index_version = version

    def retrieve(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Top `k` hits per query, best first, ranks from 1; no two with the same text."""
        if not queries:
            return []
        vectors = None if self.leg == "lexical" else self._embedder.embed(queries)
        found = self._index.search(queries, vectors, fetch_size(k), leg=self.leg, version=self.index_version)
        return [distinct(hits, k) for hits in found]


class LexicalRetriever(DenseRetriever):
    """Best BM25 matches; takes an embedder and does not use it."""

    leg: ClassVar[str] = "lexical"


class HybridRetriever:
    """Dense and lexical legs at the same time, fused by reciprocal ranks.

    Args:
        options: See `Options`.
        embedder: Makes the queries' vectors, in one batch.
        index: Where to search.
    """

    version: ClassVar[int] = 1

    class Options(plugins.Options):
        """Options of the retriever ``hybrid``."""

        dense: float = Field(default=1.0, ge=0)
        """Weight of the dense leg."""
        lexical: float = Field(default=1.0, ge=0)
        """Weight of the lexical leg."""
        rrf_k: int = Field(default=RRF_K, ge=0)
        """Damping of reciprocal rank fusion; smaller trusts the first ranks more."""
        fetch: int = Field(default=0, ge=0)
        """Hits taken from each leg; 0 for the larger of 4 k and 50."""

    def __init__(self, options: Options, *, embedder: Embedder, index: Index) -> None:
        self._options = options
        self._embedder = embedder
        self._index = index
        self.index_version: int | None = None

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index."""
        self.index_version = version

    def retrieve(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Top `k` hits per query, best first, ranks from 1; no two with the same text."""
        if not queries:
            return []
        options = self._options
        fetch = max(k, options.fetch) if options.fetch else fetch_size(k)
        weights = {"dense": options.dense, "lexical": options.lexical}

        def leg(name: str) -> list[list[Hit]]:
            if not weights[name]:
                return [[] for _ in queries]
            vectors: Any = self._embedder.embed(queries) if name == "dense" else None
            return self._index.search(queries, vectors, fetch, leg=name, version=self.index_version)

        with ThreadPoolExecutor(max_workers=1) as pool:
            lexical = pool.submit(leg, "lexical")
            dense = leg("dense")
            words = lexical.result()
        fused = (
            fuse({"dense": d, "lexical": w}, fetch, weights=weights, rrf_k=options.rrf_k)
            for d, w in zip(dense, words, strict=True)
        )
        return [distinct(hits, k) for hits in fused]
