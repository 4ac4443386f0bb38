"""The two kinds of work of a sync: items → documents and chunks, and texts → vectors. Any worker can do them.

In this process they use the parts that the project has open (`here`); a worker elsewhere opens its own, from the
settings that it is sent.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from twofold.assembly import cutting
from twofold.config import Config
from twofold.corpus.bounds import bounded
from twofold.corpus.files import FileReader
from twofold.corpus.loading import content_of, holds_none, no_documents
from twofold.corpus.object_store import fetched
from twofold.errors import LeftOut, MissingExtra, SourceEndless, SourceUnreachable, WorkerUnlike
from twofold.execution.on_demand import OnDemand
from twofold.hashing import digest
from twofold.indexing.feed import Naming
from twofold.indexing.report import FileFailure, failure_of
from twofold.plugins.protocols import Chunker, Embedder
from twofold.types import Chunk, Document, Json, Loaded, Problem

Stamp = tuple[int, int]
"""Size and time of a file, by which a worker knows that it sees the same one."""
LEAST, _MOST = 32, 256
"""Texts of a task elsewhere: fewer cost more to send than to embed, more leave workers waiting for the last one."""
TASKS = 4
"""Tasks a worker that texts are divided into, between those bounds, so that slow ones do not hold up the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """An item whose content is to be read."""

    feed: int
    """Number of its source among `ReadingWork.feeds`."""
    item: str
    loaded: Loaded
    stamp: Stamp | None = None
    """Of a file on the disk of whoever asks; a worker that does not see it there says so. None: it need not look."""
    content: str = ""
    """Digest of the content by which everything stays as it is; empty where none does."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Digest of each of its documents that the index holds: such a document is not cut again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDocument:
    """A document as it will be indexed."""

    document: Document
    original: str
    """Its id as it was read."""
    digest: str
    content: str
    """Digest of its text."""
    chunks: list[Chunk] | None
    """None: the index holds the document as it is."""
    shortened: str = ""
    """What was cut off, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadItem:
    """What became of an item."""

    outcome: Literal["read", "same", "elsewhere", "unreachable", "skipped", "failed"]
    """``same``: nothing changed; ``elsewhere``: the worker does not see the file; ``unreachable``: its content is not
    known now."""
    content: str = ""
    documents: tuple[SplitDocument, ...] = ()
    some: bool = False
    """It has documents, if only some without text."""
    problems: tuple[Problem, ...] = ()
    failure: FileFailure | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ReadingWork:
    """Work: items read into documents, and those cut into chunks."""

    config: Config
    embedder_options: Json
    feeds: tuple[Naming, ...]
    recipe: str
    """Digest of all that decides chunks and vectors: part of each document's digest."""
    pushed: str
    """Folder of documents that were sent, each as the one record of a file."""
    readers: str
    """`FileReader.fingerprint` of whoever asks: a worker that lacks a reader would leave files out."""
    here: tuple[FileReader, Chunker] | None = None
    """Those of this process; they are not sent."""
    label: str = "read and cut"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "here": None}

    def open(self) -> Callable[[Sequence[Unread]], list[ReadItem]]:
        """See `BatchWork.open`."""
        reader, chunker = self.here or self._tools()
        return lambda batch: [self._item(reader, chunker, unread) for unread in batch]

    def _tools(self) -> tuple[FileReader, Chunker]:
        # The process that reads files ends with this worker, at the end of its input.
        reader = FileReader(self.config.documents)
        _require_alike(reader.fingerprint, self.readers, "readers of files")
        return reader, cutting.chunker(self.config, cutting.embedder(self.config, self.embedder_options))

    def _read(self, reader: FileReader, loaded: Loaded) -> tuple[Sequence[Document], Sequence[Problem]]:
        """The documents of a file. One of an unknown kind, or without any document, is a warning and not a failure."""
        if not reader.knows(loaded.name):
            error = reader.unknown(loaded.name)
            unread = Problem(
                severity="warning", code="data.no-reader", message=error.message, cure=error.cure, file=loaded.name
            )
            return [], [unread]
        documents, problems = reader.read(loaded)
        if holds_none(loaded.name, documents, problems) and loaded.name not in self.config.documents.paths:
            return [], [no_documents(problems)]
        if loaded.name.startswith(f"{self.pushed}/"):
            # One document was sent: that it is record 1 of a file tells a reader nothing.
            documents = [replace(document, places=()) for document in documents]
        return documents, problems

    def _item(self, reader: FileReader, chunker: Chunker, unread: Unread) -> ReadItem:
        began, content, cuts = time.perf_counter(), "", list[SplitDocument]()
        if unread.stamp is not None and stamp_of(unread.loaded) != unread.stamp:
            return ReadItem(outcome="elsewhere")
        try:
            loaded = fetched(unread.loaded, endpoint=self.config.scale.endpoint, limit=reader.limit)
            content = content_of(loaded)
            if content == unread.content:
                return ReadItem(outcome="same", content=content, seconds=time.perf_counter() - began)
            documents, problems = self._read(reader, loaded) if loaded.name else (loaded.documents, ())
            for document in documents:
                self._cut(chunker, unread, document, cuts)
        except (MemoryError, MissingExtra):
            raise
        except Exception as error:  # of one item; its class is shown where nobody foresaw it
            return failed(error, documents=cuts, seconds=time.perf_counter() - began)
        return ReadItem(
            outcome="read",
            content=content,
            documents=tuple(cuts),
            some=bool(documents),
            problems=tuple(problems),
            seconds=time.perf_counter() - began,
        )

    def _cut(self, chunker: Chunker, unread: Unread, original: Document, cuts: list[SplitDocument]) -> None:
        # a file's documents are bounded by its reader, which names the problem; records of a source are not
        naming = self.feeds[unread.feed]
        document, shortened = bounded(naming.document(original, unread.item, unread.loaded))
        if document.text.strip():
            cuts.append(self.cut(chunker, document, original.id, known=unread.known, shortened=shortened))

    def cut(
        self, chunker: Chunker, document: Document, original: str, *, known: Mapping[str, str], shortened: str = ""
    ) -> SplitDocument:
        """A document cut into chunks, unless `known` has its digest."""
        whole = digest("document", {"document": document, "recipe": self.recipe})
        return SplitDocument(
            document=document,
            original=original,
            digest=whole,
            content=digest("text", document.text),
            chunks=None if known.get(document.id) == whole else chunker.split(document),
            shortened=shortened,
        )


