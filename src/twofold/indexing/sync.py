"""Sources → changed documents only → chunks → vectors → the living index.

    source.items → load what changed → read → cut → embed what is new → upsert → record

The catalogue records of every item its state, the digest of its content and how it was read, and of every document the
digest of the chunks that the index must hold (`KnownDocument.sealed`). A batch is recorded once it is in the index, and
putting it there again replaces it: a kill at any moment loses at most the batch in hand, and a rerun finds the rest.
After any sequence of edits the index equals the one that a rebuild would make.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import Any

from twofold.assembly.searching import Search
from twofold.corpus.bounds import bounded
from twofold.corpus.loading import content_of, id_of_another_source
from twofold.errors import BadRecord, LeftOut, SourceEndless, SourceUnreachable
from twofold.files.reading import RECORDS, below, counted, renamed, times
from twofold.hashing import canonical_json, digest
from twofold.host import pace
from twofold.indexing.embedded_text import embedded_text
from twofold.indexing.report import (
    DUPLICATE,
    UNNAMED,
    FileFailure,
    FileRow,
    IndexRecord,
    OutageRow,
    SyncCounts,
    SyncReport,
    failure_of,
    row_of,
    says_nothing,
)
from twofold.indexing.self_questioning import SelfQuestioning
from twofold.plugins.protocols import CountsUnknown, Progress, Source
from twofold.plugins.results import Item
from twofold.store import embedding_time
from twofold.store.catalogue import Catalogue
from twofold.store.documents import KnownDocument, KnownItem
from twofold.store.forgotten import is_gone
from twofold.types import Chunk, Document, Loaded, Problem, sealed

BATCH_CHUNKS = 2000
"""Chunks embedded and committed at a time: a killed sync loses at most so many."""
BATCH_DOCUMENTS = 5000
"""Documents committed at a time, for a sync in which most documents have no new chunk."""
_VERSION = 2
"""Raised when the text that is embedded for a chunk, or what is recorded, changes."""
_ROWS = 2
"""Raised when what an index holds beside the vector changes (its facets): rows are written again, vectors kept."""
_PIECE = 200
"""Documents read from the catalogue at a time for repair: their whole texts are in memory."""
_PROOF = 2
"""A source that had so many items or documents and has none now counts as down: a full disk empties files."""
_PACED = 50
"""Fewest chunks of a batch whose seconds per chunk are kept as the embedder's pace: small batches measure the start."""
log = logging.getLogger(__name__)
_TRUSTED, _VECTORS, _PRUNED = "index-version", "vectors", "pruned"
_LOST, _LETTERED = 0.1, 500
"""Share of unknown letters from which a sync warns; number of chunks of a batch that are checked, spread evenly."""
_CHANGES = ("added", "changed", "moved", "deleted", "repaired", "failed")
SKIPPED = ("data.no-reader", "data.no-document", "data.empty-document", LeftOut.code)
"""Codes of items that are passed over: not of a kind that is read, or without text."""
_SHARED = "shared"
"""Suffix of the recipe of an item that shares ids with another: it is read again, since the other may be gone."""

