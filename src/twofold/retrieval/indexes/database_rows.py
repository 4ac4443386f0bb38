"""The operations that `DatabaseIndex` needs from a database, and the filterable form of a chunk."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import RLock
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from twofold.metadata import facets as compared
from twofold.types import Chunk, Filter, Hit, Json, Span

NEVER = 2_000_000_000
"""Value of `died` for a row that lives."""
_DIGITS = 6
"""Decimals of a score that count: smaller differences are rounding, and the chunk id decides."""

Scored = tuple[Chunk, float]
"""A matching chunk, and its score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A stored chunk. It belongs to the versions ``born <= version < died``."""

    key: str
    """Unique in the database, also among earlier rows of the same chunk."""
    chunk: Chunk
    """The stored chunk."""
    born: int
    """First version that contains the row."""
    died: int = NEVER
    """First version that no longer contains the row."""
    terms: tuple[str, ...] = ()
    """Analysed words with repeats; set when a row is written or ended, empty when it was read back."""


class Rows(Protocol):
    """Rows and notes of one index in one database. Raises only errors of `twofold.errors`."""

    transactional: ClassVar[bool]
    """`writing` is all or nothing. Otherwise the next writer reverts an unfinished change."""

    def reading(self) -> AbstractContextManager[Rows]:
        """Rows of one state of the database, as far as it can promise that; usable from several threads."""
        ...

    def writing(self) -> AbstractContextManager[Rows]:
        """Rows that may be written; one writer at a time, as far as the database can promise that."""
        ...

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        ...

    def put_note(self, name: str, body: Json) -> None:
        """Write a note, whole or not at all."""
        ...

    def put(self, rows: Sequence[Row], vectors: NDArray[Any], average: float) -> None:
        """Add rows. `average` is the mean number of terms of a row, for BM25 weights made on the client."""
        ...

    def end(self, rows: Sequence[Row], version: int) -> None:
        """Give these rows ``died = version``."""
        ...

    def revive(self, after: int) -> None:
        """Let rows live again that died after `after`."""
        ...

    def drop(self, *, after: int, until: int) -> None:
        """Remove rows for good that were born after `after` and died at `until` or earlier."""
        ...

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`: all, or those of these documents."""
        ...

    def seals(self, version: int) -> list[tuple[str, str]]:
        """Document and seal of every row seen at `version`."""
        ...

    def vectors(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vectors of these rows, shape (rows, dimension)."""
        ...

    def near(self, vectors: NDArray[Any], k: int, version: int, *, which: Filter | None) -> list[list[Scored]]:
        """Nearest rows by cosine."""
        ...

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best rows by BM25; none of the queries is empty."""
        ...

    def settle(self, chunks: int) -> None:
        """After a change: build structures for faster search. `chunks` is the number of living chunks."""
        ...

    def loading(self) -> AbstractContextManager[None]:
        """A block of many changes, after which `settle` is called once: what makes searching fast is put off."""
        ...

    def scrub(self) -> None:
        """Leave no byte of dropped rows behind, as far as the database can promise that."""
        ...

    def discard(self) -> None:
        """Remove the index from the database."""
        ...


class VersionedRows(ABC):
    """Reading and writing where the database has no transactions: the version decides which rows are seen."""

    transactional: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = RLock()

    @contextmanager
    def reading(self) -> Iterator[Self]:
        """These rows."""
        with self.calling():
            yield self

    @contextmanager
    def writing(self) -> Iterator[Self]:
        """These rows; threads of one process queue, a second process must not write."""
        with self._lock, self.calling():
            yield self

    def loading(self) -> AbstractContextManager[None]:
        """Nothing is put off where the database decides by itself."""
        return nullcontext()

    @abstractmethod
    def calling(self) -> AbstractContextManager[None]:
        """A context that converts the errors of the client library into those of `twofold.errors`."""


def pack(chunk: Chunk) -> str:
    """A chunk as JSON text."""
    span = chunk.span
    # None and an empty list differ: unknown readers, and nobody
    readers = None if chunk.readers is None else list(chunk.readers)
    fields = [
        chunk.id, span.document, span.start, span.end, chunk.text, chunk.title, list(chunk.headings), chunk.ordinal,
        chunk.place, chunk.collection, readers, dict(chunk.metadata),
    ]  # fmt: skip
    return json.dumps(fields, ensure_ascii=False)


def unpack(text: str) -> Chunk:
    """The chunk that `pack` wrote."""
    name, document, start, end, words, title, headings, ordinal, place, collection, readers, metadata = json.loads(text)
    return Chunk(
        id=name,
        span=Span(document=document, start=start, end=end),
        text=words,
        title=title,
        headings=tuple(headings),
        ordinal=ordinal,
        place=place,
        collection=collection,
        readers=None if readers is None else tuple(readers),
        metadata=metadata,
    )


def facets(chunk: Chunk) -> list[str]:
    """The metadata in the form in which filters compare them."""
    return compared.facets(chunk.metadata)


def required(which: Filter | None) -> list[tuple[str, list[str]]]:
    """The filter as conditions that must all hold: a field has one of the listed values.

    Fields are ``collection``, ``facets`` and ``readers``; an empty list matches nothing. `unwanted` and `barred` are
    the conditions that must not hold.
    """
    if which is None or which.empty:
        return []
    out = [("collection", list(which.collections))] if which.collections else []
    out += [("facets", some) for has, some in compared.clauses(which.conditions) if has]
    return out + ([] if which.principal is None else [("readers", list(which.principal))])


def unwanted(which: Filter | None) -> list[str]:
    """Ids of the documents that must not be found."""
    return [] if which is None else sorted(which.without)


def barred(which: Filter | None) -> list[str]:
    """Facets that no allowed row has."""
    if which is None:
        return []
    negated: dict[str, None] = {}
    for has, values in compared.clauses(which.conditions):
        if not has:
            negated.update(dict.fromkeys(values))
    return list(negated)


def ranked(scored: Sequence[Scored], k: int, leg: str) -> list[Hit]:
    """The best `k`; ties by chunk id, rounding errors apart."""
    rounded = [(round(score, _DIGITS), chunk) for chunk, score in scored]
    rounded.sort(key=lambda pair: (-pair[0], pair[1].id))
    hits: list[Hit] = []
    for rank, (score, chunk) in enumerate(rounded[:k], 1):
        hits.append(Hit(chunk=chunk, score=score, rank=rank, legs={leg: rank}))
    return hits
