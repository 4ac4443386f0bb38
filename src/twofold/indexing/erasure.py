"""Erase a document and everything derived from it. After a kill halfway, the next sync completes the work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twofold.assembly.searching import Search
from twofold.audit.log import FOLDER as AUDIT
from twofold.audit.texts import AuditTexts
from twofold.errors import DiskFull, StoreError, StudyError, refused
from twofold.files import writing
from twofold.indexing import bulk, stored_logs
from twofold.indexing.report import EmptiedCaches, Erased
from twofold.labelling.labels import labels_of
from twofold.reports import archive
from twofold.store.copying import STAGING
from twofold.store.database import BATCH, BEFORE
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.text.quoting import Quoted

RECORDS = "studies"
"""Folder of the studies' records in a project."""
TRIAL = ".twofold-trial"
"""Folder in which `twofold improve` tries other passages beside the index that answers."""
GAPS = "improvement"
"""Folder of the training questions that `twofold improve` makes on documents: Twofold's files, and not the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erases documents of one project; the caller holds the project's lock."""

    search: Search
    """Index, catalogue and artifacts of the project."""
    root: Path
    """Folder of the project."""

    @property
    def forgotten(self) -> Forgotten:
        """The list of documents that were forgotten, which lies with the receipts."""
        return Forgotten(self.root / RECEIPTS)

    def due(self) -> list[str]:
        """The documents that must be erased: those erased halfway, and those that came back.

        A forgotten document comes back when somebody restores a copy of the derived data from before it was forgotten.
        """
        entries = self.forgotten.entries()
        done = [name for name, entry in entries.items() if entry["finished"]]
        back: set[str] = set()
        if done:
            back.update(document.id for document in self.search.catalogue.documents.get(done))
            # the index may be restored without the catalogue
            back.update(chunk.span.document for chunk in self.search.index.chunks_of(done))
        return [name for name, entry in entries.items() if not entry["finished"] or name in back]

    def finish(self) -> list[str]:
        """Erase the documents that are `due`, and return them; called before each sync.

        In older projects the list of forgotten documents is in the catalogue: it is moved to the receipts first.
        """
        for document, at in self.search.catalogue.erasure.forgotten().items():
            self.forgotten.begin(document, at, ())
        self.search.catalogue.erasure.clear_forgotten()
        due = self.due()
        for document in due:
            self.erase(document)
        return due

    def erase(self, document: str) -> Erased:
        """Erase a document from index, catalogue, studies, made questions and caches; safe to repeat.

        The order matters. The document is put on the list first, so that no sync reads it in again. The index follows,
        since answers come from it. The catalogue's trust in the index is withdrawn before both change, so that a sync
        after a kill between the two sees that they differ. Studies come last.
        """
        catalogue, index = self.search.catalogue, self.search.index
        # before anything is erased: answers that show the document name its chunks
        chunks_before = index.chunks_of([document])
        chunk_ids = [chunk.id for chunk in chunks_before]
        quotes = self.quoted(document, [chunk.text for chunk in chunks_before]).runs
        try:
            self.forgotten.begin(document, _now(), chunk_ids, quotes=quotes)
        except DiskFull:  # the caches are emptied in the end anyway: emptied now, they make room for the list
            self._empty_caches()
            self.forgotten.begin(document, _now(), chunk_ids, quotes=quotes)
        entry = self.forgotten.entries()[document]
        chunks, quoted = frozenset(entry["chunks"]), Quoted(entry["quotes"])
        # withdrawn before the index changes: the next sync then compares index and catalogue after a kill in between
        catalogue.notes.put("index-version", "")
        # pieces of a filling that was stopped may hold its text, and go with it
        bulk.discard(self.search.directory)
        lost = index.erase([document])
        erased = catalogue.erasure.erase(document, chunks=chunks, quotes=quoted.within)
        version = index.state().version
        catalogue.sync.put_change(version, entry["at"], {"forgotten": 1})
        studies: dict[str, int] = {}
        unreadable: list[str] = []
        for path in sorted((self.root / RECORDS).glob("[0-9]*/study.json")):
            try:
                removed = archive.redact(path.parent, document, chunks, quotes=quoted.within)
            except (StudyError, LookupError, TypeError, AttributeError):  # of another version, or damaged
                unreadable.append(path.parent.name)
            else:
                if removed:
                    studies[path.parent.name] = removed
        # drafts of a killed study may hold the text as well
        for draft in (self.root / RECORDS).glob(".*.partial"):
            shutil.rmtree(draft, ignore_errors=True)
        labels = self._unlabelled()
        logs = stored_logs.erase(self.root, document, quoted.within, shared=self.search.catalogue.database.shared)
        questions = self._unmade(document)
        with AuditTexts(self.root / AUDIT) as texts:
            audit_texts = texts.erase(document, quoted.within)
        caches = self._empty_caches()
        # A trial erases from its own copy: what answers has the document still, until its own next sync.
        if self.search.directory != self.root / TRIAL:
            self.forgotten.finish(document)
        return {
            "at": entry["at"],
            "index": {**lost, "version": version},
            "catalogue": erased,
            "studies": studies,
            "unreadable": unreadable,
            "labels": labels,
            "logs": logs,
            "questions": questions,
            "audit_texts": audit_texts,
            "caches": caches,
        }

    def quoted(self, document: str, chunks: Sequence[str] = ()) -> Quoted:
        """What is looked for where a document may be quoted: what no other document says."""
        documents = self.search.catalogue.documents
        texts = [*chunks, *(entry.text for entry in documents.get([document]))]
        return Quoted.of(texts, self._others(document))

    def _others(self, document: str) -> Iterator[str]:
        """The texts of all other documents, some at a time: all together may not fit into memory."""
        documents = self.search.catalogue.documents
        names = [name for name in documents.digests() if name != document]
        for start in range(0, len(names), BATCH):
            yield from (entry.text for entry in documents.get(names[start : start + BATCH]))

    def _unlabelled(self) -> int:
        """Remove labels of answers that studies do not have any more: they quote them. Returns how many.

        By what studies still have, and not by what was just removed: after a kill between the two it is done again.
        """
        log = labels_of(self.root, self.search.catalogue.database.shared)
        stored: dict[str, set[str]] = {}
        for path in sorted((self.root / RECORDS).glob("[0-9]*/answers.jsonl.gz")) if log.exists else ():
            # What cannot be read is named as unreadable, and its labels stay.
            with suppress(StudyError, LookupError, TypeError):
                stored[path.parent.name] = {row["id"] for row in archive.read_answers(path.parent)}
        return log.drop(stored)

    def _unmade(self, document: str) -> dict[str, int]:
        """Take the training questions made on a document out of the files of `GAPS`; file → how many.

        The file stays, empty if need be: the settings name it.
        """
        removed = {}
        for path in sorted((self.root / GAPS).glob("*.jsonl")):
            rest: list[str] = []
            removed_ids: set[str] = set()
            try:
                # At \n only: `splitlines` cuts at characters, too, that JSON allows within a string.
                lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
                for line in lines:
                    record = json.loads(line)
                    documents = {*record.get("doc_ids", ()), *(span[0] for span in record.get("spans", ()))}
                    # A question without an answer is made from one with: it comes after that, and goes with it.
                    if document in documents or record.get("parent", "") in removed_ids:
                        removed_ids.add(record["id"])
                    else:
                        rest.append(f"{line}\n")
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                raise StoreError(
                    f"the made questions cannot be read, and may show the document: {error}",
                    file=path,
                    cure="Correct or delete the file, then run `twofold sync` to finish the removal.",
                ) from error
            if removed_ids:
                try:
                    writing.write(path, "".join(rest))
                except OSError as error:
                    raise refused(f"made questions cannot be removed: {error.strerror}", error, file=path) from error
                removed[path.name] = len(lines) - len(rest)
        return removed

    def _empty_caches(self) -> EmptiedCaches:
        """Remove cached answers of live tools, indexes made by `bench`, unfinished trainings of probes, trials.

        Any of them may contain the text.
        """
        root = self.search.directory
        tools = {path.name: len(list(path.glob("*.json"))) for path in sorted((root / "tools").glob("*"))}
        bench = len(list((root / "bench").glob("*")))
        try:
            # A backup that is being made ready has the document, too; it then ends with an error.
            staged = self.root.glob(f"{STAGING}*")
            for folder in (root / "tools", root / "bench", root / "probes", self.root / TRIAL, *staged):
                # A trial that erases by itself goes on in its folder.
                if folder.is_dir() and folder != root:
                    shutil.rmtree(folder)
            # What an upgrade copied has every text of before.
            for copy in (*root.glob(f"*.{BEFORE}"), *self.root.glob(f"*.{BEFORE}")):
                copy.unlink()
        except OSError as error:
            raise StoreError(f"a cache cannot be emptied: {error.strerror or error}", file=root) from error
        return {"tools": tools, "bench": bench}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
