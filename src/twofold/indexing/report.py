"""Reports of indexing: a sync, versions listed, compared, restored and pruned, a document forgotten."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from twofold.errors import LeftOut, TwofoldError, UnreadableFile
from twofold.plugins.results import ErasedChunks
from twofold.store.documents import KnownItem
from twofold.store.weighing import SettledWords
from twofold.types import Json

log = logging.getLogger(__name__)

UNNAMED = "documents"
"""Name of the source of ``[documents].paths``."""
DUPLICATE = "data.duplicate"
"""Code of a document whose id another one has, or only a source's document may have."""


class FileFailure(TypedDict):
    """An error or a problem of a file or source."""

    code: str
    message: str
    cure: str


class FileRow(TypedDict):
    """One file of a source in the report of a sync."""

    source: str
    """Name of the source; ``documents`` for ``[documents].paths``."""
    file: str
    status: str
    """``added``, ``changed``, ``moved``, ``deleted``, ``unchanged``, ``skipped``, ``failed`` or ``forgotten``."""
    documents: int
    chunks: int
    pages: int
    seconds: float
    failure: FileFailure | None
    remarks: list[FileFailure]
    """Problems of parts of the file, such as a page without text; the rest was read."""
    was: NotRequired[str]
    """The file's earlier name, if it moved."""


class OutageRow(TypedDict):
    """A source that could not be listed."""

    source: str
    failure: FileFailure


class WorkRow(TypedDict):
    """Where the work of a sync was done."""

    on: str
    """``ray``."""
    workers: int
    sent: int
    """Files whose bytes were sent to workers that did not see them."""
    filled: bool
    """The index was empty, and the workers wrote it themselves, put in by one commit."""


class WorkDone(TypedDict):
    """See `WorkRow`."""

    work: NotRequired[WorkRow]
    """Only where a cluster did it."""


class SyncCounts(WorkDone):
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
    files: list[FileRow]
    sources: list[OutageRow]
    """The sources that were down."""
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

    words: SettledWords | None
    """The weight of the word leg: see `blend.settle`."""


class DocumentRow(TypedDict):
    """A document as ``twofold index documents`` lists it."""

    id: str
    title: str
    source: str
    file: str


class VersionRow(TypedDict):
    """A version of the index that can be read."""

    version: int
    at: str
    """Time of the change, in ISO 8601."""
    chunks: int
    tags: list[str]
    newest: bool
    change: Json
    """The counts of the change that led to it, such as ``added`` or ``restored``; empty within a sync."""


class VersionDiff(TypedDict):
    """Two versions of the index compared: ids of documents, sorted."""

    before: int
    after: int
    added: list[str]
    changed: list[str]
    deleted: list[str]


class RestoredVersion(TypedDict):
    """An older version that was made the newest."""

    restored: int
    """Its old number."""
    version: int
    """Its new number."""
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedVersions:
    """The versions of the index after old ones were removed."""

    dropped: int
    """Number of versions that were removed."""
    version: int
    """The newest version."""
    remaining: Sequence[int]
    """The versions that can still be read, oldest first."""

    def to_json(self) -> Json:
        """The result as ``twofold index prune --json`` prints it."""
        return {"dropped": self.dropped, "version": self.version, "kept": list(self.remaining)}


class ErasedIndex(ErasedChunks):
    """What an index lost with a document."""

    version: int
    """The version after the erasure."""


class EmptiedCaches(TypedDict):
    """The caches that were emptied with a document."""

    tools: dict[str, int]
    """Live tool → number of its answers that were removed."""
    bench: int
    """Number of indexes of `Project.bench` that were removed."""


class Erased(TypedDict):
    """What was removed with a document (`erasure.Eraser.erase`)."""

    at: str
    """Time of the request, in ISO 8601."""
    index: ErasedIndex
    catalogue: dict[str, int]
    """Numbers of deleted ``documents``, ``answers`` and ``scores``."""
    studies: dict[str, int]
    """Study → number of answers taken out of its record."""
    unreadable: list[str]
    """Studies whose damaged record may still show the document."""
    labels: int
    """Labels of answers that were taken out; they quote the answers."""
    logs: ErasedLogs
    questions: dict[str, int]
    """File of questions that `twofold improve` made → number taken out of it."""
    audit_texts: int
    """Texts beside the audit log that were erased: questions whose answers were shown the document, and the answers."""
    caches: EmptiedCaches


class ErasedLogs(TypedDict):
    """What the logs of a server lost with a document (`stored_logs.erase`)."""

    traffic: int
    """Rows without their texts now; the rows stay."""
    feedback: int
    labels: int
    """Labels that quote it, of chats too."""
    edits: int
    """Edits of examples. All three: lines that were removed."""


class ArtifactUse(TypedDict):
    """An artifact that a forgotten document may have shaped."""

    key: str
    used: bool | str
    """True, or ``unknown`` where the artifact does not say which documents it was made of."""


class SourceFile(TypedDict):
    """The place in the user's own data that still contains a forgotten document."""

    source: str
    file: str


class StoredReceipt(Erased):
    """The receipt of a forgotten document, as it is stored in ``receipts/``."""

    document: str
    artifacts: list[ArtifactUse]
    source: SourceFile | None
    """None where the document was not in the catalogue."""
    left: list[str]
    """The document, if index or catalogue still have it."""


class Receipt(StoredReceipt):
    """The receipt that `Versions.forget` returns."""

    receipt: str
    """Path of the stored receipt."""


def row_of(source: str, item: str, status: str) -> FileRow:
    """The row of a file, before anything of it is counted."""
    return {
        "source": source or UNNAMED,
        "file": item,
        "status": status,
        "documents": 0,
        "chunks": 0,
        "pages": 0,
        "seconds": 0.0,
        "failure": None,
        "remarks": [],
    }


def failure_of(error: Exception) -> FileFailure:
    """The failure that an error of any class is shown as."""
    if isinstance(error, TwofoldError):
        return {"code": error.code, "message": str(error), "cure": error.cure}
    # It may be a fault of Twofold's own, which needs its traceback to be mended.
    log.debug("an item or a source failed", exc_info=error)
    what = f"{type(error).__name__}: {error}"[:300]
    return {"code": UnreadableFile.code, "message": f"the file cannot be read: {what}", "cure": UnreadableFile.cure}


def says_nothing(entry: FileRow) -> bool:
    """Is the item there, but unreadable for a reason that lies in the item and not in the configuration?"""
    code = entry["failure"]["code"] if entry["failure"] else ""
    return code.startswith("data.") and code not in (LeftOut.code, DUPLICATE)


def mark_moved(files: list[FileRow], contents: Mapping[int, str], missing: Sequence[KnownItem]) -> None:
    """Say of added files with the content of one that is gone that they moved; append a row for every other such.

    Args:
        files: The rows of the sync.
        contents: Number of a row → digest of the file's content, of files that were read.
        missing: The items that are no longer listed.
    """
    left = {row.content: row for row in missing if row.content}
    came = {}
    for place, content in contents.items():
        if content in left and files[place]["status"] == "added":
            came[content] = place
    for content, place in came.items():
        files[place] |= {"status": "moved", "was": left[content].item}
    files += [row_of(row.source, row.item, "deleted") for row in missing if row.content not in came]
