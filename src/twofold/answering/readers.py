"""Readers of *now* decide: an index under access control, whatever version of it is read.

An index keeps with each chunk the readers its document had when it was cut. A restored or pinned version, and an index
that another process has not brought up to date yet, therefore hold readers of another day. This stands before the
index and puts today's in their place, for every search and stage alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Protocol, cast

from twofold.answering import access
from twofold.config import AccessSection
from twofold.plugins.protocols import Index
from twofold.types import Chunk, Document, Filter, Hit

Readers = Callable[[Sequence[str]], Mapping[str, tuple[str, ...] | None]]
"""Ids of documents → who may read each today. One that is missing is held by no source any more: nobody may."""


class Known(Protocol):
    """A store that knows the documents as of the last sync: the catalogue's documents."""

    def readers_of(self, ids: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...] | None]]:
        """Document id → its source and its own readers."""
        ...


def current(index: Index, known: Known, section: AccessSection) -> Index:
    """The index with the readers of today where access control is on; without it the index itself.

    Args:
        index: The index.
        known: Has the documents' own readers.
        section: ``[access]``, with the rules for documents that name none.
    """
    return cast(Index, CurrentReaders(index, partial(readers_now, known, section.rules))) if section.enabled else index


def readers_now(
    known: Known, rules: Sequence[access.Rule], documents: Sequence[str]
) -> dict[str, tuple[str, ...] | None]:
    """Who may read each of the documents today; one that is not known is left out.

    Args:
        known: Has the documents' own readers.
        rules: For those that name none.
        documents: Their ids.
    """
    return {
        name: access.ruled(Document(id=name, text="", source=source, readers=own), rules).readers
        for name, (source, own) in known.readers_of(documents).items()
    }


class CurrentReaders:
    """An index whose chunks have the readers of today; everything else is the inner index's own.

    A search asks for more where some of what it found is closed today, so that nobody gets fewer passages than they
    may read. A document that was opened since is found by its new readers once the index is synced.

    Args:
        inner: The index.
        readers: Who may read what today.
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
        """Top `k` per query of what the filter allows both by the index and today; see `protocols.Index.search`."""
        fetch = k
        while True:
            hit_lists = self._inner.search(texts, vectors, fetch, leg=leg, version=version, filter=filter)
            now = self._readers(_documents(hit.chunk for hits in hit_lists for hit in hits))
            open_now = [_allowed(hits, now, filter) for hits in hit_lists]
            lacking = any(
                len(allowed) < k and len(hits) >= fetch for allowed, hits in zip(open_now, hit_lists, strict=True)
            )  # the index has more, and some of these are closed
            if not lacking:
                return [_ranked(allowed[:k]) for allowed in open_now]
            fetch *= 4

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, with today's readers."""
        chunks = self._inner.chunks_of(documents)
        now = self._readers(_documents(chunks))
        return [_as_of_now(chunk, now) for chunk in chunks]

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], Any]:
        """`chunks_of`, and their vectors."""
        chunks, vectors = self._inner.vectors_of(documents)
        now = self._readers(_documents(chunks))
        return [_as_of_now(chunk, now) for chunk in chunks], vectors


def _documents(chunks: Iterable[Chunk]) -> list[str]:
    return list(dict.fromkeys(chunk.span.document for chunk in chunks))


def _as_of_now(chunk: Chunk, now: Mapping[str, tuple[str, ...] | None]) -> Chunk:
    readers = now.get(chunk.span.document, ())
    return chunk if chunk.readers == readers else replace(chunk, readers=readers)


def _allowed(hits: Sequence[Hit], now: Mapping[str, tuple[str, ...] | None], which: Filter | None) -> list[Hit]:
    current = [replace(hit, chunk=_as_of_now(hit.chunk, now)) for hit in hits]
    return [hit for hit in current if which is None or which.allows(hit.chunk)]


def _ranked(hits: Sequence[Hit]) -> list[Hit]:
    return [hit if hit.rank == rank else replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)]
