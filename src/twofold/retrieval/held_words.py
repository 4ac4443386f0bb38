"""BM25 held by the client, for databases that have no word search of their own.

Every process reads the passages once and then only what has changed, through the versions of `database_index`; the
scores are the embedded index's. Costs memory (the passages and their words) and, after a change, one pass over the
words: meant for up to some ten thousand chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Protocol

import numpy as np

from twofold.retrieval.database_rows import NEVER, Row, Scored
from twofold.retrieval.lance_rows import searched_text
from twofold.retrieval.lexical import Bm25, Language, terms
from twofold.types import Filter

_VIEWS = 3
_DIGITS = 6


class Changes(Protocol):
    """Where rows are read from."""

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`."""
        ...

    def changed(self, after: int) -> list[Row]:
        """The rows that were born or died after that version."""
        ...


@dataclass(frozen=True, slots=True)
class _View:
    rows: dict[str, Row]
    """By chunk id, in that order; with their terms."""
    bm25: Bm25


class HeldWords:
    """See the module. May be used from several threads.

    Args:
        rows: Where to read from.
        language: Of the analysis.
    """

    def __init__(self, rows: Changes, language: Language) -> None:
        self._rows = rows
        self._language: Language = language
        self._lock = RLock()
        self._views: dict[int, _View] = {}

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best allowed rows of that version by BM25; a row that shares no word is none."""
        with self._lock:
            view = self._view(version)
        rows = list(view.rows.values())
        allowed = np.array([which is None or which.allows(row.chunk) for row in rows], dtype=np.bool_)
        return [self._best(view.bm25, rows, allowed, query, k) for query in queries]

    @staticmethod
    def _best(bm25: Bm25, rows: list[Row], allowed: np.ndarray, query: Sequence[str], k: int) -> list[Scored]:
        scores = np.round(bm25.scores(query), _DIGITS) * allowed
        found = np.flatnonzero(scores > 0)
        best = found[np.argsort(-scores[found], kind="stable")][:k]
        return [(rows[number].chunk, float(scores[number])) for number in best]

    def _view(self, version: int) -> _View:
        if version in self._views:
            return self._views[version]
        older = max((known for known in self._views if known < version), default=None)
        if older is None:
            rows = [self._analysed(row) for row in self._rows.live(version)]
        else:
            changed = {row.key: row for row in self._rows.changed(older)}
            kept = [row for row in self._views[older].rows.values() if row.key not in changed]
            born = [self._analysed(row) for row in changed.values() if row.born <= version < row.died]
            rows = kept + born
        ordered = {row.chunk.id: row for row in sorted(rows, key=lambda row: row.chunk.id)}
        view = _View(ordered, Bm25.of([row.terms for row in ordered.values()]))
        self._views[version] = view
        while len(self._views) > _VIEWS:
            self._views.pop(next(iter(self._views)))
        return view

    def _analysed(self, row: Row) -> Row:
        return replace(row, terms=tuple(terms(searched_text(row.chunk), self._language)), died=NEVER)

    def forget(self) -> None:
        """Read everything again: rows were dropped or came back."""
        with self._lock:
            self._views.clear()
