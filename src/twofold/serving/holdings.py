"""The documents of a project as pages show them: sources with their state, a list, and one document as it is cut.

Everything here is for one caller: what they may not read is neither shown nor counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold.answering import access
from twofold.assembly.searching import Search
from twofold.errors import NotServed, TwofoldError
from twofold.indexing import feeds
from twofold.indexing.report import UNNAMED, FileFailure
from twofold.indexing.sync import SKIPPED
from twofold.types import Chunk, Document, Filter, Json

PAGE = 50
"""Documents on a page of the list."""
CHUNKS = 30
"""Chunks on a page of a document."""
_MOST_FAILURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailure:
    """A file of a source that was not read."""

    file: str
    """Its name in the source."""
    failure: FileFailure
    """Why, and what helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """A source after its last sync."""

    name: str
    """``documents`` for ``[documents].paths``."""
    kind: str
    """Name of the source plugin."""
    description: str
    """For people; may be empty."""
    documents: int
    """Number of its documents in the index."""
    items: int
    """Number of its files."""
    chunks: int
    """Number of their chunks."""
    failed: int
    """Number of files that could not be read."""
    failures: tuple[ItemFailure, ...]
    """The first of them."""
    skipped: tuple[ItemFailure, ...]
    """Files that were passed over, the first of them: of a kind that is not read, or without text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChange:
    """A sync or restoration that changed the index."""

    version: int
    """The version that it made."""
    at: str
    """ISO time."""
    counts: Json
    """What changed, such as ``added``: a number above 0 each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """The state of all sources."""

    sources: tuple[SourceState, ...]
    """As configured, and those of which documents are left."""
    changes: tuple[IndexChange, ...]
    """The latest, newest first."""
    remarks: tuple[str, ...]
    """What the index does not hold yet, or why it is not brought up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of the list of documents."""

    rows: tuple[Document, ...]
    """Without their texts, by id."""
    total: int
    """Number of documents that fit, all pages together."""
    page: int
    """From 1."""
    pages: int
    """Number of pages, at least 1."""
    sources: tuple[str, ...]
    """Sources of all documents that the caller may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutChunk:
    """A chunk in its document."""

    chunk: Chunk
    """The chunk."""
    tokens: int
    """By the embedder's count."""
    gap: str
    """Text before it that stands in no chunk."""
    overlap: str
    """Its beginning, as far as an earlier chunk has it too."""
    rest: str
    """Its text after `overlap`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutDocument:
    """A document as it is cut, a page of its chunks at a time."""

    document: Document
    """With its text."""
    version: str
    """Digest of its text."""
    chunks: tuple[CutChunk, ...]
    """Those of this page."""
    total: int
    """Number of all chunks."""
    page: int
    """From 1."""
    pages: int
    """Number of pages, at least 1."""
    after: str
    """Text behind the last chunk that stands in none; only on the last page."""


def state(search: Search, root: Path) -> Holdings:
    """The state of all sources; not for a caller who may not see every document.

    Args:
        search: Of the project.
        root: The project's folder.
    """
    sync, config = search.catalogue.sync, search.config
    counts = search.catalogue.documents.counts()
    described = {name: (section.kind, section.description) for name, section in config.sources.items()}
    if config.documents.paths:
        described[""] = ("folder", ", ".join(config.documents.paths))
    if (root / feeds.PUSHED_FOLDER).is_dir():
        described[feeds.PUSHED] = ("folder", "documents that the server was sent")
    names = sorted({*described, *counts, *sync.sources()})
    sources = [_source(search, name, described.get(name, ("", "")), counts.get(name, 0)) for name in names]
    changes = []
    for version, record in sorted(sync.changes().items(), reverse=True)[:10]:
        nonzero = {key: value for key, value in record.items() if key != "at" and value}
        changes.append(IndexChange(version=version, at=record.get("at", ""), counts=nonzero))
    return Holdings(sources=tuple(sources), changes=tuple(changes), remarks=tuple(_remarks(search, root)))


def listed(search: Search, seen: Filter | None, *, words: str = "", source: str = "", page: int = 1) -> Listing:
    """A page of the documents that the caller may see.

    Args:
        search: Of the project.
        seen: What the caller may see; None where access control is off.
        words: Every one of them stands in the title or the id; case does not matter.
        source: Only of this source.
        page: From 1; beyond the last one, the last.
    """
    fitting, sources = [], set()
    parts = words.casefold().split()
    for document in _visible(search, seen):
        name = document.collection or UNNAMED
        sources.add(name)
        text = f"{document.title} {document.id}".casefold()
        if source in ("", name) and all(part in text for part in parts):
            fitting.append(document)
    pages = max(1, -(-len(fitting) // PAGE))
    page = min(max(1, page), pages)
    rows = tuple(fitting[(page - 1) * PAGE : page * PAGE])
    return Listing(rows=rows, total=len(fitting), page=page, pages=pages, sources=tuple(sorted(sources)))


def cut(search: Search, seen: Filter | None, name: str, *, page: int = 1) -> CutDocument:
    """A document as it is cut.

    Args:
        search: Of the project.
        seen: What the caller may see; None where access control is off.
        name: Its id.
        page: Of its chunks, from 1; beyond the last one, the last.

    Raises:
        NotServed: there is no such document, or the caller may not see it: the words are the same.
    """
    documents = search.catalogue.documents
    document = readable(search, seen, name)
    if document is None:
        raise NotServed("there is no such document", cure="The page Documents lists those that you may read.")
    which = Filter(principal=seen.principal) if seen else Filter()
    chunks = [chunk for chunk in search.index.chunks_of([name]) if which.allows(chunk)]
    pages = max(1, -(-len(chunks) // CHUNKS))
    page = min(max(1, page), pages)
    first = (page - 1) * CHUNKS
    # The farthest of all before, not the last one's: chunks may lie in each other.
    end = max((chunk.span.end for chunk in chunks[:first]), default=0)
    shown = []
    for chunk in chunks[first : first + CHUNKS]:
        span = chunk.span
        # In characters of the document; a chunk that lies in another one whole is overlap whole.
        shared = max(0, min(end, span.end) - span.start)
        shown.append(
            CutChunk(
                chunk=chunk,
                tokens=len(search.embedder.offsets(chunk.text)),
                # Empty where they overlap: a slice whose end lies before its start.
                gap=document.text[end : span.start],
                overlap=chunk.text[:shared],
                rest=chunk.text[shared:],
            )
        )
        end = max(end, span.end)
    version = documents.versions([name])[name][0]
    return CutDocument(
        document=document,
        version=version.partition(":")[2][:12] or version[:12],
        chunks=tuple(shown),
        total=len(chunks),
        page=page,
        pages=pages,
        after=document.text[end:] if page == pages else "",
    )


def readable(search: Search, seen: Filter | None, name: str) -> Document | None:
    """A document with its text; None where there is none, or the caller may not read it: both take the same time.

    Args:
        search: Of the project.
        seen: What the caller may see; None where access control is off.
        name: The document's id.
    """
    documents, rules = search.catalogue.documents, search.config.access.rules
    # The readers first, without the text: how long a closed document is would show in the time.
    for full, (source, readers) in documents.readers_of([name]).items():
        if not access.visible(Document(id=full, text="", source=source, readers=readers), rules, seen):
            return None
    return next(iter(documents.get([name])), None)


def _visible(search: Search, seen: Filter | None) -> Iterator[Document]:
    rules = search.config.access.rules
    return (one for one in search.catalogue.documents.without_texts() if access.visible(one, rules, seen))


def _source(search: Search, name: str, described: tuple[str, str], documents: int) -> SourceState:
    items = search.catalogue.sync.items(name)
    failures: list[ItemFailure] = []
    skipped: list[ItemFailure] = []
    for item in items.values():
        if item.failure:
            failure: FileFailure = json.loads(item.failure)
            (skipped if failure["code"] in SKIPPED else failures).append(ItemFailure(file=item.item, failure=failure))
    return SourceState(
        name=name or UNNAMED,
        kind=described[0],
        description=described[1],
        documents=documents,
        items=len(items),
        chunks=sum(item.chunks for item in items.values()),
        failed=len(failures),
        failures=tuple(failures[:_MOST_FAILURES]),
        skipped=tuple(skipped[:_MOST_FAILURES]),
    )


def _remarks(search: Search, root: Path) -> Sequence[str]:
    restored = search.catalogue.notes.get(feeds.RESTORED)
    if restored:
        return [f"index version {restored} was restored: run `twofold sync` to bring it up to date"]
    try:
        return feeds.behind(search, root)
    except TwofoldError as error:
        return [f"{error.message}. {error.cure}"]
