"""The sources of `twofold.toml`, made ready to be read, and the sync that every use of the index calls."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

from twofold.assembly.searching import Search
from twofold.corpus.files import FileReader
from twofold.corpus.loading import content_of, load_documents
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
from twofold.execution.on_demand import OnDemand
from twofold.files.paths import NOT_DOCUMENTS
from twofold.files.reading import MIB, counted
from twofold.hashing import digest
from twofold.indexing.erasure import TRIAL, Eraser
from twofold.indexing.feed import Feed
from twofold.indexing.report import UNNAMED, DocumentRow, SyncCounts, SyncedReport, SyncReport
from twofold.indexing.sync import Sync
from twofold.plugins import loading
from twofold.plugins.protocols import Discards, Progress
from twofold.plugins.results import Item
from twofold.plugins.sources import ReadsObjectStores
from twofold.settings.sections import DocumentsSection, SourceSection
from twofold.store.catalogue import Catalogue
from twofold.store.forgotten import present
from twofold.store.sent import copy_sent
from twofold.types import Document

log = logging.getLogger(__name__)

PUSHED = "pushed"
"""Name of the source of documents that a server was sent; it exists once there is one."""
PUSHED_FOLDER = "serving/documents"
"""Folder of those documents in a project, one JSON file each."""
_SAME = "same documents"
"""Name of the note in the catalogue that says which documents are the same text, and for which content."""
RESTORED = "restored"
"""Name of the note in the catalogue with the index version restored; nothing is synced until `twofold sync`."""


def feeds(search: Search, root: Path, *, only: str = "") -> list[Feed]:
    """The sources as configured, or one of them by its name.

    Raises:
        UnknownName: there is no source of that name, or a source is of an unknown kind.
        ConfigError: a source's options are not valid.
        MissingExtra: a kind of source needs a package that is not installed.
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
    # Another machine may have been sent some, or have forgotten some.
    copy_sent(root / PUSHED_FOLDER, search.catalogue.database.shared)
    if (root / PUSHED_FOLDER).is_dir():
        if PUSHED in sections:
            raise ConfigError(
                f"the source name {PUSHED!r} is reserved for documents that the server was sent",
                cure="Give the source another name.",
            )
        sections[PUSHED] = SourceSection(kind="folder", options={"paths": [PUSHED_FOLDER]})
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
            source = kind(options, root=root, scratch=scratch, limit=limit)
            if isinstance(source, ReadsObjectStores):
                source.reach(config.scale.endpoint)
            feed = Feed(
                name="" if name == UNNAMED else name,
                source=source,
                # everything that can change a document of the source: under another recipe all of it is read again
                recipe=digest("feed", [section.kind, kind.version, options, *inherited]),
                metadata=section.metadata,
                readers=section.readers,
            )
            configured.append(feed)
    return configured


def sync(search: Search, root: Path, *, only: str = "", progress: Progress) -> SyncReport:
    """One sync of all sources or of one; see `sync.Sync.run`. The caller holds the project's lock."""
    eraser = Eraser(search=search, root=root)
    # first, so that a document erased halfway is not read in again
    eraser.finish()
    with FileReader(search.config.documents) as reader:
        ready = [replace(f, recipe=f"{f.recipe}/{reader.fingerprint}") for f in feeds(search, root, only=only)]
        job = Sync(
            search,
            reader=reader,
            where=OnDemand(search.config.scale),
            pushed=PUSHED_FOLDER,
            forgotten=frozenset(eraser.forgotten.entries()),
        )
        return job.run(ready, only=bool(only), progress=progress)


