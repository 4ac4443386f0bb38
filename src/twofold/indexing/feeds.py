"""The sources of `twofold.toml` made ready, and one sync of them, as every use of the index makes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from twofold.assembly.searching import Search
from twofold.config import DocumentsSection, SourceSection
from twofold.corpus.files import FileReader
from twofold.corpus.loading import content_of, holds_none, load_documents, no_documents
from twofold.corpus.sources.folder import FolderSource
from twofold.errors import (
    ConfigError,
    IndexDamaged,
    IndexMismatch,
    MissingExtra,
    ProjectLocked,
    SourceUnreachable,
    TwofoldError,
    UnknownName,
    install,
)
from twofold.examples import twins
from twofold.files.paths import NOT_DOCUMENTS
from twofold.files.reading import MIB, counted
from twofold.hashing import digest
from twofold.indexing.erasure import Eraser
from twofold.indexing.report import SyncCounts, SyncedReport, SyncReport
from twofold.indexing.sync import UNNAMED, Feed, Sync
from twofold.plugins import loading
from twofold.plugins.protocols import Discards, Item, Progress
from twofold.store.catalogue import Catalogue
from twofold.store.forgotten import present
from twofold.types import Document, Json, Loaded, Problem

log = logging.getLogger(__name__)

_SAME = "same documents"
"""Note in the catalogue: which documents are the same text, and for which content."""
RESTORED = "restored"
"""Note in the catalogue: the index version that was restored, while nothing is synced by itself."""


def feeds(search: Search, root: Path, *, only: str = "") -> list[Feed]:
    """The sources as configured, or one of them by its name.

    Raises:
        UnknownName: there is no source of that name, or no kind.
        ConfigError: a source's options are not valid.
        MissingExtra: a kind needs a package that is not installed.
    """
    config = search.config
    sections = dict(config.sources)
    if config.documents.paths and UNNAMED in sections:
        raise ConfigError(
            f"the source name {UNNAMED!r} is reserved for [documents].paths",
            cure="Give the source another name, or leave [documents].paths empty.",
        )
    if config.documents.paths:
        documents = config.documents
        folder_options = {
            "paths": list(documents.paths),
            "exclude": [*NOT_DOCUMENTS, *documents.exclude],
            "ids_from": documents.ids_from,
        }
        sections = {UNNAMED: SourceSection(kind="folder", options=folder_options), **sections}
    if only and only not in sections:
        raise UnknownName(f"unknown source {only!r}", cure=f"Name one of the sources: {', '.join(sections) or 'none'}.")
    configured = []
    for name, section in sections.items():
        if only in ("", name):
            options = loading.options("sources", section.kind, section.options, where=f"sources.{name}")
            kind = loading.find("sources", section.kind)
            limit = int(config.documents.max_mib * MIB)
            scratch = search.directory / "sources" / name
            inherited = [section.metadata, section.readers, *config.access.rules]
            feed = Feed(
                name="" if name == UNNAMED else name,
                source=kind(options, root=root, scratch=scratch, limit=limit),
                # all that changes a document of the source: with it everything is read again
                recipe=digest("feed", [section.kind, kind.version, options, *inherited]),
                metadata=section.metadata,
                readers=section.readers,
            )
            configured.append(feed)
    return configured


def sync(search: Search, root: Path, *, only: str = "", progress: Progress) -> SyncReport:
    """One sync of all sources or of one; see `sync.Sync.run`. The caller holds the project's lock."""
    eraser = Eraser(search=search, root=root)
    # first: what is being forgotten must not be read in again
    eraser.finish()
    with FileReader(search.config.documents) as reader:
        ready = [replace(f, recipe=f"{f.recipe}/{reader.fingerprint}") for f in feeds(search, root, only=only)]
        job = Sync(
            search,
            read=partial(_read, reader, frozenset(search.config.documents.paths)),
            forgotten=frozenset(eraser.forgotten.entries()),
        )
        return job.run(ready, only=bool(only), progress=progress)


