"""Documents that a server is sent: one file each in the project, indexed by the project's own sync.

A document is acknowledged once it is in the index. After a kill in between, the file is there and the next start of a
server completes the work, or the next sync, by whatever command.

Under access control a document belongs to its readers: its id begins with them, so that a caller can neither take an id
that others use nor learn from a refusal that they do.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from twofold.answering import access
from twofold.errors import Conflict, DataError, NotServed, ProjectLocked, StoreError, TwofoldError, refused
from twofold.files.reading import counted
from twofold.hashing import canonical_json
from twofold.indexing import feeds
from twofold.indexing.feeds import PUSHED, PUSHED_FOLDER
from twofold.indexing.sync import synced
from twofold.plugins.protocols import quiet
from twofold.project import Project
from twofold.serving.bodies import DocumentBody
from twofold.serving.conversation import bad
from twofold.serving.holdings import readable
from twofold.serving.sent_files import sent_files, version
from twofold.types import Filter, Json

log = logging.getLogger(__name__)

_TOGETHER = 64
"""Most changes that are indexed in one sync; the first of them waits for the last."""
_AGAIN = 30.0
"""Seconds after which the index is brought up to date again where it refused a change."""


@dataclass(frozen=True, kw_only=True)
class _Change:
    """A document to be put or removed, and whoever waits for it."""

    name: str
    """The id under which it is stored."""
    body: DocumentBody | None
    """None: remove it."""
    seen: Filter | None
    replace: bool
    done: Future[Json] = field(default_factory=Future)


class Pushed:
    """The documents that a server was sent.

    Changes are made by one thread, which needs no other's turn; those that came meanwhile are indexed in one sync.

    Args:
        project: Open for the writing alone, so that a sync shares no open file with what answers.
    """

    def __init__(self, project: Project) -> None:
        self.failure = ""
        """Why the last change could not be made, where disk or index refused it; empty where they did not."""
        self._project = project
        self._files = sent_files(project.directory / PUSHED_FOLDER, project.places.shared)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="twofold-documents")
        self._waiting: deque[_Change] = deque()
        self._again: threading.Timer | None = None
        # In the thread of all changes: the first that is sent waits for it.
        self._worker.submit(self._complete)

    def close(self) -> None:
        """Make the changes that wait, and no more."""
        self._worker.shutdown()
        if self._again is not None:
            self._again.cancel()

    def put(self, body: DocumentBody, seen: Filter | None, *, replace: bool) -> Future[Json]:
        """Add a document, or replace it, and index it.

        Args:
            body: The document.
            seen: What the caller may see; None where access control is off.
            replace: Take the place of a document of that id; else its presence is a conflict.

        Returns:
            The document's row, once its text is found. The future raises `Conflict` where the document is there, or is
            not the version that is to be replaced; `ProjectLocked` where another command is writing to the project;
            `DataError` where the document could not be read in.

        Raises:
            BadRequest: the readers are missing, or not all the caller's; or metadata has a document's field.
        """
        name = _owned(body.id, body.readers, seen)
        _record(body, name)
        return self._submitted(_Change(name=name, body=body, seen=seen, replace=replace))

    def delete(self, name: str, seen: Filter | None) -> Future[Json]:
        """Remove a document from the index.

        Returns:
            Nothing of interest, once the document is not found any more. The future raises `NotServed` where there is
            no such document, or the caller may not see it, and `ProjectLocked` as `put`.
        """
        return self._submitted(_Change(name=name, body=None, seen=seen, replace=True))

    def _submitted(self, change: _Change) -> Future[Json]:
        self._waiting.append(change)
        self._worker.submit(self._work)
        return change.done

    def _complete(self) -> None:
        """Index what a killed server had written and not indexed: until then it is neither found nor taken."""
        search, root = self._project.workspace.search, self._project.directory
        try:
            self._files.sweep()
            if synced(search.catalogue) and feeds.pending(search, root, PUSHED):
                with self._writing():
                    self._synced()
        except (TwofoldError, OSError) as error:
            log.info("what was sent before the start is not completed now: %s", error)

    def _work(self) -> None:
        """Make the changes that wait now, no two of one document, in the order in which they came."""
        taken: dict[str, _Change] = {}
        while self._waiting and len(taken) < _TOGETHER and self._waiting[0].name not in taken:
            change = self._waiting.popleft()
            if change.done.set_running_or_notify_cancel():  # else its caller has left
                taken[change.name] = change
        if not taken:  # made together with earlier ones
            return
        outcomes: dict[str, Json | BaseException] = {}
        try:
            with self._writing():
                self._change(list(taken.values()), outcomes)
        # Also a panic of a library's native code, which is no `Exception`: nobody is to wait for ever.
        except BaseException as error:
            fault = error if isinstance(error, TwofoldError) else _fault(error)
            self._note(fault)
            outcomes = {name: outcomes.get(name, fault) for name in taken}
        # Told when the lock is given back: whoever has the answer may run a command that writes.
        for name, outcome in outcomes.items():
            if isinstance(outcome, BaseException):
                taken[name].done.set_exception(outcome)
            else:
                taken[name].done.set_result(outcome)

    def _note(self, fault: BaseException) -> None:
        """Remember what `/readyz` is to say of a fault."""
        if isinstance(fault, StoreError) and not isinstance(fault, ProjectLocked):
            self.failure = f"documents cannot be stored: {fault.message}"

    def _change(self, changes: list[_Change], outcomes: dict[str, Json | BaseException]) -> None:
        """Make changes of different documents, and note what became of each."""
        written: list[_Change] = []
        try:
            for change in changes:
                try:
                    self._write(change)
                    written.append(change)
                except TwofoldError as error:
                    self._note(error)
                    outcomes[change.name] = error
            failures = self._synced() if written else {}
        except BaseException:
            # As if nothing had been sent: nobody is told that it was taken.
            for change in written:
                self._undo(change)
            self._bring_back_later()
            raise
        if written:
            self.failure = ""
        for change in written:
            failure = failures.get(self._files.path(change.name).name, "")
            outcomes[change.name] = self._settled(change, failure)

    def _bring_back_later(self) -> None:
        """Sync again after a while: the index may have taken what the catalogue, on a full disk, refused."""
        if self._again is not None:
            self._again.cancel()
        self._again = threading.Timer(_AGAIN, self._submit_again)
        self._again.daemon = True
        self._again.start()

    def _submit_again(self) -> None:
        with suppress(RuntimeError):  # closed meanwhile
            self._worker.submit(self._bring_back)

    def _bring_back(self) -> None:
        try:
            with self._writing():
                self._synced()
            self.failure = ""
        # Also a native panic, as in `_work`: what was refused would be found until somebody sends another document.
        except BaseException as error:
            log.info("what was refused may still be found: %s", error)
            self._bring_back_later()

    def _write(self, change: _Change) -> None:
        """Bring a document's file to its new state."""
        name, body = change.name, change.body
        if body is None:
            self.get(name, change.seen)
            self._files.remove(name)
            return
        before = self._files.content(name)
        # Of a file that is not indexed nobody was told that it was taken: it conflicts with nothing.
        if before is not None and not self._project.catalogue.documents.versions([_full(name)]):
            before = None
        if before is not None and not change.replace:
            raise Conflict(f"the document {name!r} is there already", cure="Replace it with PUT.")
        present = "" if before is None else version(before)
        if body.version and body.version != present:
            raise Conflict(f"the document {name!r} is at version {present or 'none'}, not {body.version!r}")
        try:
            self._files.write(name, canonical_json(_record(body, name)))
        except OSError as error:
            raise refused(f"the document cannot be written: {error.strerror or error}", error) from error

    def _undo(self, change: _Change) -> None:
        try:
            self._files.undo(change.name)
        except OSError as error:
            log.error("the file of the document %r cannot be brought back: %s", change.name, error)

    def _settled(self, change: _Change, failure: str) -> Json | TwofoldError:
        """What became of a change."""
        if change.body is None:
            self._files.settle(change.name)
            return {}
        rows = self._rows([change.name], change.seen)
        if not failure and change.name in rows:
            self._files.settle(change.name)
            return rows[change.name]
        # A file that cannot be read would fail every sync.
        self._undo(change)
        cure = "Send text; a forgotten id cannot come back."
        return DataError(failure or "the document was not indexed", cure=cure)

    def get(self, name: str, seen: Filter | None) -> Json:
        """The row of a document, with its text.

        Raises:
            NotServed: there is no such document among those that were sent, or the caller may not see it.
        """
        rows = self._rows([name], seen)
        content = self._files.content(name) if name in rows else None
        if content is None:
            # The same words for what is not there and for what others see.
            raise NotServed("there is no such document", cure="GET /v1/documents lists those that were sent.")
        # As it was sent: the reader adds the metadata to the text that is searched.
        sent = json.loads(content)
        fields = ("id", "text", "title", "readers")
        metadata = {key: value for key, value in sent.items() if key not in fields}
        return {**rows[name], "text": sent["text"], "version": version(content), "metadata": metadata}

    def listed(self, seen: Filter | None, *, after: str = "", limit: int = 100) -> tuple[list[Json], bool]:
        """Rows of the documents that the caller may see, by id, and whether there are more.

        Args:
            seen: What the caller may see; None where access control is off.
            after: The id that the page begins after.
            limit: Most rows.
        """
        rules, names = self._project.config.access.rules, []
        for document in self._project.catalogue.documents.without_texts():
            name = document.id.removeprefix(f"{PUSHED}:")
            if document.collection == PUSHED and name > after and access.visible(document, rules, seen):
                names.append(name)
        names.sort()
        return list(self._rows(names[:limit], seen).values()), len(names) > limit

    def _rows(self, names: list[str], seen: Filter | None) -> dict[str, Json]:
        search = self._project.workspace.search
        every = [readable(search, seen, _full(name)) for name in names if not _foreign(name, seen)]
        rows: dict[str, Json] = {}
        for document in filter(None, every):
            name = document.id.removeprefix(f"{PUSHED}:")
            content = self._files.content(name)
            if content is None:  # removed, and not yet from the index
                continue
            rows[name] = {
                "id": name,
                "object": "document",
                "document": document.id,
                "title": document.title,
                "readers": None if document.readers is None else list(document.readers),
                "characters": len(document.text),
                "version": version(content),
            }
        return rows

    def _synced(self) -> dict[str, str]:
        """Bring the index up to date; returns name → failure of each file that could not be read."""
        report = feeds.sync(self._project.workspace.search, self._project.directory, only=PUSHED, progress=quiet)
        return {Path(row["file"]).name: row["failure"]["message"] for row in report["files"] if row["failure"]}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._project.writing():
            if version := self._project.catalogue.notes.get(feeds.RESTORED):
                raise Conflict(
                    f"index version {version} was restored, and no document may change it",
                    cure="Run `twofold sync`, which brings the index up to date.",
                )
            yield