def rebuild(search: Search, root: Path, *, only: str = "", progress: Progress) -> SyncReport:
    """`sync` that reads and embeds everything again into the present index, which goes on answering meanwhile.

    An index that is damaged, or was made by another embedder, cannot answer and is removed first. An index in a
    database is emptied, because a rebuild is also the way to change its settings.
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
    """A sentence on the files that are read in part; empty where every file is read whole.

    Args:
        report: Report of a sync.
    """
    files = [entry["file"] for entry in report["files"] if entry["remarks"]]
    what = counted(len(files), "file")
    return f"not all of {what} is read, such as {files[0]}: `twofold check` says what is not" if files else ""


def refresh(search: Search, root: Path, *, progress: Progress) -> bool:
    """Sync before the index is used, unless a version was restored. Failures are logged; `twofold sync` lists them.

    Returns:
        True when no file and no source failed.
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
    # each outage counts as one failure
    if report["failed"] > len(report["sources"]):
        count = report["failed"] - len(report["sources"])
        what = "file" if count == 1 else "files"
        log.warning("%d %s could not be read; `twofold sync` names them", count, what)
    return not report["failed"]


def behind(search: Search, root: Path) -> list[str]:
    """Remarks on changes in local folders that the index does not hold yet; servers are not asked.

    Only sizes and times are read, and the content of a file that was synced in the moment it was written. Under access
    control no source and no path is named, because the user who asks need not know of them.
    """
    changed, remarks = 0, []
    for feed in feeds(search, root):
        if not isinstance(feed.source, FolderSource) or feed.source.remote:
            continue
        try:
            changed += len(changed_items(search, feed))
        except SourceUnreachable as error:
            named = f"the source {feed.name or UNNAMED!r} cannot be read ({error.message})"
            # under access control the user who asks need not know of the source
            closed = search.config.access.enabled
            remarks.append(f"{'a source cannot be read' if closed else named}: the last sync's text of it is used")
            continue
    if changed:
        remarks.append(f"{counted(changed, 'file')} changed since the last sync: run `twofold sync` to answer from it")
    # under access control two sources give the same remark
    return list(dict.fromkeys(remarks))


def pending(search: Search, root: Path, only: str) -> int:
    """Number of files of one local source that changed since its last sync; 0 where it has no folder yet.

    Args:
        search: Search of the project.
        root: Folder of the project.
        only: Name of the source.

    Raises:
        SourceUnreachable: the folder cannot be read.
    """
    if only == PUSHED and not (root / PUSHED_FOLDER).is_dir():
        return 0
    return sum(len(changed_items(search, feed)) for feed in feeds(search, root, only=only))


def changed_items(search: Search, feed: Feed) -> tuple[str, ...]:
    """Items of a local source that are new, different or gone since its last sync.

    Raises:
        SourceUnreachable: the folder cannot be read.
    """
    known, seen, changed = search.catalogue.sync.items(feed.name), set(), []
    for item in feed.source.items({}):
        seen.add(item.id)
        row = known.get(item.id)
        if row is None or (item.state != row.state if row.state else _differs(item, row.content)):
            changed.append(item.id)
    return (*changed, *sorted(known.keys() - seen))


def _differs(item: Item, content: str) -> bool:
    try:
        return content_of(item.load()) != content
    except (TwofoldError, OSError):
        return False  # a file that cannot be read is a matter for `twofold sync`, which reports it


def contents(catalogue: Catalogue | None) -> dict[str, str]:
    """Document id → digest of its content, as of the last sync; empty before the first."""
    return {name: one.content or one.digest for name, one in catalogue.documents.known().items()} if catalogue else {}


def knows_same_documents(catalogue: Catalogue) -> bool:
    """Is it stored which of the documents of now are the same? Else `same_documents` compares them all."""
    known, note = contents(catalogue), catalogue.notes.get(_SAME)
    return not known or (bool(note) and json.loads(note)["key"] == _compared_key(known))


def _compared_key(known: Mapping[str, str]) -> str:
    return digest("same documents", {"documents": known, "version": twins.VERSION})


