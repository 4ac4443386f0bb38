"""Versions of a project's index: list, compare, restore and prune them, and forget a document in all of them.

A restored version is used as it is: `ask`, `study` and `tune` do not sync any more. The next `twofold sync` brings it
up to date with the sources (from the catalogue where a source did not change), and the commands sync again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twofold.assembly.searching import Search
from twofold.errors import DataError, IndexMismatch, refused
from twofold.examples.checking import meant, nearest
from twofold.files import writing
from twofold.hashing import digest
from twofold.indexing.erasure import Eraser
from twofold.indexing.feeds import RESTORED
from twofold.indexing.report import (
    ArtifactUse,
    PrunedVersions,
    Receipt,
    RestoredVersion,
    StoredReceipt,
    VersionDiff,
    VersionRow,
)
from twofold.store.forgotten import RECEIPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The versions of one project's index; methods that change something need the project's lock."""

    search: Search
    """Index, catalogue and artifacts of the project."""
    eraser: Eraser
    """The eraser of forgotten documents."""

    def log(self, *, everything: bool = False) -> list[VersionRow]:
        """A row for each version that can be read, oldest first: its change, time, chunks and tags.

        Args:
            everything: List versions within a sync and from compacting too, not only those that a command left behind.
        """
        index = self.search.index
        changes = self.search.catalogue.sync.changes()
        newest = index.state().version
        rows: list[VersionRow] = []
        for entry in index.log():
            change = dict(changes.get(entry.version, {}))
            at = change.pop("at", "") or entry.at
            rows.append(
                {
                    "version": entry.version,
                    "at": at,
                    "chunks": entry.chunks,
                    "tags": list(entry.tags),
                    "newest": entry.version == newest,
                    "change": change,
                }
            )
        return [row for row in rows if everything or row["change"] or row["tags"] or row["newest"]]

    def diff(self, before: str = "", after: str = "") -> VersionDiff:
        """Documents added, changed and deleted from one version to another.

        Versions are numbers or tags. By default these are the newest version that a study measured, or without one the
        version before the newest, and the newest.

        Raises:
            IndexMismatch: a version is gone, no version has that name, or there is none to compare with.
        """
        index = self.search.index
        first = self.number(before) if before else self._measured()
        second = self.number(after) if after else index.state().version
        old, new = index.contents(first), index.contents(second)
        return {
            "before": first,
            "after": second,
            "added": sorted(new.keys() - old.keys()),
            "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
            "deleted": sorted(old.keys() - new.keys()),
        }

    def _measured(self) -> int:
        """The newest version that a study measured; without one, the version before the newest."""
        rows = self.log()
        tagged = [row["version"] for row in rows if row["tags"]]
        if tagged:
            return tagged[-1]
        older = [row["version"] for row in rows if not row["newest"]]
        if not older:
            raise IndexMismatch(
                "the index has no older version to compare the newest with",
                cure="Compare after a `twofold sync` that changes something; `twofold index log` lists the versions.",
            )
        return older[-1]

    def restore(self, version: str) -> RestoredVersion:
        """Make an older version (a number or a tag) the newest; see the module.

        Raises:
            IndexMismatch: the version is gone.
        """
        number = self.number(version)
        self.search.index.restore(number)
        self.search.catalogue.notes.put(RESTORED, str(number))
        state = self.search.index.state()
        self.search.catalogue.sync.put_change(state.version, _now(), {"restored": number})
        return {"restored": number, "version": state.version, "documents": state.documents, "chunks": state.chunks}

    def prune(self, *, keep_days: float | None = None) -> PrunedVersions:
        """Drop versions older than `keep_days` (by default the index's own policy); tagged ones stay."""
        index = self.search.index
        dropped = index.prune(keep_days=keep_days)
        remaining = tuple(entry.version for entry in index.log())
        return PrunedVersions(dropped=dropped, version=index.state().version, remaining=remaining)

    def number(self, name: str) -> int:
        """The version of that number or tag.

        Raises:
            IndexMismatch: the name is neither a number nor a tag.
        """
        tags: dict[str, int] = {}
        for entry in self.search.index.log():
            tags.update(dict.fromkeys(entry.tags, entry.version))
        if name in tags:
            return tags[name]
        # ``²`` is a digit as well, and no number
        if not (name.isascii() and name.isdigit()):
            raise IndexMismatch(
                f"unknown version {name!r} of the index",
                cure=f"Give a number from `twofold index log --all`, or a tag: {', '.join(sorted(tags)) or 'none'}.",
            )
        return int(name)

    def check_known(self, document: str) -> None:
        """Refuse a document that neither catalogue nor index knows, and that was never forgotten.

        Raises:
            DataError: the document is unknown; the cure names the ids that may be meant.
        """
        catalogue = self.search.catalogue
        known = catalogue.documents.known()
        if document in known or document in self.eraser.forgotten.entries() or document in self.search.index.contents():
            return
        hint = meant(document, nearest(document, known))
        raise DataError(f"unknown document {document!r}", cure=f"{hint}`twofold index documents` lists the ids.")

    def forget(self, document: str) -> Receipt:
        """Remove a document and everything derived from it, leave it out of later syncs, and write a receipt.

        Removed (see `Eraser.erase`) are the document's chunks in every index version (all older versions go, studies'
        too), its text in the catalogue, every answer that shows or cites it with its scores, those answers in studies'
        records, whose reports are written anew, all answers kept by live tools, and indexes that `bench` made. Named
        but not removed are adapters trained with the document, and the source that still holds it (a git source's own
        mirror is a part of that). The call is safe to repeat; after an interruption, the next sync or answer completes
        it.

        Raises:
            DataError: neither catalogue nor index knows the document.
        """
        self.check_known(document)
        catalogue, index = self.search.catalogue, self.search.index
        item = catalogue.documents.known().get(document)
        receipt: StoredReceipt = {
            "document": document,
            **self.eraser.erase(document),
            "artifacts": self._shaped_by(document),
            "source": None if item is None else {"source": item.source or "documents", "file": item.item},
            "left": [document] if document in index.contents() or catalogue.documents.get([document]) else [],
        }
        return {**receipt, "receipt": str(self._write(receipt))}

    def lift(self, document: str) -> bool:
        """Let syncs read a forgotten document in again; False when the document was not forgotten."""
        # first: an item that is lifted and not read again would stay out
        self.search.catalogue.sync.read_all_again()
        return self.eraser.forgotten.lift(document)

    def _shaped_by(self, document: str) -> list[ArtifactUse]:
        uses: list[ArtifactUse] = []
        for manifest in self.search.artifacts.list():
            # A calibration is five weights and a threshold: it contains no text of a document.
            if not manifest.get("finished") or manifest.get("kind") == "sufficiency":
                continue
            if "documents" not in manifest:
                uses.append({"key": manifest["key"], "used": "unknown"})
            elif document in manifest["documents"]:
                uses.append({"key": manifest["key"], "used": True})
        return uses

    def _write(self, receipt: StoredReceipt) -> Path:
        stamp = receipt["at"].replace(":", "").replace("+0000", "Z")
        name = f"forget-{stamp}-{digest('document', receipt['document'])[-8:]}.json"
        receipts = self.eraser.root / RECEIPTS
        path = receipts / name
        try:
            # readable by the owner alone: a receipt names a document that somebody wanted gone
            receipts.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(path, json.dumps(receipt, indent=1, ensure_ascii=False), mode=0o600)
        except OSError as error:
            message = f"the document is forgotten, but the receipt cannot be written: {error.strerror or error}"
            raise refused(message, error, file=path) from error
        return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
