"""One version of a Lance table, searched: in memory while it is small enough, else by its indices on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.retrieval.indexes.lancedb.in_memory import RowsInMemory
from twofold.retrieval.indexes.lancedb.rows import CHUNK_COLUMNS, NUMBER, any_of, chunks, condition, in_pieces, matrix
from twofold.types import Chunk, Filter, Hit, IndexState, sealed

FTS_INDEX = "terms_idx"
VECTOR_INDEX = "vector_idx"
_DIGITS = 6
"""Decimals of a score that count: smaller differences are rounding, and the chunk id decides."""
_WORKERS = 4
"""Queries searched on disk at the same time."""
_EF = 200
"""Candidates of a graph search."""
_REFINE = 2
"""Candidates re-scored by their full vectors, per hit: distances are exact, recall of the top 50 rises to .99."""


class LanceView:
    """A table at one version. Nothing in it changes; all methods may be called from several threads.

    Args:
        table: A separate handle of the table, checked out at the version.
        version: The version's number.
        limit: Most chunks that are searched in memory.
        before: Returns the rows of another version in memory, if any: common rows are not read again.
    """

    def __init__(self, table: Any, version: int, *, limit: int, before: Callable[[], RowsInMemory | None]) -> None:
        self.version = version
        self._table = table
        self._limit = limit
        self._before = before
        self._lock = RLock()
        self.rows_in_memory: RowsInMemory | None = None
        """The rows in memory, if they have been read."""

    @cached_property
    def count(self) -> int:
        """Number of chunks."""
        return int(self._table.count_rows())

    @cached_property
    def _in_memory(self) -> bool:
        indexed = {FTS_INDEX, VECTOR_INDEX} <= {index.name for index in self._table.list_indices()}
        # a table past the limit whose indices are not built yet is searched exactly
        return self.count <= self._limit or not indexed

    def read(self, columns: Sequence[str], where: str = "") -> Any:
        """Arrow table of these columns, of all rows or of those where the SQL condition holds."""
        query = self._table.search().select(list(columns)).limit(max(1, self.count))
        return (query.where(where) if where else query).to_arrow()

    def state(self, fingerprint: str) -> IndexState:
        """Counts and digest of this version."""
        documents, content = self._content
        return IndexState(
            version=self.version, chunks=self.count, documents=documents, content=content, fingerprint=fingerprint
        )

    @cached_property
    def _content(self) -> tuple[int, str]:
        with self._lock:
            table = self.read(["document", "seal"])
        return len(table["document"].unique()), sealed(table["seal"].to_pylist())

    def contents(self) -> dict[str, str]:
        """Document id → digest of its chunks, by id."""
        table = self.read(["document", "seal"])
        seals: dict[str, list[str]] = {}
        for document, seal in zip(table["document"].to_pylist(), table["seal"].to_pylist(), strict=True):
            seals.setdefault(document, []).append(seal)
        return {document: sealed(chunk_seals) for document, chunk_seals in sorted(seals.items())}

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, in the order of `documents` and then by place."""
        order = {name: place for place, name in enumerate(dict.fromkeys(documents))}
        matching: list[Chunk] = []
        for piece in in_pieces(list(order)):
            matching += chunks(self.read(CHUNK_COLUMNS, any_of("document", piece)))
        return sorted(matching, key=lambda c: (order[c.span.document], c.ordinal, c.span.start, c.id))

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], NDArray[np.float32]]:
        """All chunks of these documents, and their vectors."""
        import pyarrow as pa

        pieces = [
            self.read([*CHUNK_COLUMNS, "vector"], any_of("document", piece))
            for piece in in_pieces(list(dict.fromkeys(documents)))
        ]
        if not pieces:
            return [], np.zeros((0, 0), dtype=np.float32)
        table = pa.concat_tables(pieces).combine_chunks()
        return chunks(table), matrix(table["vector"])

    def rows_without(self, documents: Collection[str]) -> Any:
        """Arrow table of all rows but those of these documents."""
        import pyarrow as pa

        table = self._table.to_arrow()
        # With its type: of an empty list Arrow makes a column of nulls, by which nothing can be filtered.
        remaining = [name not in documents for name in table["document"].to_pylist()]
        return table.filter(pa.array(remaining, pa.bool_()))

    def documents(self) -> dict[str, int]:
        """Document id → number of its chunks, by id."""
        return dict(sorted(Counter(self.read(["document"])["document"].to_pylist()).items()))

    def dense(self, vectors: NDArray[np.float32], k: int, which: Filter | None = None) -> list[list[Hit]]:
        """Nearest allowed chunks by cosine."""
        if self._in_memory:
            return [self._loaded.dense(vector, k, which) for vector in vectors]
        where = condition(which)

        def nearest(vector: NDArray[np.float32]) -> list[Hit]:
            query = self._table.search(vector, vector_column_name="vector").distance_type("cosine").limit(k)
            # ef, the candidates of the graph search, must not be fewer than the hits
            query = query.ef(max(_EF, 2 * k)).refine_factor(_REFINE)
            # prefilter: a filter after the search would leave fewer than k hits
            query = query.where(where, prefilter=True) if where else query
            table = query.select([*CHUNK_COLUMNS, "_distance"]).to_arrow()
            return _ranked(chunks(table), 1.0 - table["_distance"].to_numpy(), "dense")

        return _many(nearest, list(vectors))

    def lexical(self, queries: Sequence[Sequence[str]], k: int, which: Filter | None = None) -> list[list[Hit]]:
        """Best BM25 matches of each query's terms among the allowed chunks; a query without terms finds nothing."""
        if self._in_memory:
            return [self._loaded.lexical(query, k, which) if query else [] for query in queries]
        where = condition(which)

        def best(query: Sequence[str]) -> list[Hit]:
            from lancedb.query import MatchQuery

            if not query:
                return []
            match = MatchQuery(" ".join(query), "terms")
            request = self._table.search(match, query_type="fts").limit(k)
            request = request.where(where, prefilter=True) if where else request
            table = request.select([*CHUNK_COLUMNS, "_score"]).to_arrow()
            return _ranked(chunks(table), table["_score"].to_numpy(), "lexical")

        return _many(best, list(queries))

    @property
    def _loaded(self) -> RowsInMemory:
        """The rows in memory, read at the first use."""
        with self._lock:  # threads that come at the same time wait for the one reading
            if self.rows_in_memory is None:
                before = self._before()
                self.rows_in_memory = RowsInMemory.whole(self.rows) if before is None else before.after(self.rows)
            return self.rows_in_memory

    def rows(self, columns: Sequence[str], numbers: NDArray[np.uint64] | None = None) -> Any:
        """Arrow table of these columns and of `NUMBER`, of all rows or of the rows with these numbers."""
        if numbers is None:
            return self.read([*columns, NUMBER])
        return self._table.take_row_ids(numbers.tolist()).select(list(columns)).with_row_id().to_arrow()


def _ranked(matched: list[Chunk], scores: NDArray[Any], leg: str) -> list[Hit]:
    order = sorted(range(len(matched)), key=lambda row: (-round(float(scores[row]), _DIGITS), matched[row].id))
    return [
        Hit(chunk=matched[row], score=float(scores[row]), rank=rank, legs={leg: rank})
        for rank, row in enumerate(order, 1)
    ]


def _many(search: Callable[[Any], list[Hit]], queries: Sequence[Any]) -> list[list[Hit]]:
    if len(queries) < 2:
        return [search(query) for query in queries]
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        return list(pool.map(search, queries))
