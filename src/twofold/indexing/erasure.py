"""A document and everything derived from it erased, so that whatever ends the process is made good by the next sync."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twofold.assembly.searching import Search
from twofold.errors import DiskFull, StoreError, StudyError
from twofold.reports import archive
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.types import Json

RECORDS = "studies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erases documents of one project; the caller holds the project's lock."""

    search: Search
    """Holds index, catalogue and artifacts."""
    root: Path
    """The project."""

    @property
    def forgotten(self) -> Forgotten:
        """The documents that were forgotten."""
        return Forgotten(self.root / RECEIPTS)

    def due(self) -> list[str]:
        """Documents that may not be answered from and still could be: half erased ones, and those that came back.

        What was forgotten comes back with a copy of the derived data that is put back, older than the forgetting.
        """
        entries = self.forgotten.entries()
        done = [name for name, entry in entries.items() if entry["finished"]]
        back: set[str] = set()
        if done:
            back.update(document.id for document in self.search.catalogue.documents.get(done))
            # also where the index alone has it again
            back.update(chunk.span.document for chunk in self.search.index.chunks_of(done))
        return [name for name, entry in entries.items() if not entry["finished"] or name in back]

    def finish(self) -> list[str]:
        """Erase what is due (`due`); returns the documents.

        Called before each sync. The catalogue of a project from before the list lay with the receipts
        has a list of its own: it is moved.
        """
        for document, at in self.search.catalogue.erasure.forgotten().items():
            self.forgotten.begin(document, at, ())
        self.search.catalogue.erasure.clear_forgotten()
        due = self.due()
        for document in due:
            self.erase(document)
        return due

    def erase(self, document: str) -> Json:
        """Erase a document from index, catalogue, studies and caches; safe to repeat.

        The order: the list first, so that no sync takes the document in again. Then the index, from which it is
        answered. The catalogue after it: with the trust in the index taken back before, a sync between the two sees
        that they differ. Studies last.

        Returns:
            ``at``, and what was removed from ``index``, ``catalogue``, ``studies``, ``caches``; ``unreadable``: studies
            whose damaged record may still show it.
        """
        catalogue, index = self.search.catalogue, self.search.index
        chunk_ids = [chunk.id for chunk in index.chunks_of([document])]
        try:
            self.forgotten.begin(document, _now(), chunk_ids)
        except DiskFull:  # what would be emptied in the end makes the room to begin
            self._empty_caches()
            self.forgotten.begin(document, _now(), chunk_ids)
        entry = self.forgotten.entries()[document]
        chunks = frozenset(entry["chunks"])
        # the trust in the index is taken back before it changes: a kill in between is seen by the next sync
        catalogue.notes.put("index-version", "")
        lost = index.erase([document])
        erased = catalogue.erasure.erase(document, chunks=chunks)
        version = index.state().version
        catalogue.sync.put_change(version, entry["at"], {"forgotten": 1})
        studies, unreadable = {}, []
        for path in sorted((self.root / RECORDS).glob("[0-9]*/study.json")):
            try:
                removed = archive.redact(path.parent, document, chunks)
            except (StudyError, LookupError, TypeError, AttributeError):  # of another version, or damaged
                unreadable.append(path.parent.name)
            else:
                if removed:
                    studies[path.parent.name] = removed
        # drafts of a killed study may hold the text as well
        for draft in (self.root / RECORDS).glob(".*.partial"):
            shutil.rmtree(draft, ignore_errors=True)
        caches = self._empty_caches()
        self.forgotten.finish(document)
        return {
            "at": entry["at"],
            "index": {**lost, "version": version},
            "catalogue": erased,
            "studies": studies,
            "unreadable": unreadable,
            "caches": caches,
        }

    def _empty_caches(self) -> Json:
        """Remove what live tools have kept and indexes made for comparison, both whole: either may hold any text.

        Returns:
            ``{"tools": {name: answers removed}, "bench": indexes removed}``.
        """
        root = self.search.directory
        tools = {path.name: len(list(path.glob("*.json"))) for path in sorted((root / "tools").glob("*"))}
        bench = len(list((root / "bench").glob("*")))
        try:
            for folder in (root / "tools", root / "bench"):
                if folder.is_dir():
                    shutil.rmtree(folder)
        except OSError as error:
            raise StoreError(f"a cache cannot be emptied: {error.strerror or error}", file=root) from error
        return {"tools": tools, "bench": bench}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
