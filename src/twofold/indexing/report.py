"""The report of a sync: counts, and a row for each file."""

from __future__ import annotations

from typing import TypedDict

from twofold.types import Json


class SyncCounts(TypedDict):
    """Counts of one sync, in documents unless a field names another unit."""

    added: int
    changed: int
    moved: int
    deleted: int
    unchanged: int
    repaired: int
    """Documents put back because the index had lost chunks of them."""
    failed: int
    """Number of files and sources that failed."""
    chunks: int
    """Number of chunks made."""
    embedded: int
    """Number of chunks embedded; chunks with a text embedded before are not among them."""
    pages: int
    files: list[Json]
    """A row for each file: source, file, status, documents, chunks, pages, seconds, failure, remarks."""
    sources: list[Json]
    """A row for each source that was down: ``source``, ``failure``."""
    warnings: list[str]


class IndexRecord(TypedDict):
    """The index after a sync."""

    version: int
    chunks: int
    documents: int
    content: str
    """Digest of the index's content."""
    fingerprint: str
    """Fingerprint of the embedder."""


class SyncReport(SyncCounts):
    """One sync, whole (`sync.Sync.run`)."""

    pruned: int
    """Versions of the index that were removed."""
    seconds: float
    index: IndexRecord


class SyncedReport(SyncReport):
    """The report that `Project.sync` returns."""

    words: Json | None
    """The weight of the word leg: see `blend.settle`."""
