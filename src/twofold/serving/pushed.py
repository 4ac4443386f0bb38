"""Documents that a server is sent: one file each in the project, indexed by the project's own sync.

A document is acknowledged once it is in the index. After a kill in between, the file is there and the next sync, by
whatever command, completes the work.

Under access control a document belongs to its readers: its id begins with them, so that a caller can neither take an id
that others use nor learn from a refusal that they do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twofold.answering import access
from twofold.errors import Conflict, DataError, NotServed, refused
from twofold.files import writing
from twofold.files.reading import counted
from twofold.hashing import canonical_json, digest
from twofold.indexing import feeds
from twofold.indexing.feeds import PUSHED, PUSHED_FOLDER
from twofold.plugins.protocols import quiet
from twofold.project import Project
from twofold.serving.bodies import DocumentBody
from twofold.serving.conversation import bad
from twofold.types import Document, Filter, Json


class Pushed:
    """The documents that a server was sent.

    Args:
        project: Open for the writing alone, so that a sync shares no open file with what answers.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._folder = project.directory / PUSHED_FOLDER
        self._lock = threading.Lock()

    def put(self, body: DocumentBody, seen: Filter | None, *, replace: bool) -> Json:
        """Add a document, or replace it, and index it.

        Args:
            body: The document.
            seen: What the caller may see; None where access control is off.
            replace: Take the place of a document of that id; else its presence is a conflict.

        Returns:
            The document's row; its text is found from now on.

        Raises:
            BadRequest: the readers are missing, or not all the caller's.
            Conflict: the document is there, or is not the version that is to be replaced.
            ProjectLocked: another command is writing to the project.
            DataError: the document could not be read in.
        """
        name = _owned(body.id, body.readers, seen)
        with self._writing():
            present = self._project.catalogue.documents.versions([_full(name)])
            file = self._file(name)
            before = file.read_bytes() if file.is_file() else None
            if before is not None and not replace:
                raise Conflict(f"the document {name!r} is there already", cure="Replace it with PUT.")
            version = _version(present[_full(name)][0]) if present else ""
            if body.version and body.version != version:
                raise Conflict(f"the document {name!r} is at version {version or 'none'}, not {body.version!r}")
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                writing.write(file, canonical_json(_record(body, name)), mode=0o600)
            except OSError as error:
                raise refused(f"the document cannot be written: {error.strerror or error}", error) from error
            failures = self._synced()
            rows = self._rows([name], seen)
            if failures or name not in rows:
                # As if it had never been sent: a file that cannot be read would fail every sync.
                if before is None:
                    file.unlink()
                else:
                    writing.write(file, before, mode=0o600)
                raise DataError(
                    failures or "the document was not indexed", cure="Send text; a forgotten id cannot come back."
                )
            return rows[name]

    def delete(self, name: str, seen: Filter | None) -> None:
        """Remove a document from the index.

        Raises:
            NotServed: there is no such document, or the caller may not see it.
            ProjectLocked: another command is writing to the project.
        """
        with self._writing():
            self.get(name, seen)
            self._file(name).unlink(missing_ok=True)
            self._synced()

    def get(self, name: str, seen: Filter | None) -> Json:
        """The row of a document, with its text.

        Raises:
            NotServed: there is no such document among those that were sent, or the caller may not see it.
        """
        rows = self._rows([name], seen)
        if name not in rows:
            # The same words for what is not there and for what others see.
            raise NotServed("there is no such document", cure="GET /v1/documents lists those that were sent.")
        (document,) = self._project.catalogue.documents.get([_full(name)])
        return {**rows[name], "text": document.text, "metadata": dict(document.metadata)}

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
            if document.collection == PUSHED and name > after and _visible(access.ruled(document, rules), seen):
                names.append(name)
        names.sort()
        return list(self._rows(names[:limit], seen).values()), len(names) > limit

    def _rows(self, names: list[str], seen: Filter | None) -> dict[str, Json]:
        documents = self._project.catalogue.documents
        full = [_full(name) for name in names]
        versions = documents.versions(full)
        rules = self._project.config.access.rules
        rows: dict[str, Json] = {}
        for document in documents.get(full):
            if _visible(access.ruled(document, rules), seen):
                name = document.id.removeprefix(f"{PUSHED}:")
                rows[name] = {
                    "id": name,
                    "object": "document",
                    "document": document.id,
                    "title": document.title,
                    "readers": None if document.readers is None else list(document.readers),
                    "characters": len(document.text),
                    "version": _version(versions[document.id][0]),
                }
        return rows

    def _file(self, name: str) -> Path:
        # A digest: an id may be longer than a file's name, or look like a path.
        return self._folder / f"{digest('pushed', name).partition(':')[2]}.json"

    def _synced(self) -> str:
        """Bring the index up to date; returns what could not be read."""
        report = feeds.sync(self._project.workspace.search, self._project.directory, only=PUSHED, progress=quiet)
        failed = [entry["failure"]["message"] for entry in report["files"] if entry["failure"]]
        return failed[0] if failed else ""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._project.writing():
            if version := self._project.catalogue.notes.get(feeds.RESTORED):
                raise Conflict(
                    f"index version {version} was restored, and no document may change it",
                    cure="Run `twofold sync`, which brings the index up to date.",
                )
            yield


def _owned(name: str, readers: list[str] | None, seen: Filter | None) -> str:
    """The id under which a document is stored."""
    if seen is None:
        return name
    if not readers:
        raise bad("access control is enabled, and the document names no readers", "readers", cure="Name its readers.")
    foreign = [reader for reader in readers if reader not in (seen.principal or ())]
    if foreign:
        raise bad(f"{counted(len(foreign), 'reader')} of the document are not the caller's", "readers")
    return f"{'+'.join(sorted(set(readers)))}/{name}"


def _record(body: DocumentBody, name: str) -> Json:
    record: Json = {"id": name, "text": body.text, "title": body.title or body.id}
    if body.readers is not None:
        record["readers"] = body.readers
    taken = [key for key in body.metadata if key in {*record, "source", "readers"}]
    if taken:
        raise bad(f"{taken[0]!r} is a field of documents and no metadata", "metadata", cure="Name the field otherwise.")
    return {**body.metadata, **record}


def _visible(document: Document, seen: Filter | None) -> bool:
    if seen is None or seen.principal is None:
        return True
    return any(reader in seen.principal for reader in document.readers or ())


def _full(name: str) -> str:
    return f"{PUSHED}:{name}"


def _version(content: str) -> str:
    return content.partition(":")[2][:12] or content[:12]
