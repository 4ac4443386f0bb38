"""An index under access control that applies the readers of *now*, whichever version of the index is read.

An index keeps with each chunk the readers that its document had when it was cut. A restored or pinned version, and an
index that another process has not brought up to date yet, therefore hold readers of another day. `CurrentReaders`
stands before the index and puts today's readers in their place, for every search and every stage alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Protocol, cast

from twofold.answering import access
from twofold.plugins.protocols import Index
from twofold.settings.sections import AccessSection
from twofold.types import Chunk, Document, Filter, Hit

Readers = Callable[[Sequence[str]], Mapping[str, tuple[str, ...] | None]]
"""Ids of documents → readers of each today. A missing document is in no source any more, and nobody may read it."""


class Known(Protocol):
    """A store of the documents of the last sync, such as the catalogue's."""

    def readers_of(self, ids: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...] | None]]:
        """Document id → its source and its own readers."""
        ...


def current(index: Index, known: Known, section: AccessSection) -> Index:
    """The index with the readers of today where access control is enabled; otherwise the index itself.

    Args:
        index: The index.
        known: The store of the documents' own readers.
        section: ``[access]``, with the rules for documents that name none.
    """
    return cast(Index, CurrentReaders(index, partial(readers_now, known, section.rules))) if section.enabled else index


def readers_now(
    known: Known, rules: Sequence[access.Rule], documents: Sequence[str]
) -> dict[str, tuple[str, ...] | None]:
    """Readers of each of the documents today; a document that the store does not know is left out.

    Args:
        known: The store of the documents' own readers.
        rules: Rules for documents that name no readers.
        documents: Ids of the documents.
    """
    current: dict[str, tuple[str, ...] | None] = {}
    for name, (source, fields) in known.readers_of(documents).items():
        current[name] = access.ruled(Document(id=name, text="", source=source, readers=fields), rules).readers
    return current


class CurrentReaders:
    """An index whose chunks have the readers of today; every other method is the inner index's own.

    A search fetches more hits where today's readers close some of those it found, so that everybody gets as many
    passages as they may read. New readers of a document find it once the index is synced.

    Args:
        inner: The index.
        readers: Returns the readers of documents today.
    """

    version: ClassVar[int] = 1

    def __init__(self, inner: Index, readers: Readers) -> None:
        self._inner = inner
        self._readers = readers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def search(
        self,
        texts: Sequence[str],
        vectors: Any,
        k: int,
        *,
        leg: str = "hybrid",
        version: int | None = None,
        filter: Filter | None = None,
    ) -> list[list[Hit]]:
        """The top `k` hits per query that the filter allows by today's readers; see `protocols.Index.search`."""
        fetch = k
        while True:
            hit_lists = self._inner.search(texts, vectors, fetch, leg=leg, version=version, filter=filter)
            now = self._readers(_documents(hit.chunk for hit in chain.from_iterable(hit_lists)))
            open_now = [_allowed(hits, now, filter) for hits in hit_lists]
            # too few of these are open today, and a full list says that the index has more
            lacking = any(
                len(allowed) < k and len(hits) >= fetch for allowed, hits in zip(open_now, hit_lists, strict=True)
            )
            if not lacking:
                return [_ranked(allowed[:k]) for allowed in open_now]
            # fourfold: where nearly everything is closed, few rounds reach the end of the index
            fetch *= 4

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, with today's readers."""
        chunks = self._inner.chunks_of(documents)
        now = self._readers(_documents(chunks))
        return [_as_of_now(chunk, now) for chunk in chunks]

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], Any]:
        """All chunks of these documents, with today's readers, and their vectors."""
        chunks, vectors = self._inner.vectors_of(documents)
        now = self._readers(_documents(chunks))
        return [_as_of_now(chunk, now) for chunk in chunks], vectors


def _documents(chunks: Iterable[Chunk]) -> list[str]:
    return list(dict.fromkeys(chunk.span.document for chunk in chunks))


def _as_of_now(chunk: Chunk, now: Mapping[str, tuple[str, ...] | None]) -> Chunk:
    # an empty tuple, not None: a document that no source holds any more is closed to everybody
    readers = now.get(chunk.span.document, ())
    return chunk if chunk.readers == readers else replace(chunk, readers=readers)


def _allowed(hits: Sequence[Hit], now: Mapping[str, tuple[str, ...] | None], which: Filter | None) -> list[Hit]:
    current = [replace(hit, chunk=_as_of_now(hit.chunk, now)) for hit in hits]
    return [hit for hit in current if which is None or which.allows(hit.chunk)]


def _ranked(hits: Sequence[Hit]) -> list[Hit]:
    return [hit if hit.rank == rank else replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)]
