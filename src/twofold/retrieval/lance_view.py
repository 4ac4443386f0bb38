"""One version of a Lance table, searched: in memory and exactly while it is small, by its indices once they exist."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.identity import canonical_json
from twofold.retrieval.lance_rows import CHUNK_COLUMNS, any_of, chunks, condition, in_pieces
from twofold.retrieval.lexical import Bm25
from twofold.types import Chunk, Filter, Hit, IndexState, sealed

FTS_INDEX = "terms_idx"
VECTOR_INDEX = "vector_idx"
_DIGITS = 6
_WORKERS = 4
_HELD = 300_000
_FILTERS = 64
"""Filters whose rows are kept in memory."""
_EF = 200
_REFINE = 2
"""Candidates re-scored by their full vectors, per hit: distances are exact, recall of the top 50 rises to .99."""


class LanceView:
    """A table at one version. Nothing in it changes; all methods may be called from several threads.

    Args:
        table: A handle of its own, checked out at the version.
        version: That version.
    """

    def __init__(self, table: Any, version: int) -> None:
        self.version = version
        self._table = table
        self._lock = RLock()

    @cached_property
    def count(self) -> int:
        """Number of chunks."""
        return int(self._table.count_rows())

    @cached_property
    def _indexed(self) -> bool:
        return {FTS_INDEX, VECTOR_INDEX} <= {found.name for found in self._table.list_indices()}

    def read(self, columns: Sequence[str], where: str = "") -> Any:
        """Arrow table of these columns, of all rows or of those where the SQL condition holds."""
        query = self._table.search().select(list(columns)).limit(max(1, self.count))
        return (query.where(where) if where else query).to_arrow()

    def state(self, fingerprint: str) -> IndexState:
        """What this version holds."""
        documents, content = self._content
        return IndexState(
            version=self.version, chunks=self.count, documents=documents, content=content, fingerprint=fingerprint
        )

    @cached_property
    def _content(self) -> tuple[int, str]:
        with self._lock:
            found = self.read(["document", "seal"])
        return len(found["document"].unique()), sealed(found["seal"].to_pylist())

    def contents(self) -> dict[str, str]:
        """Document id → digest of its chunks, by id."""
        found = self.read(["document", "seal"])
        seals: dict[str, list[str]] = {}
        for document, seal in zip(found["document"].to_pylist(), found["seal"].to_pylist(), strict=True):
            seals.setdefault(document, []).append(seal)
        return {document: sealed(own) for document, own in sorted(seals.items())}

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, in the order given and then by place."""
        order = {name: place for place, name in enumerate(dict.fromkeys(documents))}
        found = [
            chunk
            for piece in in_pieces(list(order))
            for chunk in chunks(self.read(CHUNK_COLUMNS, any_of("document", piece)))
        ]
        return sorted(found, key=lambda c: (order[c.span.document], c.ordinal, c.span.start, c.id))

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], NDArray[np.float32]]:
        """All chunks of these documents, and their vectors."""
        import pyarrow as pa

        pieces = [
            self.read([*CHUNK_COLUMNS, "vector"], any_of("document", piece))
            for piece in in_pieces(list(dict.fromkeys(documents)))
        ]
        if not pieces:
            return [], np.zeros((0, 0), dtype=np.float32)
        found = pa.concat_tables(pieces).combine_chunks()
        width = found.schema.field("vector").type.list_size
        return chunks(found), _matrix(found["vector"], width, len(found))

    def rows_without(self, documents: Collection[str]) -> Any:
        """Arrow table of all rows but those of these documents."""
        found = self._table.to_arrow()
        return found.filter([name not in documents for name in found["document"].to_pylist()])

    def documents(self) -> dict[str, int]:
        """Document id → number of its chunks, by id."""
        return dict(sorted(Counter(self.read(["document"])["document"].to_pylist()).items()))

    def dense(self, vectors: NDArray[np.float32], k: int, which: Filter | None = None) -> list[list[Hit]]:
        """Nearest allowed chunks by cosine."""
        if not self._indexed:
            held = self._memory
            return [held.hits(held.matrix @ vector, k, "dense", positive=False, which=which) for vector in vectors]
        where = condition(which)

        def one(vector: NDArray[np.float32]) -> list[Hit]:
            query = self._table.search(vector, vector_column_name="vector").distance_type("cosine").limit(k)
            query = query.ef(max(_EF, 2 * k)).refine_factor(_REFINE)
            query = query.where(where, prefilter=True) if where else query
            found = self._fetched(query, "_distance")
            return _ranked(chunks(found), 1.0 - found["_distance"].to_numpy(), "dense")

        return _many(one, list(vectors))

    def lexical(self, queries: Sequence[Sequence[str]], k: int, which: Filter | None = None) -> list[list[Hit]]:
        """Best BM25 matches of each query's terms among the allowed chunks; a query without terms finds nothing."""
        if not self._indexed:
            held = self._memory
            return [held.hits(held.bm25.scores(query), k, "lexical", which=which) if query else [] for query in queries]
        where = condition(which)

        def one(query: Sequence[str]) -> list[Hit]:
            from lancedb.query import MatchQuery

            if not query:
                return []
            match = MatchQuery(" ".join(query), "terms")
            asked = self._table.search(match, query_type="fts").limit(k)
            asked = asked.where(where, prefilter=True) if where else asked
            found = self._fetched(asked, "_score")
            return _ranked(chunks(found), found["_score"].to_numpy(), "lexical")

        return _many(one, list(queries))

    def _fetched(self, query: Any, score: str) -> Any:
        """The query's rows with `CHUNK_COLUMNS` and the score: passages are held in memory up to `_HELD` of them."""
        if self.count > _HELD:
            return query.select([*CHUNK_COLUMNS, score]).to_arrow()
        found = query.select([score]).with_row_id(True).to_arrow()
        with self._lock:
            numbers, passages = self._passages
        places = np.searchsorted(numbers, found["_rowid"].to_numpy())
        return passages.take(places).append_column(score, found[score])

    @cached_property
    def _passages(self) -> tuple[NDArray[np.uint64], Any]:
        query = self._table.search().select(CHUNK_COLUMNS).with_row_id(True).limit(max(1, self.count))
        held = query.to_arrow().sort_by("_rowid").combine_chunks()
        return held["_rowid"].to_numpy(), held

    @property
    def _memory(self) -> _Memory:
        with self._lock:
            return self._loaded

    @cached_property
    def _loaded(self) -> _Memory:
        return _Memory(self.read([*CHUNK_COLUMNS, "terms", "vector"]).sort_by("id"))


