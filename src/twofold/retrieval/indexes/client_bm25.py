"""BM25 in the client's memory, for databases without a word search of their own.

Every process reads the passages once and then only the changed ones, through the versions of `database`; the scores
equal those of the embedded index. A change costs counting the words of the changed passages, and of small pieces near
them (see `pieces`). The price is memory: the passages and their words.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress
from threading import RLock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twofold.retrieval.analysis import Language, searched_text, terms
from twofold.retrieval.bm25 import Bm25, Words
from twofold.retrieval.indexes.database_rows import NEVER, Row, Scored
from twofold.retrieval.indexes.pieces import LEAST, best, settled
from twofold.types import Filter

_VIEWS = 3
"""Versions kept in memory: their pieces are mostly the same objects."""


class Changes(Protocol):
    """The database from which rows are read."""

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`."""
        ...

    def changed(self, after: int) -> list[Row]:
        """The rows that were born or died after that version."""
        ...


@dataclass(frozen=True, slots=True)
class _Piece:
    rows: Sequence[Row]
    words: Words
    living: NDArray[np.bool_]
    """Rows that the version has."""


@dataclass(frozen=True, slots=True)
class _View:
    pieces: Sequence[_Piece]
    bm25: Bm25


class ClientWords:
    """See the module. May be used from several threads.

    Args:
        rows: The database to read from.
        language: Language of the analysis.
    """

    def __init__(self, rows: Changes, language: Language) -> None:
        self._rows = rows
        self._language: Language = language
        self._lock = RLock()
        self._views: dict[int, _View] = {}

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best allowed rows of a version by BM25; a row without a common word is no match."""
        with self._lock:
            view = self._view(version)  # immutable, so that scoring needs no lock
        rows = list(chain.from_iterable(piece.rows for piece in view.pieces))
        allowed = (
            None if which is None or which.empty else np.array([which.allows(row.chunk) for row in rows], dtype=bool)
        )
        return [self._best(view.bm25.scores(query), rows, allowed, k) for query in queries]

    @staticmethod
    def _best(scores: NDArray[np.float32], rows: list[Row], allowed: Any, k: int) -> list[Scored]:
        if allowed is not None:
            scores *= allowed
        matched = np.flatnonzero(scores >= LEAST)
        named = best(
            matched, scores[matched], k, names=lambda some: [rows[number].chunk.id for number in some.tolist()]
        )
        return [(rows[number].chunk, score) for number, score in named]

    def _view(self, version: int) -> _View:
        if version in self._views:
            return self._views[version]
        older = max((known for known in self._views if known < version), default=None)
        if older is None:
            pieces, born = [], list(self._rows.live(version))
        else:
            changed = {row.key: row for row in self._rows.changed(older)}
            pieces = [_without(piece, changed) if changed else piece for piece in self._views[older].pieces]
            # a changed row leaves its piece; those that live at `version` make a piece of their own
            born = [row for row in changed.values() if row.born <= version < row.died]
        if born:
            pieces.append(self._piece([replace(row, died=NEVER) for row in born]))
        stay = settled([piece.living for piece in pieces])
        if stay < len(pieces):
            pieces[stay:] = [_joined(pieces[stay:])]
        view = _View(pieces, Bm25([(piece.words, piece.living) for piece in pieces]))
        self._views[version] = view
        while len(self._views) > _VIEWS:
            self._views.pop(next(iter(self._views)))
        return view

    def _piece(self, rows: Sequence[Row]) -> _Piece:
        words = Words.of([terms(searched_text(row.chunk), self._language) for row in rows])
        return _Piece(rows, words, np.ones(len(rows), dtype=np.bool_))

    def forget(self) -> None:
        """Read everything again: rows were dropped or came back."""
        with self._lock:
            self._views.clear()


def _without(piece: _Piece, changed: Container[str]) -> _Piece:
    unchanged = np.array([row.key not in changed for row in piece.rows], dtype=np.bool_)
    return replace(piece, living=piece.living & unchanged)


def _joined(pieces: Sequence[_Piece]) -> _Piece:
    rows = list(chain.from_iterable(compress(piece.rows, piece.living.tolist()) for piece in pieces))
    words = Words.joined([(piece.words, piece.living) for piece in pieces])
    return _Piece(rows, words, np.ones(len(rows), dtype=np.bool_))
