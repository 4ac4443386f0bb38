"""All rows of one version of a Lance table in memory: exact search, and updates from the previous version."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.hashing import canonical_json
from twofold.metadata.conditions import written
from twofold.metadata.facets import holds, parsed
from twofold.retrieval.bm25 import Bm25, Words
from twofold.retrieval.indexes.lancedb.rows import CHUNK_COLUMNS, NUMBER, chunk, matrix
from twofold.retrieval.indexes.lancedb.vectors import Vectors
from twofold.retrieval.indexes.pieces import LEAST, best, settled
from twofold.types import Chunk, Filter, Hit

PASSAGE = [*CHUNK_COLUMNS, "seal"]
ALL = [*PASSAGE, "terms", "vector"]
_SHARED = ("document", "title", "headings", "place", "collection", "metadata")
"""Columns in which many rows have the same value, which is stored once."""
_NO_ROW = np.uint64(2**64 - 1)
"""Number of a row that no longer exists."""
_FILTERS = 64
"""Filters whose rows are cached."""
_FIELDS = 32
"""Fields of the metadata whose values are cached, for each piece."""
_CHUNKS = 10_000
"""Chunks that are cached, for each piece."""
_FEW = 2000
"""Up to so many new rows are simply read; more are first compared with vanished rows, as compacting only moves rows."""

Read = Callable[[Sequence[str], NDArray[np.uint64] | None], Any]
"""``read(columns, numbers)``: Arrow table of these columns and of `NUMBER`, of the rows of these numbers or of all."""


class Piece:
    """Some of the rows. Immutable.

    Args:
        columns: Name of each of `PASSAGE` → its values.
        vectors: Their vectors.
        words: Their terms.
    """

    def __init__(self, columns: Mapping[str, list[Any]], vectors: Vectors, words: Words) -> None:
        self.columns = columns
        self.vectors = vectors
        self.words = words
        self._values = [columns[name] for name in CHUNK_COLUMNS]
        self._cached: dict[int, Chunk] = {}
        self._fields: dict[str, tuple[list[str], NDArray[np.int32]]] = {}

    @classmethod
    def of(cls, table: Any) -> Piece:
        """From an Arrow table with the columns `ALL`."""
        import pyarrow.compute as pc

        table = table.combine_chunks()
        split = pc.split_pattern(table["terms"], " ")
        # "" splits into one empty term: such a passage has none
        lengths = np.where(
            np.asarray(pc.equal(table["terms"], "")), 0, pc.list_value_length(split).to_numpy(zero_copy_only=False)
        )
        terms = pc.list_flatten(split)
        terms = terms.filter(pc.not_equal(terms, "")).combine_chunks().dictionary_encode()
        vocabulary = {term: number for number, term in enumerate(terms.dictionary.to_pylist())}
        words = Words(terms.indices.to_numpy(zero_copy_only=False), lengths.astype(np.int64), vocabulary)
        columns = {name: table[name].to_pylist() for name in PASSAGE}
        for name in _SHARED:  # equal values become one object
            same: dict[str, str] = {}
            columns[name] = [same.setdefault(value, value) for value in columns[name]]
        return cls(columns, Vectors(matrix(table["vector"])), words)

    @classmethod
    def joined(cls, parts: Sequence[tuple[Piece, NDArray[np.bool_]]]) -> Piece:
        """Join parts, each with a mask of the rows to keep, one part after the other."""
        columns: dict[str, list[Any]] = {name: [] for name in PASSAGE}
        for piece, mask in parts:
            living = mask.tolist()
            for name, values in columns.items():
                values.extend(compress(piece.columns[name], living))
        vectors = np.concatenate([piece.vectors.matrix[mask] for piece, mask in parts])
        return cls(columns, Vectors(vectors), Words.joined([(piece.words, mask) for piece, mask in parts]))

    def chunks(self, rows: Sequence[int]) -> list[Chunk]:
        """The chunks of these rows."""
        cached = self._cached
        if len(cached) > _CHUNKS:  # a new dict, not an emptied one: another thread may be reading the old one
            cached = self._cached = {}
        for row in rows:
            if row not in cached:
                cached[row] = self._chunk(row)
        return [cached[row] for row in rows]

    def _chunk(self, row: int) -> Chunk:
        return chunk([values[row] for values in self._values])

    def allowed(self, which: Filter) -> NDArray[np.bool_]:
        """The rows that a filter allows, by `types.Filter.allows`.

        The filter is evaluated once for each collection with its readers, and once for each value of a field, not once
        for each row.
        """
        labels, of_row = self._labels
        plain = replace(which, without=frozenset(), where=())
        seen: NDArray[np.bool_] = np.array([plain.allows(label) for label in labels], dtype=np.bool_)[of_row]
        for condition in which.conditions:
            values, value_of = self._values_of(condition.field)
            seen &= np.array([holds(condition, parsed(value)) for value in values], dtype=np.bool_)[value_of]
        if which.without:
            seen &= np.array([document not in which.without for document in self.columns["document"]], dtype=np.bool_)
        return seen

    @cached_property
    def _labels(self) -> tuple[list[Chunk], NDArray[np.int32]]:
        """A chunk for each combination of collection and readers, and the number of each row's combination."""
        kinds: dict[Any, int] = {}
        of_row = np.zeros(len(self.words.lengths), dtype=np.int32)
        first: list[int] = []
        for row, (collection, readers) in enumerate(
            zip(self.columns["collection"], self.columns["readers"], strict=True)
        ):
            kind = (collection, None if readers is None else tuple(readers))
            of_row[row] = kinds.setdefault(kind, len(kinds))
            if len(first) < len(kinds):
                first.append(row)
        return [self._chunk(row) for row in first], of_row

    def _values_of(self, name: str) -> tuple[list[str], NDArray[np.int32]]:
        """The different values of a metadata field ("" for none), and the number of each row's value."""
        if name not in self._fields:
            numbers: dict[str, int] = {}
            read: dict[str, int] = {}
            of_row = np.zeros(len(self.words.lengths), dtype=np.int32)
            for row, metadata in enumerate(self.columns["metadata"]):
                if metadata not in read:
                    read[metadata] = numbers.setdefault(json.loads(metadata).get(name, ""), len(numbers))
                of_row[row] = read[metadata]
            if len(self._fields) >= _FIELDS:
                self._fields = {}
            self._fields[name] = (list(numbers), of_row)
        return self._fields[name]


