"""The list of forgotten documents with the progress of each: ``receipts/forgotten.json``.

The list lies with the receipts and not in the derived data, which may be deleted at any time: forgotten documents stay
out of a rebuilt index. An entry is written before anything is erased and marked as finished afterwards, so that the
next process finishes an interrupted erasure.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TypedDict

from twofold.errors import StoreError, refused
from twofold.files import writing
from twofold.files.reading import ROWS
from twofold.types import Document

RECEIPTS, FILE = "receipts", "forgotten.json"


def present(documents: Iterable[Document], root: Path) -> list[Document]:
    """The documents of a project that were not forgotten, even if its folders still contain them.

    Raises:
        StoreError: the list is damaged.
    """
    entries = Forgotten(root / RECEIPTS).entries()
    return [document for document in documents if not is_gone(document, entries)]


def is_gone(document: Document, forgotten: Container[str]) -> bool:
    """Was the document forgotten, under its present or its former name?

    A row of a table was once named by its ``id`` alone (as a document of that id still is), a row without an id by its
    line (``fees.csv#3``); today's names contain the file, or the row. A forgotten document must not return because its
    name has changed (decision 12).
    """
    if document.id in forgotten:
        return True
    file, _, called = document.id.rpartition("#")
    place = document.places[0] if document.places else None
    if place is not None and place.label.startswith(ROWS) and called == place.label.replace(" ", ""):
        return f"{file}#{place.first}" in forgotten
    key = document.metadata.get("id", "")
    before = f"{document.collection}:{key}" if document.collection else key
    return bool(key) and document.id.endswith(f"#{key}") and before in forgotten


class Entry(TypedDict):
    """The entry of one document."""

    at: str
    """Time of the request, in ISO 8601."""
    finished: bool
    """Is everything erased?"""
    chunks: list[str]
    """Ids of its chunks during the erasure: answers may name only these, and the index loses them first."""
    quotes: list[str]
    """What `text.quoting` looks for during the erasure, by digests: answers and logs may quote the document."""


class Forgotten:
    """Reads and writes the list; writing needs the project's lock.

    Args:
        receipts: The directory of the receipts.
    """

    def __init__(self, receipts: Path) -> None:
        self._path = receipts / FILE

    def entries(self) -> dict[str, Entry]:
        """Document id → entry.

        Raises:
            StoreError: the list is damaged. Without the list forgotten documents would return.
        """
        try:
            stored: dict[str, Entry] = json.loads(self._path.read_text(encoding="utf-8"))
            entries: dict[str, Entry] = {}
            for name, entry in stored.items():
                # Field by field: an entry that lacks one is damage, and is told as such.
                # An entry of an earlier version has no quotes.
                quotes = entry.get("quotes", [])
                entries[name] = {
                    "at": entry["at"],
                    "finished": entry["finished"],
                    "chunks": entry["chunks"],
                    "quotes": quotes,
                }
            return entries
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"the list of forgotten documents cannot be read: {error}",
                file=self._path,
                cure="Restore the file from a copy, or delete it and forget the documents named by the receipts again.",
            ) from error

    def begin(self, document: str, at: str, chunks: Iterable[str], *, quotes: Iterable[str] = ()) -> None:
        """Add a document to the list with an unfinished erasure; chunk ids and quotes of several attempts add up."""
        entries = self.entries()
        before = entries.get(document)
        known = before["chunks"] if before else []
        known_quotes = before["quotes"] if before else []
        entries[document] = {
            "at": before["at"] if before else at,
            "finished": False,
            "chunks": sorted({*known, *chunks}),
            "quotes": sorted({*known_quotes, *quotes}),
        }
        self._write(entries)

    def finish(self, document: str) -> None:
        """Mark the erasure of a document as finished."""
        entries = self.entries()
        entries[document] = {**entries[document], "finished": True, "chunks": [], "quotes": []}
        self._write(entries)

    def lift(self, document: str) -> bool:
        """Remove a document from the list; return False when it was not on the list."""
        entries = self.entries()
        lifted = entries.pop(document, None) is not None
        if lifted:
            self._write(entries)
        return lifted

    def _write(self, entries: dict[str, Entry]) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(self._path, json.dumps(entries, indent=1, ensure_ascii=False), mode=0o600)
        except OSError as error:
            message = f"the list of forgotten documents cannot be written: {error.strerror or error}"
            raise refused(message, error, file=self._path) from error
