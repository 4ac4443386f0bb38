"""What a sync tells: counts, and a row for each file."""

from __future__ import annotations

from typing import TypedDict

from twofold.types import Json


class SyncCounts(TypedDict):
    """Counts of one sync: documents, unless another unit is named."""

    added: int
    changed: int
    moved: int
    deleted: int
    unchanged: int
    repaired: int
    """Put back because the index did not hold what it should."""
    failed: int
    """Files and sources."""
    chunks: int
    """Chunks made."""
    embedded: int
    """Chunks embedded."""
    pages: int
    files: list[Json]
    """A row for each: source, file, status, documents, chunks, pages, seconds, failure, remarks."""
    sources: list[Json]
    """Those that were down: ``source``, ``failure``."""
    warnings: list[str]


class IndexRecord(TypedDict):
    """The index after a sync."""

    version: int
    chunks: int
    documents: int
    content: str
    """Digest of what it holds."""
    fingerprint: str
    """Of the embedder."""


class SyncReport(SyncCounts):
    """One sync, whole (`sync.Sync.run`)."""

    pruned: int
    """Versions of the index that were removed."""
    seconds: float
    index: IndexRecord


class SyncedReport(SyncReport):
    """What `Project.sync` returns."""

    words: Json | None
    """The weight of the word leg: see `blend.settle`."""