Read = Callable[[Loaded], tuple[Sequence[Document], Sequence[Problem]]]
"""A file → its documents and everything that is wrong with it; raises nothing for a bad file."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A source ready to be read, and the fields that its documents inherit."""

    name: str
    """Collection of the source's documents; empty for ``[documents].paths``."""
    source: Source
    """The source itself."""
    recipe: str
    """Digest of the source's options and of everything its documents are read with."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Metadata of documents that do not bring these fields themselves."""
    readers: tuple[str, ...] | None = None
    """Readers of documents that name none themselves."""

    def document(self, document: Document, item: Item, loaded: Loaded) -> Document:
        """A document as it is indexed: its identity, collection, metadata and readers."""
        if loaded.name and loaded.name != item.id:
            document = renamed(document, loaded.name, item.id)
        return replace(
            document,
            id=f"{self.name}:{document.id}" if self.name else document.id,
            collection=self.name,
            metadata={**self.metadata, **document.metadata},
            readers=self.readers if document.readers is None else document.readers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A document of the batch in hand."""

    document: Document
    known: KnownDocument
    chunks: list[Chunk] | None
    """None: the index holds the document as it is, and only its record changes."""
    entry: FileRow | None
    """The line of the document's file in the report."""


@dataclass(slots=True)
class _Batch:
    cuts: list[_Cut] = field(default_factory=list)
    items: list[KnownItem] = field(default_factory=list)
    chunks: int = 0


class _Halt(BaseException):
    """The index or the catalogue failed: no fault of the source that was being read."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(str(error))


class Sync:
    """One run that brings an index up to date with its sources.

    Args:
        search: Catalogue, index, embedder and chunker of the project.
        read: Reads the documents of a file.
        forgotten: Ids of documents to leave out.
    """

    def __init__(self, search: Search, *, read: Read, forgotten: Collection[str] = ()) -> None:
        self._catalogue = search.catalogue
        self._index = search.index
        self._embedder = search.embedder
        self._chunker = search.chunker
        self._questions = SelfQuestioning(search.catalogue, search.chunker)
        self._read = read
        self._forgotten = forgotten
        chunks, fingerprint = digest("chunks", search.chunk_recipe), search.embedder.fingerprint
        self._recipe = digest("recipe", [chunks, fingerprint, _VERSION, _ROWS])
        self._vectors = digest("vectors", [fingerprint, _VERSION])
        self._pending: Future[None] | None = None
        self._batch = _Batch()
        self._files: list[FileRow] = []
        self._outages: list[OutageRow] = []
        self._claimed: dict[str, str] = {}
        self._sources = set(search.config.sources)
        self._fresh: dict[str, str] = {}
        self._processed: set[tuple[str, str]] = set()
        self._gone_items: dict[tuple[str, str], KnownItem] = {}
        self._file_contents: dict[int, str] = {}
        self._embedded = self._repaired = self._cut_chunks = 0
        self._began = 0.0
        self._letters: list[tuple[int, int, str]] = []

    def run(self, feeds: Sequence[Feed], *, only: bool = False, progress: Progress) -> SyncReport:
        """Read the feeds and bring the index up to date with them.

        Args:
            feeds: All sources, or some.
            only: These are some of the sources: documents of the others stay as they are.
            progress: Called for each item.

        Returns:
            Counts of documents (``added``, ``changed``, ``moved``, ``deleted``, ``unchanged``, ``repaired``: put back
            because the index had lost chunks of them), of ``failed`` files and sources, of ``chunks`` made and
            ``embedded``, and of ``pages``; ``files``: source, file, status, documents, chunks, pages, seconds, failure
            and ``remarks`` of each file (remarks on the parts lost of a file read now); ``sources``: those that were
            down; ``warnings``; ``pruned`` versions; the ``index``.

        Raises:
            StoreError: the disk refuses; committed batches stay, and a rerun continues after them.
        """
        started = time.perf_counter()
        version = self._index.state().version
        sources = [feed.name for feed in feeds]
        self._sources.update(sources)
        self._catalogue.sync.cut_by(self._recipe, sources)  # whether other chunks are wanted
        self._known = self._catalogue.documents.known()
        # None: the last sync ended well and nothing has touched the index since, so its contents need not be compared
        self._indexed = None if self._catalogue.notes.get(_TRUSTED) == str(version) else self._index.contents()
        self._reuse = self._catalogue.notes.get(_VECTORS) in ("", self._vectors)
        self._of_item: dict[tuple[str, str], list[str]] = {}
        for name, known in self._known.items():
            self._of_item.setdefault((known.source, known.item), []).append(name)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed") as self._pool:
            try:
                deleted = self._read_all(feeds, only=only, progress=progress)
                self._repair(deleted)
                self._flush()
                self._settle()
            except _Halt as halt:
                raise halt.error from None
        orphans = [n for n in self._indexed or {} if n not in self._known and n not in self._fresh]
        if deleted or orphans or self._gone_items:
            # the trust is withdrawn before the index changes: a killed deletion is then noticed by the next sync
            if deleted or orphans:
                self._catalogue.notes.put(_TRUSTED, "")
                self._index.delete([*deleted, *orphans])
            self._catalogue.sync.record([], [], deleted=deleted, deleted_items=self._gone_items)
        if not only:
            self._catalogue.sync.drop_renewed()
        self._catalogue.sync.put_cut(self._recipe, sources)
        self._questions.finish()
        report = self._report(deleted, orphans)
        pruned = self._prune()
        state = self._index.state()
        self._catalogue.sync.record([], [], notes={_TRUSTED: str(state.version), _VECTORS: self._vectors})
        counts = {name: value for name, value in report.items() if name in _CHANGES}
        if any(counts.values()):
            self._catalogue.sync.put_change(state.version, _now(), counts)
        index: IndexRecord = {
            "version": state.version, "chunks": state.chunks, "documents": state.documents, "content": state.content,
            "fingerprint": state.fingerprint,
        }  # fmt: skip
        return {**report, "pruned": pruned, "seconds": time.perf_counter() - started, "index": index}

    # ------------------------------------------------------------ reading

    def _read_all(self, feeds: Sequence[Feed], *, only: bool, progress: Progress) -> list[str]:
        """Read every feed, and return the ids of documents that are gone."""
        complete: set[str] = set()
        for feed in feeds:
            if self._feed(feed, progress):
                complete.add(feed.name)
        if not only:
            for name in sorted(set(self._catalogue.sync.sources()) - {feed.name for feed in feeds}):
                complete.add(name)
                self._gone_items.update({(name, i): row for i, row in self._catalogue.sync.items(name).items()})
        return [
            name
            for name, known in self._known.items()
            if name not in self._claimed and (known.source in complete or (known.source, known.item) in self._processed)
        ]

    def _feed(self, feed: Feed, progress: Progress) -> bool:
        """Read one source; True when its listing was complete, so that a document missing from it is gone."""
        known = self._catalogue.sync.items(feed.name)
        # A state vouches for an item only under the recipe by which it was read.
        states = {n: row.state for n, row in known.items() if row.recipe == feed.recipe and not _again(row)}
        seen: set[str] = set()
        stage, began = f"sync {feed.name}".rstrip(), len(self._files)
        try:
            for item in feed.source.items(states):
                if item.id in seen:
                    continue
                seen.add(item.id)
                self._item(feed, item, known.get(item.id))
                progress(stage, len(seen), max(feed.source.total, len(seen)) if feed.source.total else 0)
            if self._gave_nothing(feed.name, len(known), self._files[began:]):
                self._processed -= {(feed.name, item) for item in seen}
                # not recorded, so that the next sync reads them again
                self._batch.items = [one for one in self._batch.items if one.source != feed.name]
                for entry in self._files[began:]:  # their documents stay: the source is the one failure
                    if entry["failure"] and entry["failure"]["code"] in SKIPPED:
                        entry["status"] = "skipped"
                raise SourceUnreachable(
                    f"the source returns nothing but had {counted(len(known), 'item')} before: is a share not mounted?",
                    cure="Restore the items; if the source is really empty, remove it from twofold.toml or run "
                    "`twofold sync --rebuild`. Nothing was deleted.",
                )
        except MemoryError:
            raise
        # Sources are plugins, and talk to programs of others: one that fails must not end the sync of the rest.
        except Exception as error:
            self._outages.append({"source": feed.name or UNNAMED, "failure": failure_of(error)})
            for name, row in self._known.items():
                if row.source == feed.name and (row.source, row.item) not in self._processed:
                    self._claimed.setdefault(name, row.item)
            return False
        self._gone_items.update({(feed.name, name): row for name, row in known.items() if name not in seen})
        return True

    def _gave_nothing(self, name: str, items: int, entries: Sequence[FileRow]) -> bool:
        """Has a source lost all its documents? One alone may go; an item still there, but empty, proves nothing."""
        names = [one for one, row in self._known.items() if row.source == name]
        enough = max(items, len(names)) >= _PROOF or any(says_nothing(entry) for entry in entries)
        empty = enough and not any(entry["documents"] for entry in entries)
        return empty and bool(names or not entries) and self._claimed.keys().isdisjoint(names)

    def _item(self, feed: Feed, item: Item, row: KnownItem | None) -> None:
        ids = self._of_item.get((feed.name, item.id), [])
        self._processed.add((feed.name, item.id))
        entry = row_of(feed.name, item.id, "added" if row is None else "changed")
        self._files.append(entry)
        # Another item may have taken one of the ids: which of the two has it, reading decides.
        free = all(self._claimed.get(name, item.id) == item.id for name in ids)
        usable = row if row is not None and row.recipe == feed.recipe and not _again(row) and free else None
        if usable is not None and item.state and usable.state == item.state:
            self._keep(usable, ids, entry)
            return
        began = time.perf_counter()
        content, recipe = "", feed.recipe
        try:
            loaded = item.load()
            content = content_of(loaded)
            if usable is not None and usable.content == content:
                self._keep(usable, ids, entry)
                self._batch.items.append(replace(usable, state=item.state))
                return
            if self._documents(feed, item, loaded, entry):
                recipe = f"{recipe}/{_SHARED}"
            if ids and not entry["documents"] and says_nothing(entry):
                entry["status"] = "failed"  # the file held documents before, so it is damaged and not of another kind
            # A file that failed before and is read now, its encoding named, say, is as new as one that was mended.
            if row is not None and not row.failure and row.content == content and entry["status"] == "changed":
                entry["status"] = "unchanged"
        except MemoryError:
            raise
        except (SourceUnreachable, SourceEndless) as error:  # the item's content is not known: its documents stay
            for name in ids:
                self._claimed.setdefault(name, item.id)
            entry |= {"status": "failed", "documents": len(ids), "failure": failure_of(error)}
        except Exception as error:  # the same for an item; its class is shown where nobody foresaw it
            content = ""
            status = "skipped" if isinstance(error, LeftOut) else "failed"
            entry |= {"status": status, "failure": failure_of(error)}
        entry["seconds"] += time.perf_counter() - began
        self._file_contents[len(self._files) - 1] = content
        failure = canonical_json(entry["failure"]) if entry["failure"] else ""
        now = KnownItem(
            source=feed.name, item=item.id, state=item.state, recipe=recipe, content=content, chunks=entry["chunks"],
            pages=entry["pages"], failure=failure,
        )  # fmt: skip
        self._batch.items.append(now)
        self._maybe_flush()

    def _keep(self, row: KnownItem, ids: list[str], entry: FileRow) -> None:
        for name in ids:
            self._claimed[name] = row.item
        failure = json.loads(row.failure) if row.failure else None
        status = ("skipped" if failure["code"] in SKIPPED else "failed") if failure else "unchanged"
        entry |= {"status": status, "documents": len(ids), "chunks": row.chunks, "pages": row.pages, "failure": failure}

    def _documents(self, feed: Feed, item: Item, loaded: Loaded, entry: FileRow) -> bool:
        """Read, cut and batch the documents of one item; True when another item's document has an id of one of them."""
        documents, problems = (loaded.documents, ()) if not loaded.name else self._read(loaded)
        shared: dict[str, int] = {}
        for original in documents:
            # a file's documents are bounded by its reader, which names the problem; records of a source are not
            document, cut = bounded(feed.document(original, item, loaded))
            if cut:
                log.warning("%s: %s", document.id, cut)
            if not document.text.strip():
                continue
            if document.id in self._claimed and loaded.name and not original.id.startswith(loaded.name):
                first = self._claimed[document.id]  # a record's own id: the file before it tells the two apart
                shared[first] = shared.get(first, 0) + 1
                document = feed.document(replace(original, id=below(loaded.name, original.id)), item, loaded)
            if is_gone(document, self._forgotten):
                entry["status"] = "forgotten"
                continue
            # Only those of [documents].paths have ids of their own making: a source's begin with its name.
            error = None if feed.name else id_of_another_source(document.id, self._sources)
            if error is None and document.id in self._claimed:
                twice = f"the document id {document.id!r} is used twice, first in {self._claimed[document.id]}"
                error = BadRecord(twice, cure="Give every document its own id.")
            if error:
                # The item is read again each time: the other may be gone, and the source have another name.
                entry["failure"] = entry["failure"] or {**failure_of(error), "code": DUPLICATE}
                continue
            self._claimed[document.id] = item.id
            entry["documents"] += 1
            labels = {place.label for place in document.places if not place.label.startswith(RECORDS)}
            entry["pages"] += len(labels - {""})
            self._document(document, KnownDocument(digest="", source=feed.name, item=item.id), entry)
        for first, count in shared.items():
            log.warning(
                "%s: %s of it in %s too, and called %s", item.id, counted(count, "id"), first, below(item.id, "…")
            )
        lost = sum(times(problem) for problem in problems if problem.severity == "error")
        for problem in sorted(problems, key=lambda p: p.severity):  # errors first
            where = f"line {problem.line}: " if problem.line else ""
            remark: FileFailure = {"code": problem.code, "message": where + problem.message, "cure": problem.cure}
            if problem.severity != "error" and documents:
                entry["remarks"].append(remark)
            elif not entry["failure"]:
                entry["failure"] = remark
                remark["message"] = (f"{lost} faults, first at " if lost > 1 else "") + remark["message"]
        if entry["failure"]:
            entry["status"] = "skipped" if entry["failure"]["code"] in SKIPPED else "failed"
        return bool(shared)

    def _document(self, document: Document, known: KnownDocument, entry: FileRow | None) -> None:
        """Put a document into the batch, cut into chunks unless the index holds it as it is."""
        before = self._known.get(document.id)
        known = replace(
            known,
            digest=digest("document", {"document": document, "recipe": self._recipe}),
            content=digest("text", document.text),
        )
        if before is not None and before.digest == known.digest and self._is_held(document.id, before):
            known = replace(known, sealed=before.sealed)
            if entry is not None and before.sealed:
                entry["chunks"] += self._sizes.get(document.id, 0)
            if known != before:
                self._batch.cuts.append(_Cut(document=document, known=known, chunks=None, entry=None))
            return
        chunks = self._chunker.split(document)
        known = replace(known, sealed=sealed(c.seal for c in chunks) if chunks else "")
        if entry is not None:
            entry["chunks"] += len(chunks)
        self._fresh[document.id] = known.content
        self._batch.cuts.append(_Cut(document=document, known=known, chunks=chunks, entry=entry))
        self._batch.chunks += len(chunks)
        self._cut_chunks += len(chunks)
        self._maybe_flush()

    def _is_held(self, name: str, known: KnownDocument) -> bool:
        return self._indexed is None or self._indexed.get(name, "") == known.sealed

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return self._index.documents()

    def _repair(self, deleted: Sequence[str]) -> None:
        """Put back, from the catalogue, documents whose chunks the index has lost, such as after a restore."""
        if self._indexed is None:
            return
        out = {*deleted, *self._fresh}
        lost = [n for n, known in self._known.items() if n not in out and not self._is_held(n, known)]
        for start in range(0, len(lost), _PIECE):
            for document in self._catalogue.documents.get(lost[start : start + _PIECE]):
                known = self._known[document.id]
                self._document(document, replace(known, digest=""), None)
                self._repaired += 1

    # ------------------------------------------------------------ committing

    def _maybe_flush(self) -> None:
        if self._batch.chunks >= BATCH_CHUNKS or len(self._batch.cuts) >= BATCH_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        """Hand the batch to the thread that embeds and commits it while the next batch is read."""
        self._settle()
        batch, self._batch = self._batch, _Batch()
        if batch.cuts or batch.items:
            self._pending = self._pool.submit(self._commit, batch)

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            try:
                pending.result()
            except Exception as error:  # raised again where the sync ends
                raise _Halt(error) from error

    def _commit(self, batch: _Batch) -> None:
        cuts = [cut for cut in batch.cuts if cut.chunks is not None]
        full = [cut for cut in cuts if cut.chunks]
        empty = [c.document.id for c in cuts if not c.chunks and (self._indexed or c.document.id in self._known)]
        if full or empty:
            # before the index changes: after a kill the next sync compares it with the catalogue
            self._catalogue.notes.put(_TRUSTED, "")
        if full:
            self._began = time.perf_counter()
            chunks = list(chain.from_iterable(cut.chunks or () for cut in full))
            self._index.upsert(chunks, self._embed(full, chunks))
            self._look_at(chunks)
            seconds = (time.perf_counter() - self._began) / len(chunks)
            embedding_time.add(self._catalogue.notes, chunks=len(chunks), seconds=seconds * len(chunks))
            if len(chunks) >= _PACED:
                pace.keep(pace.embedding(self._embedder.fingerprint), {"chunk": seconds})
            for cut in full:
                if cut.entry is not None:
                    cut.entry["seconds"] += seconds * len(cut.chunks or ())
        if empty:
            self._index.delete(empty)
        self._questions.take((cut.document, cut.chunks or ()) for cut in cuts)
        # last: a batch that is not in the index must not count as known
        self._catalogue.sync.record([(cut.document, cut.known) for cut in batch.cuts], batch.items)

    def _look_at(self, chunks: Sequence[Chunk]) -> None:
        """Count the letters of words that the embedder does not know, if the embedder can tell."""
        if isinstance(self._embedder, CountsUnknown):
            for chunk in chunks[:: -(-len(chunks) // _LETTERED)]:
                letters = sum(sign.isalnum() for sign in chunk.text)
                self._letters.append((self._embedder.unknown(chunk.text), letters, chunk.span.document))

    def _warnings(self) -> list[str]:
        lost, letters = sum(one for one, _, _ in self._letters), sum(one for _, one, _ in self._letters)
        if not letters or lost < _LOST * letters:
            return []
        worst = max(self._letters, key=lambda row: (row[0], row[2]))[2]
        return [
            f"the embedder does not know the words of {100 * lost / letters:.0f} % of the text read now (such as "
            f"{worst}): its vectors do not tell such passages apart. Set [retrieval.embedder] name = "
            '"multilingual" (sixteen languages: docs/how-to/retrieval.md), for others [retrieval.retriever] "lexical"'
        ]

    def _embed(self, cuts: Sequence[_Cut], chunks: Sequence[Chunk]) -> Any:
        """Vectors of `chunks`, shape (chunks, dimension); the index's own vectors are used for texts that it holds.

        The index holds such texts when a document changed in part, or when the same text stood under another name.
        """
        import numpy as np

        texts = [embedded_text(chunk) for chunk in chunks]
        have: dict[str, Any] = {}
        if self._reuse and (self._known or self._fresh):
            alike = self._catalogue.documents.with_contents([cut.known.content for cut in cuts])
            indexed = self._indexed or ()
            mine = [c.document.id for c in cuts if c.document.id in self._known or c.document.id in indexed]
            donors = sorted({*alike.values(), *mine})
            if donors:
                donated, vectors = self._index.vectors_of(donors)
                have = {embedded_text(chunk): vector for chunk, vector in zip(donated, vectors, strict=True)}
        new = list(dict.fromkeys(text for text in texts if text not in have))
        if new and not self._embedded:
            # An embedder loads its model at the first text (.4 s, as long as 40 passages take): no passage's seconds.
            # An empty one, which every embedder takes: a passage would be embedded twice.
            self._embedder.embed([""])
            self._began = time.perf_counter()
        self._embedded += len(new)
        if len(new) == len(texts):
            return self._embedder.embed(texts)
        have.update(zip(new, self._embedder.embed(new), strict=True) if new else ())
        return np.stack([have[text] for text in texts])

    def _prune(self) -> int:
        """Drop old versions by the index's own policy, once a day at most, and never at the first sync."""
        last, now = self._catalogue.notes.get(_PRUNED), datetime.now(UTC)
        if last and now - datetime.fromisoformat(last) < timedelta(days=1):
            return 0
        dropped = self._index.prune() if last else 0
        self._catalogue.notes.put(_PRUNED, now.isoformat(timespec="seconds"))
        return dropped

    # ------------------------------------------------------------ reporting

    def _report(self, deleted: Sequence[str], orphans: Sequence[str]) -> SyncCounts:
        left: dict[str, list[str]] = {}
        for name in deleted:
            left.setdefault(self._known[name].content, []).append(name)
        added = [name for name in self._fresh if name not in self._known]
        # an added document with the text of a deleted one has moved: each deleted one explains one added one
        moved = 0
        for name in added:
            if left.get(self._fresh[name]):
                left[self._fresh[name]].pop()
                moved += 1
        files = {row.content: row for row in self._gone_items.values() if row.content}
        came = {}
        for place, content in self._file_contents.items():
            if content in files and self._files[place]["status"] == "added":
                came[content] = place
        for content, place in came.items():
            self._files[place] |= {"status": "moved", "was": files[content].item}
        for row in self._gone_items.values():
            if row.content not in came:
                self._files.append(row_of(row.source, row.item, "deleted"))
        changed = len(self._fresh) - len(added) - self._repaired
        return {
            "added": len(added) - moved,
            "changed": changed,
            "moved": moved,
            "deleted": len(deleted) - moved + len(orphans),
            "unchanged": len(self._claimed) - len(added) - changed,
            "repaired": self._repaired,
            "failed": sum(1 for entry in self._files if entry["status"] == "failed") + len(self._outages),
            "chunks": self._cut_chunks,
            "embedded": self._embedded,
            "pages": sum(entry["pages"] for entry in self._files),
            "files": self._files,
            "sources": self._outages,
            "warnings": self._warnings(),
        }


def synced(catalogue: Catalogue) -> bool:
    """Was a sync of the project ever begun, even if it was killed?"""
    return bool(catalogue.notes.get(_VECTORS)) or bool(catalogue.documents.known())


def _again(row: KnownItem) -> bool:
    """Must the item be read again although its source reports no change? Yes, if it failed for an outer reason."""
    code = json.loads(row.failure)["code"] if row.failure else ""
    return code == DUPLICATE or code.startswith("source")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