@dataclass(frozen=True, kw_only=True)
class EmbeddingWork:
    """Work: texts → vectors."""

    config: Config
    embedder_options: Json
    fingerprint: str
    """The embedder's, of whoever asks: vectors of another would be compared with these."""
    here: Embedder | None = None
    """That of this process; it is not sent."""
    label: str = "embed"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "here": None}

    def open(self) -> Callable[[Sequence[str]], Any]:
        """See `BatchWork.open`; vectors of shape (texts, dimension)."""
        if self.here is not None:
            return self.here.embed
        embedder = cutting.embedder(self.config, self.embedder_options)
        _require_alike(embedder.fingerprint, self.fingerprint, "an embedder")
        return embedder.embed


def embedded(where: OnDemand, work: EmbeddingWork, texts: Sequence[str]) -> Any:
    """Vectors of texts, shape (texts, dimension), by the workers; here all at once, for an embedder sorts by length."""
    import numpy as np

    size = len(texts)
    if where.elsewhere:
        size = min(_MOST, max(LEAST, -(-size // (TASKS * where.executor.workers))))
    pieces = [texts[start : start + size] for start in range(0, len(texts), size)]
    parts = dict(where.executor.run(work, pieces))
    return parts[0] if len(pieces) == 1 else np.concatenate([parts[place] for place in range(len(pieces))])


def _require_alike(mine: str, theirs: str, what: str) -> None:
    if mine != theirs:
        raise WorkerUnlike(f"the worker on {platform.node()} has {what} unlike those of the command")


def stamp_of(loaded: Loaded) -> Stamp | None:
    """Size and time of a file as this machine sees it; None where there is none, or the content is at hand."""
    if not loaded.path:
        return None
    try:
        seen = os.stat(loaded.path)
    except OSError:
        return None
    return seen.st_size, seen.st_mtime_ns


def with_bytes(loaded: Loaded) -> Loaded:
    """A file with its bytes in place of its path, for a worker that does not see it.

    Raises:
        OSError: the file cannot be read.
    """
    return replace(loaded, path="", data=Path(loaded.path).read_bytes()) if loaded.path else loaded


def failed(error: Exception, *, documents: Sequence[SplitDocument] = (), seconds: float) -> ReadItem:
    """What became of an item by whose fault, or for whose source, reading ended."""
    if isinstance(error, SourceUnreachable | SourceEndless):
        return ReadItem(outcome="unreachable", failure=failure_of(error), seconds=seconds)
    return ReadItem(
        outcome="skipped" if isinstance(error, LeftOut) else "failed",
        documents=tuple(documents),
        failure=failure_of(error),
        seconds=seconds,
    )