def rebuild(search: Search, root: Path, *, only: str = "", progress: Progress) -> SyncReport:
    """`sync` that reads and embeds everything again, in the index that is there, which answers meanwhile.

    One that is damaged, or was made by another embedder, answers nobody: it is removed first. One in a database is
    emptied, for a rebuild is also how its settings are changed.
    """
    try:
        search.index.contents()
        usable = not isinstance(loading.find("indexes", search.config.retrieval.index.name), Discards)
    except (IndexMismatch, IndexDamaged):
        usable = False
    if usable:
        search.catalogue.sync.renew()
        try:
            return sync(search, root, only=only, progress=progress)
        except IndexDamaged:
            log.warning("the index is damaged: it is made anew")
    search.clear()
    return sync(search, root, only=only, progress=progress)


def partly(report: SyncCounts) -> str:
    """A sentence on the files of which something is not read; empty where there is none.

    Args:
        report: Of a sync.
    """
    files = [entry["file"] for entry in report["files"] if entry["remarks"]]
    what = counted(len(files), "file")
    return f"not all of {what} is read, such as {files[0]}: `twofold check` says what is not" if files else ""


def refresh(search: Search, root: Path, *, progress: Progress) -> bool:
    """Sync before the index is used, unless a version was restored. What fails is logged: `twofold sync` lists it.

    Returns:
        Did everything that was read turn out well?
    """
    restored = search.catalogue.notes.get(RESTORED)
    if restored:
        Eraser(search=search, root=root).finish()
        log.warning("index version %s was restored: nothing is synced until `twofold sync`", restored)
        return True
    report = sync(search, root, progress=progress)
    for warning in (*report["warnings"], *filter(None, [partly(report)])):
        log.warning("%s", warning)
    for outage in report["sources"]:
        what = f"the source {outage['source']!r} cannot be read ({outage['failure']['message']})"
        log.warning("%s: what the last sync took from it is used; `twofold sync` tells more", what)
    if report["failed"] > len(report["sources"]):
        count = report["failed"] - len(report["sources"])
        what = "file" if count == 1 else "files"
        log.warning("%d %s could not be read: run `twofold sync`", count, what)
    return not report["failed"]


def behind(search: Search, root: Path) -> list[str]:
    """What the index does not hold of local folders as they are now, as remarks; servers are not asked.

    Only sizes and times are read, and the content of a file that was synced within the moment it was written. Under
    access control no source and no path is named: whoever asks need not know of them.
    """
    changed, remarks = 0, []
    for feed in feeds(search, root):
        if not isinstance(feed.source, FolderSource):
            continue
        known, seen = search.catalogue.sync.items(feed.name), set()
        try:
            for item in feed.source.items({}):
                seen.add(item.id)
                row = known.get(item.id)
                changed += row is None or (item.state != row.state if row.state else _differs(item, row.content))
        except SourceUnreachable as error:
            named = f"the source {feed.name or UNNAMED!r} cannot be read ({error.message})"
            # who asks need not know of the source
            closed = search.config.access.enabled
            remarks.append(f"{'a source cannot be read' if closed else named}: the last sync's text of it is used")
            continue
        changed += len(known.keys() - seen)
    if changed:
        remarks.append(f"{counted(changed, 'file')} changed since the last sync: run `twofold sync` to answer from it")
    return list(dict.fromkeys(remarks))


def _differs(item: Item, content: str) -> bool:
    try:
        return content_of(item.load()) != content
    except (TwofoldError, OSError):
        return False  # sync says what is wrong with it


def contents(catalogue: Catalogue | None) -> dict[str, str]:
    """Document id → digest of its content, as of the last sync; empty before the first."""
    return {name: one.content or one.digest for name, one in catalogue.documents.known().items()} if catalogue else {}


