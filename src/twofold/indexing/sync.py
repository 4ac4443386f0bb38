"""Sources → changed documents only → chunks → vectors → the living index.

    source.items → load what changed → read → cut → embed what is new → upsert → record

Reading and cutting, and embedding, are work that an executor does here or on a cluster (`work`); what is decided about
ids is decided here, in the order of the items, and committed here (`committing`).

The catalogue records of every item its state, the digest of its content and how it was read, and of every document the
digest of the chunks that the index must hold (`KnownDocument.sealed`). A batch is recorded once it is in the index, and
putting it there again replaces it: a kill at any moment loses at most the batch in hand, and a rerun finds the rest.
After any sequence of edits the index equals the one that a rebuild would make.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from twofold.assembly.searching import Search
from twofold.corpus.files import FileReader
from twofold.corpus.loading import id_of_another_source
from twofold.errors import BadRecord, LeftOut, SourceUnreachable
from twofold.execution.on_demand import OnDemand
from twofold.files.reading import RECORDS, below, counted, times
from twofold.hashing import canonical_json, digest
from twofold.indexing import work
from twofold.indexing.bulk import Journal
from twofold.indexing.committing import TRUSTED, Committer, Halt, PendingBatch, PendingDocument, prune
from twofold.indexing.feed import Feed
from twofold.indexing.reading import ItemReader, Plan, size_of
from twofold.indexing.report import (
    DUPLICATE,
    UNNAMED,
    FileFailure,
    FileRow,
    IndexRecord,
    OutageRow,
    SyncCounts,
    SyncReport,
    WorkDone,
    failure_of,
    mark_moved,
    row_of,
    says_nothing,
)
from twofold.indexing.work import ReadItem, SplitDocument
from twofold.plugins import loading
from twofold.plugins.indexes import Loads
from twofold.plugins.protocols import Progress
from twofold.plugins.results import Item
from twofold.store.catalogue import Catalogue
from twofold.store.documents import KnownDocument, KnownItem
from twofold.store.forgotten import is_gone
from twofold.types import sealed

BATCH_CHUNKS = 2000
"""Chunks embedded and committed at a time: a killed sync loses at most so many, on a cluster so many a worker."""
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
_WORKERS = 16
"""A batch grows with so many workers at most: it is in memory here, about 5 KB a chunk."""
log = logging.getLogger(__name__)
_VECTORS = "vectors"
_CHANGES = ("added", "changed", "moved", "deleted", "repaired", "failed")
SKIPPED = ("data.no-reader", "data.no-document", "data.empty-document", LeftOut.code)
"""Codes of items that are passed over: not of a kind that is read, or without text."""
_SHARED = "shared"
"""Suffix of the recipe of an item that shares ids with another: it is read again, since the other may be gone."""


@dataclass(slots=True, kw_only=True)
class _Listing:
    """The listing of a source, under way."""

    feed: Feed
    number: int
    """Of the feed."""
    known: dict[str, KnownItem]
    """Its items as the last sync left them."""
    seen: dict[str, None] = field(default_factory=dict)
    """Ids of the items so far."""
    down: list[Exception] = field(default_factory=list)
    """The error by which the listing ended."""


class Sync:
    """One run that brings an index up to date with its sources.

    Args:
        search: Catalogue, index, embedder and chunker of the project.
        reader: Reads files in this process.
        where: Runs the work.
        pushed: Folder of documents that a server was sent.
        forgotten: Ids of documents to leave out.
    """

    def __init__(
        self, search: Search, *, reader: FileReader, where: OnDemand, pushed: str, forgotten: Collection[str] = ()
    ) -> None:
        self._search = search
        self._catalogue = search.catalogue
        self._index = search.index
        self._where = where
        self._pushed = pushed
        self._chunker, self._reader = search.chunker, reader
        self._forgotten = forgotten
        chunks, fingerprint = digest("chunks", search.chunk_recipe), search.embedder.fingerprint
        self._recipe = digest("recipe", [chunks, fingerprint, _VERSION, _ROWS])
        self._vectors = digest("vectors", [fingerprint, _VERSION])
        self._journal = Journal(search, self._vectors)
        self._batch = PendingBatch()
        self._files: list[FileRow] = []
        self._outages: list[OutageRow] = []
        self._claimed: dict[str, str] = {}
        self._sources = set(search.config.sources)
        self._fresh: dict[str, str] = {}
        self._processed: set[tuple[str, str]] = set()
        self._gone_items: dict[tuple[str, str], KnownItem] = {}
        self._file_contents: dict[int, str] = {}
        self._repaired = self._cut_chunks = 0
        self._workers = 0  # the most at a time: nodes come and go
        self._plans: deque[Plan] = deque()

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
            down; ``warnings``; ``pruned`` versions; the ``index``; and ``work``, where a cluster did it.

        Raises:
            StoreError: the disk refuses; committed batches stay, and a rerun continues after them.
            ClusterError: the cluster cannot do the work; the same holds.
        """
        started = time.perf_counter()
        self._journal.recover()
        before = self._index.state()
        version = before.version
        sources = [feed.name for feed in feeds]
        self._sources.update(sources)
        self._catalogue.sync.cut_by(self._recipe, sources)  # whether other chunks are wanted
        self._known = self._catalogue.documents.known()
        # None: the last sync ended well and nothing has touched the index since, so its contents need not be compared
        self._indexed = None if self._catalogue.notes.get(TRUSTED) == str(version) else self._index.contents()
        self._of_item: dict[tuple[str, str], list[str]] = {}
        for name, known in self._known.items():
            self._of_item.setdefault((known.source, known.item), []).append(name)
        with self._loading(empty=not before.chunks), self._opened(feeds) as self._committer:
            try:
                deleted = self._read_all(feeds, only=only, progress=progress)
                self._repair(deleted)
                self._flush()
                self._committer.settle(progress)
                self._committer.assemble()
            except Halt as halt:
                raise halt.error from None
        orphans = [n for n in self._indexed or {} if n not in self._known and n not in self._fresh]
        if deleted or orphans or self._gone_items:
            # the trust is withdrawn before the index changes: a killed deletion is then noticed by the next sync
            if deleted or orphans:
                self._catalogue.notes.put(TRUSTED, "")
                self._index.delete([*deleted, *orphans])
            self._catalogue.sync.record([], [], deleted=deleted, deleted_items=self._gone_items)
        if not only:
            self._catalogue.sync.drop_renewed()
        self._catalogue.sync.put_cut(self._recipe, sources)
        self._committer.finish()
        report = self._report(deleted, orphans)
        pruned = prune(self._catalogue.notes, self._index)
        state = self._index.state()
        self._catalogue.sync.record([], [], notes={TRUSTED: str(state.version), _VECTORS: self._vectors})
        counts = {name: value for name, value in report.items() if name in _CHANGES}
        if any(counts.values()):
            self._catalogue.sync.put_change(state.version, _now(), counts)
        index: IndexRecord = {
            "version": state.version, "chunks": state.chunks, "documents": state.documents, "content": state.content,
            "fingerprint": state.fingerprint,
        }  # fmt: skip
        return {**report, "pruned": pruned, "seconds": time.perf_counter() - started, "index": index}

    def _loading(self, *, empty: bool) -> AbstractContextManager[None]:
        """What makes the search fast is put off until an empty index is full, where the index can do that."""
        # Asked of the class: the index may stand within one that has the readers of today.
        kind = loading.find("indexes", self._search.config.retrieval.index.name)
        index: Any = self._index
        return index.loading() if empty and isinstance(kind, Loads) else nullcontext()

    def _opened(self, feeds: Sequence[Feed]) -> Committer:
        """The work made ready, and what commits it."""
        search, options = self._search, self._search.embedder_options()
        self._reading = work.ReadingWork(
            config=search.config,
            embedder_options=options,
            feeds=tuple(feed.naming for feed in feeds),
            recipe=self._recipe,
            pushed=self._pushed,
            readers=self._reader.fingerprint,
            here=(self._reader, self._chunker),
        )
        self._item_reader = ItemReader(self._reading, self._where, usable=self._usable, digests=self._digests)
        return Committer(
            search,
            work.EmbeddingWork(
                config=search.config,
                embedder_options=options,
                fingerprint=search.embedder.fingerprint,
                here=search.embedder,
            ),
            where=self._where,
            known=self._known,
            indexed=self._indexed,
            reuse=self._catalogue.notes.get(_VECTORS) in ("", self._vectors),
            journal=self._journal,
        )

    # ------------------------------------------------------------ reading

    def _read_all(self, feeds: Sequence[Feed], *, only: bool, progress: Progress) -> list[str]:
        """Read every feed, and return the ids of documents that are gone."""
        complete: set[str] = set()
        for number, feed in enumerate(feeds):
            if self._feed(feed, number, progress):
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

    def _feed(self, feed: Feed, number: int, progress: Progress) -> bool:
        """Read one source; True when its listing was complete, so that a document missing from it is gone."""
        known = self._catalogue.sync.items(feed.name)
        began, listing = len(self._files), _Listing(feed=feed, number=number, known=known)
        self._item_reader.run(self._groups(listing, progress), self._advance)
        down = [*listing.down]
        if not down and self._gave_nothing(feed.name, len(known), self._files[began:]):
            self._processed -= {(feed.name, item) for item in listing.seen}
            # not recorded, so that the next sync reads them again
            self._batch.items = [item for item in self._batch.items if item.source != feed.name]
            for entry in self._files[began:]:  # their documents stay: the source is the one failure
                if entry["failure"] and entry["failure"]["code"] in SKIPPED:
                    entry["status"] = "skipped"
            nothing = SourceUnreachable(
                f"the source returns nothing but had {counted(len(known), 'item')} before: is a share not mounted?",
                cure="Restore the items; if the source is really empty, remove it from twofold.toml or run "
                "`twofold sync --rebuild`. Nothing was deleted.",
            )
            down.append(nothing)
        if down:
            self._outages.append({"source": feed.name or UNNAMED, "failure": failure_of(down[0])})
            for name, row in self._known.items():
                if row.source == feed.name and (row.source, row.item) not in self._processed:
                    self._claimed.setdefault(name, row.item)
            return False
        self._gone_items.update({(feed.name, name): row for name, row in known.items() if name not in listing.seen})
        return True

    def _groups(self, listing: _Listing, progress: Progress) -> Iterator[list[Plan]]:
        """The items that must be read, in groups, each a task; all others are done with in passing."""
        feed, seen = listing.feed, listing.seen
        # A state vouches for an item only under the recipe by which it was read.
        states = {n: row.state for n, row in listing.known.items() if row.recipe == feed.recipe and not _again(row)}
        stage, group, size = f"sync {feed.name}".rstrip(), list[Plan](), 0
        for item in self._items(listing, states):
            if item.id in seen:
                continue
            seen[item.id] = None
            plan = self._planned(listing, item)
            self._plans.append(plan)
            if plan.loaded is not None and plan.result is None:
                group.append(plan)
                size += size_of(plan.loaded)
            self._advance()
            if self._item_reader.is_full(len(group), size):
                yield group
                group, size = [], 0
            progress(stage, len(seen), max(feed.source.total, len(seen)) if feed.source.total else 0)
        if group:
            yield group

    def _items(self, listing: _Listing, states: Mapping[str, str]) -> Iterator[Item]:
        try:
            yield from listing.feed.source.items(states)
        except MemoryError:
            raise
        # Sources are plugins, and talk to programs of others: one that fails must not end the sync of the rest.
        except Exception as error:
            listing.down.append(error)

    def _planned(self, listing: _Listing, item: Item) -> Plan:
        feed, row = listing.feed, listing.known.get(item.id)
        self._processed.add((feed.name, item.id))
        self._files.append(row_of(feed.name, item.id, "added" if row is None else "changed"))
        ids = self._of_item.get((feed.name, item.id), [])
        plan = Plan(feed=feed, number=listing.number, item=item, row=row, ids=ids, place=len(self._files) - 1)
        usable = self._usable(plan)
        if usable is None or not item.state or usable.state != item.state:
            plan.load()
        return plan

    def _usable(self, plan: Plan) -> KnownItem | None:
        """The item's record, where it vouches for its documents."""
        row = plan.row
        if row is None or row.recipe != plan.feed.recipe or _again(row):
            return None
        # Another item may have taken one of the ids: which of the two has it, reading decides.
        return row if all(self._claimed.get(name, plan.item.id) == plan.item.id for name in plan.ids) else None

    def _advance(self) -> None:
        """Finish the items at the front that have been read, or need not be."""
        while self._plans and (self._plans[0].result is not None or self._plans[0].loaded is None):
            self._finish(self._plans.popleft())

    def _finish(self, plan: Plan) -> None:
        """Put an item into the batch: its record, and its documents if there is anything new."""
        feed, item, row, entry = plan.feed, plan.item, plan.row, self._files[plan.place]
        usable, result = self._usable(plan), plan.result
        if result is None or result.outcome == "same":
            if usable is not None:
                self._keep(usable, plan.ids, entry)
                if result is not None:
                    self._batch.items.append(replace(usable, state=item.state))
                return
            result = self._item_reader.here(plan)
        recipe = feed.recipe
        if result.outcome == "unreachable":  # the item's content is not known: its documents stay
            for name in plan.ids:
                self._claimed.setdefault(name, item.id)
            entry |= {"status": "failed", "documents": len(plan.ids), "failure": result.failure}
        else:
            if self._documents(plan, result, entry):
                recipe = f"{recipe}/{_SHARED}"
            if result.failure is not None:
                entry |= {"status": "skipped" if result.outcome == "skipped" else "failed", "failure": result.failure}
            elif plan.ids and not entry["documents"] and says_nothing(entry):
                entry["status"] = "failed"  # the file held documents before, so it is damaged and not of another kind
            # A file that failed before and is read now, its encoding named, say, is as new as one that was mended.
            elif row and not row.failure and row.content == result.content and entry["status"] == "changed":
                entry["status"] = "unchanged"
        entry["seconds"] += result.seconds
        self._file_contents[plan.place] = result.content
        failure = canonical_json(entry["failure"]) if entry["failure"] else ""
        now = KnownItem(
            source=feed.name, item=item.id, state=item.state, recipe=recipe, content=result.content,
            chunks=entry["chunks"], pages=entry["pages"], failure=failure,
        )  # fmt: skip
        self._batch.items.append(now)
        self._maybe_flush()

    def _gave_nothing(self, name: str, items: int, entries: Sequence[FileRow]) -> bool:
        """Has a source lost all its documents? One alone may go; an item still there, but empty, proves nothing."""
        names = [one for one, row in self._known.items() if row.source == name]
        enough = max(items, len(names)) >= _PROOF or any(says_nothing(entry) for entry in entries)
        empty = enough and not any(entry["documents"] for entry in entries)
        return empty and bool(names or not entries) and self._claimed.keys().isdisjoint(names)

    def _keep(self, row: KnownItem, ids: list[str], entry: FileRow) -> None:
        for name in ids:
            self._claimed[name] = row.item
        failure = json.loads(row.failure) if row.failure else None
        status = ("skipped" if failure["code"] in SKIPPED else "failed") if failure else "unchanged"
        entry |= {"status": status, "documents": len(ids), "chunks": row.chunks, "pages": row.pages, "failure": failure}

    def _documents(self, plan: Plan, result: ReadItem, entry: FileRow) -> bool:
        """Put into the batch the documents of one item; True when another item's document has an id of one of them."""
        feed, item, loaded = plan.feed, plan.item, plan.loaded
        shared: dict[str, int] = {}
        for read in result.documents:
            cut, document = read, read.document
            if cut.shortened:
                log.warning("%s: %s", document.id, cut.shortened)
            if document.id in self._claimed and loaded and loaded.name and not cut.original.startswith(loaded.name):
                first = self._claimed[document.id]  # a record's own id: the file before it tells the two apart
                shared[first] = shared.get(first, 0) + 1
                document = feed.document(replace(document, id=below(loaded.name, cut.original)), item.id, loaded)
                cut = self._reading.cut(self._chunker, document, cut.original, known={})
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
            self._document(cut, KnownDocument(digest="", source=feed.name, item=item.id), entry)
        for first, count in shared.items():
            log.warning(
                "%s: %s of it in %s too, and called %s", item.id, counted(count, "id"), first, below(item.id, "…")
            )
        lost = sum(times(problem) for problem in result.problems if problem.severity == "error")
        for problem in sorted(result.problems, key=lambda p: p.severity):  # errors first
            where = f"line {problem.line}: " if problem.line else ""
            remark: FileFailure = {"code": problem.code, "message": where + problem.message, "cure": problem.cure}
            if problem.severity != "error" and result.some:
                entry["remarks"].append(remark)
            elif not entry["failure"]:
                entry["failure"] = remark
                remark["message"] = (f"{lost} faults, first at " if lost > 1 else "") + remark["message"]
        if entry["failure"]:
            entry["status"] = "skipped" if entry["failure"]["code"] in SKIPPED else "failed"
        return bool(shared)

    def _document(self, cut: SplitDocument, known: KnownDocument, entry: FileRow | None) -> None:
        """Put a document into the batch, with its chunks unless the index holds it as it is."""
        document, before = cut.document, self._known.get(cut.document.id)
        known = replace(known, digest=cut.digest, content=cut.content)
        if before is not None and before.digest == known.digest and self._is_held(document.id, before):
            known = replace(known, sealed=before.sealed)
            if entry is not None and before.sealed:
                entry["chunks"] += self._sizes.get(document.id, 0)
            if known != before:
                self._batch.cuts.append(PendingDocument(document=document, known=known, chunks=None, entry=None))
            return
        # A worker leaves a document uncut only where the record above vouches for it.
        assert cut.chunks is not None
        chunks = cut.chunks
        known = replace(known, sealed=sealed(c.seal for c in chunks) if chunks else "")
        if entry is not None:
            entry["chunks"] += len(chunks)
        self._fresh[document.id] = known.content
        self._batch.cuts.append(PendingDocument(document=document, known=known, chunks=chunks, entry=entry))
        self._batch.chunks += len(chunks)
        self._cut_chunks += len(chunks)
        self._maybe_flush()

    def _digests(self, plan: Plan) -> dict[str, str]:
        """Documents of an item that the index holds, with their digests."""
        return {name: self._known[name].digest for name in plan.ids if self._is_held(name, self._known[name])}

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
                cut = self._reading.cut(self._chunker, document, document.id, known={})
                self._document(cut, self._known[document.id], None)
                self._repaired += 1

    # ------------------------------------------------------------ committing

    def _maybe_flush(self) -> None:
        workers = min(self._workers_now(), _WORKERS)
        if self._batch.chunks >= BATCH_CHUNKS * workers or len(self._batch.cuts) >= BATCH_DOCUMENTS:
            self._flush()

    def _workers_now(self) -> int:
        workers = self._where.executor.workers
        self._workers = max(self._workers, workers)
        return workers

    def _flush(self) -> None:
        """Hand over the batch, which is embedded and committed while the next one is read."""
        batch, self._batch = self._batch, PendingBatch()
        self._committer.take(batch)

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
        mark_moved(self._files, self._file_contents, list(self._gone_items.values()))
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
            "embedded": self._committer.embedded,
            "pages": sum(entry["pages"] for entry in self._files),
            "files": self._files,
            "sources": self._outages,
            "warnings": self._committer.warnings(),
            **self._work(),
        }

    def _work(self) -> WorkDone:
        if not self._where.elsewhere:
            return {}
        self._workers_now()
        on, sent, filled = self._where.settings.on, self._item_reader.sent, self._committer.filling
        return {"work": {"on": on, "workers": self._workers, "sent": sent, "filled": filled}}


def synced(catalogue: Catalogue) -> bool:
    """Was a sync of the project ever begun, even if it was killed?"""
    return bool(catalogue.notes.get(_VECTORS)) or bool(catalogue.documents.known())


def _again(row: KnownItem) -> bool:
    """Must the item be read again although its source reports no change? Yes, if it failed for an outer reason."""
    code = json.loads(row.failure)["code"] if row.failure else ""
    return code == DUPLICATE or code.startswith("source")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
