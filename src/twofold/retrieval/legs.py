"""The retrievers: one index leg alone, or dense and lexical fused."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal

from pydantic import Field

from twofold import plugins
from twofold.plugins import Embedder, Index
from twofold.retrieval.fusion import LEXICAL_WEIGHT, RRF_K, blend, distinct, fetch_size, fuse
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
    """Dense and lexical legs at the same time, fused.

    Args:
        options: See `Options`.
        embedder: Makes the queries' vectors, in one batch.
        index: Where to search.
    """

    version: ClassVar[int] = 1

    class Options(plugins.Options):
        """Options of the retriever ``hybrid``."""

        fusion: Literal["scores", "ranks"] = "scores"
        """``scores``: cosine plus weighted, scaled BM25 (`fusion.blend`), better on every set measured; ``ranks``:
        reciprocal rank fusion (`fusion.fuse`), for indexes whose dense scores are not cosines."""
        lexical: float = Field(default=LEXICAL_WEIGHT, ge=0)
        """Weight of the lexical leg; with ``ranks``, 1 makes the legs equal."""
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

        def lexical() -> list[list[Hit]]:
            if not options.lexical:
                return [[] for _ in queries]
            return self._index.search(queries, None, fetch, leg="lexical", version=self.index_version)

        with ThreadPoolExecutor(max_workers=1) as pool:
            words = pool.submit(lexical)
            vectors = self._embedder.embed(queries)
            dense = self._index.search(queries, vectors, fetch, leg="dense", version=self.index_version)
            pairs = zip(dense, words.result(), strict=True)
        return [distinct(self._fused(near, found, fetch), k) for near, found in pairs]

    def _fused(self, dense: list[Hit], lexical: list[Hit], count: int) -> list[Hit]:
        options = self._options
        if options.fusion == "scores":
            return blend(dense, lexical, count, lexical_weight=options.lexical)
        weights = {"lexical": options.lexical}
        return fuse({"dense": dense, "lexical": lexical}, count, weights=weights, rrf_k=options.rrf_k)