class RowsInMemory:
    """The rows of a version: pieces, and the number of each row in the table. May be used from several threads.

    Args:
        pieces: Pieces with the numbers of their rows, `_NO_ROW` for rows that this version does not contain.
    """

    def __init__(self, pieces: Sequence[tuple[Piece, NDArray[np.uint64]]]) -> None:
        self._pieces = list(pieces)
        self._living = [numbers != _NO_ROW for _, numbers in pieces]
        self._starts = np.cumsum([0, *(len(numbers) for _, numbers in pieces)])
        self._bm25 = Bm25([(p.words, living) for (p, _), living in zip(pieces, self._living, strict=True)])
        self._whole = [bool(living.all()) for living in self._living]
        self._allowed: OrderedDict[str, list[NDArray[np.bool_]]] = OrderedDict()

    @classmethod
    def whole(cls, read: Read) -> RowsInMemory:
        """All rows, read anew."""
        table = read(ALL, None)
        return cls([(Piece.of(table), table[NUMBER].to_numpy())])

    def after(self, read: Read) -> RowsInMemory:
        """The rows of another version of the same table; common rows are taken from this one."""
        now = np.sort(read([], None)[NUMBER].to_numpy())
        had = np.concatenate([numbers for _, numbers in self._pieces])
        stays = _among(had, now)
        new = now[~_among(now, np.sort(had))]
        # nothing in common, and much larger: these rows would save no reading
        if len(new) > _FEW and not stays.any() and len(had) * 8 < len(new):
            return RowsInMemory.whole(read)
        numbers = np.where(stays, had, _NO_ROW)
        if len(new) > _FEW:
            new = self._moved(read, new, numbers, departed=np.flatnonzero(~stays & (had != _NO_ROW)))
        shares = [numbers[a:b] for a, b in zip(self._starts[:-1], self._starts[1:], strict=True)]
        pieces = [(piece, part) for (piece, _), part in zip(self._pieces, shares, strict=True)]
        if len(new):
            table = read(ALL, new)
            pieces.append((Piece.of(table), table[NUMBER].to_numpy()))
        return RowsInMemory(_tidied(pieces))

    def _moved(
        self, read: Read, new: NDArray[np.uint64], numbers: NDArray[np.uint64], *, departed: NDArray[Any]
    ) -> NDArray[np.uint64]:
        """Give rows that only moved within the table their new numbers; return the numbers of really new rows."""
        seals = list(chain.from_iterable(piece.columns["seal"] for piece, _ in self._pieces))
        place = {seals[row]: row for row in departed.tolist()}
        table = read(["seal", "vector"], new)
        at = np.array([place.get(seal, -1) for seal in table["seal"].to_pylist()])
        vectors, new_numbers = matrix(table["vector"]), table[NUMBER].to_numpy()
        # the seal is of the chunk alone, so the vectors are compared as well
        same = np.zeros(len(at), dtype=np.bool_)
        for (piece, _), start, end in zip(self._pieces, self._starts[:-1], self._starts[1:], strict=True):
            here = np.flatnonzero((at >= start) & (at < end))
            same[here] = (piece.vectors.matrix[at[here] - start] == vectors[here]).all(axis=1)
        numbers[at[same]] = new_numbers[same]
        left: NDArray[np.uint64] = new_numbers[~same]
        return left

    # ------------------------------------------------------------ searching

    def dense(self, vector: NDArray[np.float32], k: int, which: Filter | None) -> list[Hit]:
        """Nearest allowed chunks by cosine."""
        seen = self._seen(which)
        rows, scores = [], []
        for number, (piece, _) in enumerate(self._pieces):
            near_rows, near = piece.vectors.nearest(vector, k, seen[number])
            rows.append(near_rows + self._starts[number])
            scores.append(near)
        return self._hits(np.concatenate(rows), np.concatenate(scores), k, "dense")

    def lexical(self, query: Sequence[str], k: int, which: Filter | None) -> list[Hit]:
        """Best BM25 matches among the allowed chunks."""
        scores = self._bm25.scores(query)
        if which is not None and not which.empty:
            for allowed, start in zip(self._seen(which), self._starts, strict=False):
                scores[start : start + len(allowed)] *= allowed
        rows = np.flatnonzero(scores >= LEAST)
        return self._hits(rows, scores[rows], k, "lexical")

    def _seen(self, which: Filter | None) -> list[Any]:
        """Rows of each piece that may be found; None for all."""
        if which is None or which.empty:
            return [None if whole else living for whole, living in zip(self._whole, self._living, strict=True)]
        name = canonical_json([replace(which, where=()), written(which.conditions)])  # "7" is not 7
        allowed = self._allowed.pop(name, None)
        if allowed is None:
            allowed = [p.allowed(which) & living for (p, _), living in zip(self._pieces, self._living, strict=True)]
            while len(self._allowed) >= _FILTERS:
                self._allowed.popitem(last=False)
        self._allowed[name] = allowed
        return allowed

    def _hits(self, rows: NDArray[Any], scores: NDArray[np.float32], k: int, leg: str) -> list[Hit]:
        ranked = best(rows, scores, k, names=self._names)
        chunks = self._chunks([row for row, _ in ranked])
        hits: list[Hit] = []
        for rank, (whole, (_, score)) in enumerate(zip(chunks, ranked, strict=True), 1):
            hits.append(Hit(chunk=whole, score=score, rank=rank, legs={leg: rank}))
        return hits

    def _split(self, rows: NDArray[Any]) -> list[tuple[Piece, NDArray[Any], NDArray[Any]]]:
        """Split rows by piece: each piece, the places of its rows in `rows`, and their numbers within the piece."""
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        parts: list[tuple[Piece, NDArray[Any], NDArray[Any]]] = []
        for number, (piece, _) in enumerate(self._pieces):
            if len(here := np.flatnonzero(owner == number)):
                parts.append((piece, here, rows[here] - self._starts[number]))
        return parts

    def _names(self, rows: NDArray[Any]) -> list[str]:
        out = [""] * len(rows)
        for piece, here, local_rows in self._split(rows):
            names = piece.columns["id"]
            for place, row in zip(here.tolist(), local_rows.tolist(), strict=True):
                out[place] = names[row]
        return out

    def _chunks(self, rows: Sequence[int]) -> list[Chunk]:
        out: dict[int, Chunk] = {}
        for piece, here, local_rows in self._split(np.array(rows, dtype=np.int64)):
            out.update(zip(here.tolist(), piece.chunks(local_rows.tolist()), strict=True))
        return [out[place] for place in range(len(rows))]


def _among(values: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `values` stand in `ordered`."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    present: NDArray[np.bool_] = ordered[place] == values
    return present


def _tidied(pieces: list[tuple[Piece, NDArray[np.uint64]]]) -> list[tuple[Piece, NDArray[np.uint64]]]:
    """The same rows in fewer pieces, where there are too many."""
    living = [numbers != _NO_ROW for _, numbers in pieces]
    stay = settled(living)
    if stay == len(pieces):
        return pieces
    rest = pieces[stay:]
    joined = Piece.joined([(piece, mask) for (piece, _), mask in zip(rest, living[stay:], strict=True)])
    numbers = np.concatenate([numbers[mask] for (_, numbers), mask in zip(rest, living[stay:], strict=True)])
    return [*pieces[:stay], (joined, numbers)]