def same_documents(
    catalogue: Catalogue | None, read: Callable[[], Sequence[Document]], *, keep: bool = False
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Documents of the same text, and those that hold others, worked out once for each content.

    Args:
        catalogue: Catalogue of a synced project, with its documents; None: the documents are read.
        read: Reads the documents.
        keep: Store the result as a note for the next call; only for a caller that holds the writer's lock.

    Returns:
        What `twins.same_documents` gives, and what `twins.holders` does.
    """
    known = contents(catalogue)
    if catalogue is None or not known:
        return twins.compared(read())
    key = _compared_key(known)
    note = catalogue.notes.get(_SAME)
    if note and (cached := json.loads(note))["key"] == key:
        holders = {name: tuple(others) for name, others in cached["holders"].items()}
        return {**{name: name for name in known}, **cached["copies"]}, holders
    originals, holders = twins.compared(catalogue.documents.get())
    if keep:
        copies = twins.copies(originals)
        catalogue.notes.put(_SAME, json.dumps({"key": key, "copies": copies, "holders": holders}))
    return originals, holders


def watch(
    search: Search, root: Path, sync: Callable[[], SyncedReport], *, stop: Event | None = None
) -> Iterator[SyncedReport]:
    """Sync once, and again whenever a local file of a source changes; yields the first report and those of changes.

    Sources on servers are not watched, but read again with each sync. While another process writes to the project, a
    change waits.

    Args:
        search: Search of the project.
        root: Folder of the project.
        sync: Syncs under the writer's lock, and returns the report.
        stop: Event that ends the watching when set.

    Raises:
        ConfigError: no source has local files.
        MissingExtra: the package watchfiles is not installed.
    """
    places: list[Path] = []
    for feed in feeds(search, root):
        places += feed.source.watched()
    yield sync()
    due = True  # a file may have changed after the sync and before the watching began
    for changed in changes(places, stop=stop):
        due = due or changed
        if due:
            # `due` stays set, so that the change is synced at the next tick, a second later
            with suppress(ProjectLocked):
                report = sync()
                due = False
                if changed or report["added"] or report["changed"] or report["moved"] or report["deleted"]:
                    yield report


def changes(places: Sequence[Path], *, stop: Event | None = None) -> Iterator[bool]:
    """Yields True at once after a change below these files and folders, and False after each second without one.

    Raises:
        ConfigError: none of the files and folders exists.
        MissingExtra: the package watchfiles is not installed.
    """
    try:
        import watchfiles
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "watching folders needs the package 'watchfiles', which is not installed", cure=install("sources")
        ) from error
    # a file that is not there yet is watched through its folder
    there = sorted({place if place.exists() else place.parent for place in places if place.parent.exists()})
    if not there:
        raise ConfigError("no source has local files to watch", cure="Run `twofold sync` from a timer instead.")
    noticed = watchfiles.watch(
        *there,
        # a sync writes there: it would wake itself
        watch_filter=lambda _, path: not {".twofold", TRIAL} & {*Path(path).parts},
        stop_event=stop,
        debounce=200,  # milliseconds: an editor saves a file in several steps
        rust_timeout=1000,
        yield_on_timeout=True,
    )
    for some in noticed:
        yield bool(some)


def listed(
    synced: Catalogue | None, section: DocumentsSection, root: Path, *, progress: Progress
) -> tuple[list[DocumentRow], bool]:
    """A row for each document, and whether they are those of the last sync.

    Args:
        synced: Catalogue with the documents of the last sync; None before the first sync.
        section: Section of the configuration that the documents are read by before the first sync.
        root: Folder of the project.
        progress: Called while documents are read.
    """
    known = synced.documents.known() if synced else {}
    if synced and known:
        documents = synced.documents.get()
    else:
        documents = load_documents(section, root, strict=False, progress=progress)[0]
    rows: list[DocumentRow] = []
    for document in present(documents, root):
        item = known.get(document.id)
        file, source = (item.item, item.source) if item else (document.source, document.collection)
        rows.append({"id": document.id, "title": document.title, "source": source or "documents", "file": file})
    return rows, bool(known)