class _Memory:
    """All rows, in the order of chunk ids: equal scores keep that order, whatever the history of edits."""

    def __init__(self, table: Any) -> None:
        import pyarrow.compute as pc

        table = table.combine_chunks()
        self.chunks = chunks(table)
        width = table.schema.field("vector").type.list_size
        self.matrix = _matrix(table["vector"], width, len(self.chunks))
        split = pc.split_pattern(table["terms"], " ")
        lengths = np.where(
            np.asarray(pc.equal(table["terms"], "")), 0, pc.list_value_length(split).to_numpy(zero_copy_only=False)
        )
        words = pc.list_flatten(split)
        words = words.filter(pc.not_equal(words, "")).combine_chunks().dictionary_encode()
        vocabulary = {word: number for number, word in enumerate(words.dictionary.to_pylist())}
        self.bm25 = Bm25(words.indices.to_numpy(zero_copy_only=False), lengths.astype(np.int64), vocabulary)
        self._allowed: OrderedDict[str, NDArray[np.bool_]] = OrderedDict()

    def allowed(self, which: Filter) -> NDArray[np.bool_]:
        """The rows that a filter allows, kept for the filters used last."""
        name = canonical_json(which)
        found = self._allowed.pop(name, None)
        if found is None:
            found = np.fromiter((which.allows(chunk) for chunk in self.chunks), dtype=np.bool_, count=len(self.chunks))
            while len(self._allowed) >= _FILTERS:
                self._allowed.popitem(last=False)
        self._allowed[name] = found
        return found

    def hits(
        self, scores: NDArray[np.float32], k: int, leg: str, *, positive: bool = True, which: Filter | None = None
    ) -> list[Hit]:
        """The best `k` allowed rows; ties by chunk id, rounding errors apart. `positive`: no rows of score 0."""
        scores = np.round(scores, _DIGITS)
        rows = np.flatnonzero(scores > 0) if positive else np.arange(len(scores))
        if which is not None and not which.empty:
            rows = rows[self.allowed(which)[rows]]
        if len(rows) > k:
            edge = np.partition(scores[rows], len(rows) - k)[len(rows) - k]
            rows = rows[scores[rows] >= edge]
        best = rows[np.argsort(-scores[rows], kind="stable")][:k]
        return [
            Hit(chunk=self.chunks[row], score=float(scores[row]), rank=rank, legs={leg: rank})
            for rank, row in enumerate(best, 1)
        ]


def _matrix(column: Any, width: int, count: int) -> NDArray[np.float32]:
    if not count:
        return np.zeros((0, width), dtype=np.float32)
    made: NDArray[np.float32] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return made


def _ranked(found: list[Chunk], scores: NDArray[Any], leg: str) -> list[Hit]:
    order = sorted(range(len(found)), key=lambda row: (-round(float(scores[row]), _DIGITS), found[row].id))
    return [
        Hit(chunk=found[row], score=float(scores[row]), rank=rank, legs={leg: rank})
        for rank, row in enumerate(order, 1)
    ]


def _many(one: Callable[[Any], list[Hit]], queries: Sequence[Any]) -> list[list[Hit]]:
    if len(queries) < 2:
        return [one(query) for query in queries]
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        return list(pool.map(one, queries))