def same_documents(
    catalogue: Catalogue | None, read: Callable[[], Sequence[Document]], *, keep: bool = False
) -> dict[str, str]:
    """Document id → the first id of the same text (see `twins.same_documents`), worked out once for each content.

    Args:
        catalogue: Of a project that was synced, which has the documents; None: they are read.
        read: Reads them.
        keep: Note what was found, for the next time: by whoever holds the writer's lock.
    """
    known = contents(catalogue)
    if catalogue is None or not known:
        return twins.same_documents(read())
    key = digest("same documents", {"documents": known, "version": twins.VERSION})
    note = catalogue.notes.get(_SAME)
    if note and (cached := json.loads(note))["key"] == key:
        return {**{name: name for name in known}, **cached["copies"]}
    originals = twins.same_documents(catalogue.documents.get())
    if keep:
        catalogue.notes.put(_SAME, json.dumps({"key": key, "copies": twins.copies(originals)}))
    return originals


def watch(
    search: Search, root: Path, sync: Callable[[], SyncedReport], *, stop: Event | None = None
) -> Iterator[SyncedReport]:
    """Sync once, and again whenever a local file of a source changes; yields the first report and those of changes.

    Sources on servers are read again with each sync, not followed. While another process writes to the project, a
    change waits for it.

    Args:
        search: Of the project.
        root: The project.
        sync: Syncs under the writer's lock, and returns the report.
        stop: Ends the watching when set.

    Raises:
        ConfigError: no source has local files.
        MissingExtra: the package watchfiles is not installed.
    """
    places = [place for feed in feeds(search, root) for place in feed.source.watched()]
    yield sync()
    due = True  # what changed before the watching began
    for changed in changes(places, stop=stop):
        due = due or changed
        if due:
            with suppress(ProjectLocked):
                report = sync()
                due = False
                if changed or report["added"] or report["changed"] or report["moved"] or report["deleted"]:
                    yield report


def changes(places: Sequence[Path], *, stop: Event | None = None) -> Iterator[bool]:
    """Once a second, and at once after a change: did anything change below these files and folders?

    Raises:
        ConfigError: none of them exists.
        MissingExtra: the package watchfiles is not installed.
    """
    try:
        import watchfiles
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "watching folders needs the package 'watchfiles', which is not installed", cure=install("sources")
        ) from error
    there = sorted({place if place.exists() else place.parent for place in places if place.parent.exists()})
    if not there:
        raise ConfigError("no source has local files to watch", cure="Run `twofold sync` from a timer instead.")
    noticed = watchfiles.watch(
        *there,
        watch_filter=lambda _, path: ".twofold" not in Path(path).parts,
        stop_event=stop,
        debounce=200,
        rust_timeout=1000,
        yield_on_timeout=True,
    )
    for some in noticed:
        yield bool(some)


def _read(reader: FileReader, named: Container[str], loaded: Loaded) -> tuple[Sequence[Document], Sequence[Problem]]:
    """The documents of a file; that nobody reads its kind, or that it was never one of documents, is no fault of it."""
    if reader.knows(loaded.name):
        documents, problems = reader.read(loaded)
        if holds_none(loaded.name, documents, problems) and loaded.name not in named:
            return [], [no_documents(problems)]
        return documents, problems
    error = reader.unknown(loaded.name)
    return [], [
        Problem(
            severity="warning", code="data.no-reader", message=error.message, cure=error.cure, file=loaded.name
        )
    ]  # fmt: skip


def listed(
    synced: Catalogue | None, section: DocumentsSection, root: Path, *, progress: Progress
) -> tuple[list[Json], bool]:
    """The documents: ``id``, ``title``, ``source``, ``file``; and whether they are those of the last sync.

    Args:
        synced: Has those of the last sync; None before the first.
        section: Says where they are read from before it.
        root: The project.
        progress: Shows the reading.
    """
    known = synced.documents.known() if synced else {}
    if synced and known:
        documents = synced.documents.get()
    else:
        documents = load_documents(section, root, strict=False, progress=progress)[0]
    rows: list[Json] = []
    for document in present(documents, root):
        item = known.get(document.id)
        file, source = (item.item, item.source) if item else (document.source, document.collection)
        rows.append({"id": document.id, "title": document.title, "source": source or "documents", "file": file})
    return rows, bool(known)