def _fault(error: BaseException) -> BaseException:
    """What whoever waits gets for an error that says nothing to them."""
    if isinstance(error, OSError) or not isinstance(error, Exception):
        cause = error if isinstance(error, Exception) else RuntimeError(str(error))
        return refused(f"the documents cannot be stored: {error}", cause)
    return error


def _owned(name: str, readers: list[str] | None, seen: Filter | None) -> str:
    """The id under which a document is stored."""
    if seen is None:
        return name
    if not readers:
        raise bad(
            "access control is enabled, and the document names no readers",
            "readers",
            cure='Name its readers, each of them a name of the caller: "readers": ["group:staff"].',
        )
    foreign = [reader for reader in readers if reader not in (seen.principal or ())]
    if foreign:
        verb = "is" if len(foreign) == 1 else "are"
        raise bad(f"{counted(len(foreign), 'reader')} of the document {verb} not the caller's", "readers")
    # Quoted: neither "a" and "b" nor a group's path may be another reader's name.
    owners = sorted({quote(reader, safe=":@ ") for reader in readers})
    return f"{'+'.join(owners)}/{name}"


def _foreign(name: str, seen: Filter | None) -> bool:
    """Does the id itself say that it is others'? Then nothing is looked up, which would take longer where it exists."""
    if seen is None or seen.principal is None:
        return False
    owners = [unquote(owner) for owner in name.partition("/")[0].split("+")]
    return all(owner.startswith(("user:", "group:")) and owner not in seen.principal for owner in owners)


def _record(body: DocumentBody, name: str) -> Json:
    record: Json = {"id": name, "text": body.text, "title": body.title or body.id}
    if body.readers is not None:
        record["readers"] = body.readers
    taken = [key for key in body.metadata if key in {*record, "source", "readers"}]
    if taken:
        raise bad(f"{taken[0]!r} is a field of documents and no metadata", "metadata", cure="Name the field otherwise.")
    return {**body.metadata, **record}


def _full(name: str) -> str:
    return f"{PUSHED}:{name}"
