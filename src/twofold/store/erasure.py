"""Erasing a document from the catalogue's file, so that its bytes are overwritten: a part of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twofold.store.database import Database, saved_before


class Erasure:
    """Deletes a document and every record that shows it.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def erase(
        self, document: str, *, chunks: Collection[str] = (), quotes: Callable[[str], bool] = lambda _: False
    ) -> dict[str, int]:
        """Delete a document, every answer that shows, cites or quotes it, their scores, and overwrite their bytes.

        Args:
            document: Id of the document.
            chunks: Ids of its chunks, which traces may name instead of the document.
            quotes: Does a text quote it? A tuned model's answer may, which was shown nothing.

        Returns:
            Numbers of deleted ``documents``, ``answers`` and ``scores``.
        """
        counts = {"documents": 0, "answers": 0, "scores": 0}
        with self._database.session() as connection:
            # deleted content is overwritten with zeros; VACUUM rewrites the file; the log, too, has the old pages
            connection.execute("PRAGMA secure_delete = ON")
            with self._database.transaction():
                # The file's count of chunks is shown to people. Once the document is gone, a repetition finds no row.
                connection.execute(
                    "UPDATE items SET chunks = MAX(0, chunks - ?) "
                    "WHERE (source, item) IN (SELECT source, item FROM documents WHERE id = ?)",
                    (len(chunks), document),
                )
                counts["documents"] = connection.execute("DELETE FROM documents WHERE id = ?", (document,)).rowcount
                rows = connection.execute("SELECT system, example, record FROM answers").fetchall()
                showing = []
                for system, example, record in rows:
                    if shows(self._database.json(record), document, chunks, quotes=quotes):
                        showing.append((system, example))
                for key in showing:
                    row = "WHERE system = ? AND example = ?"
                    counts["answers"] += connection.execute(f"DELETE FROM answers {row}", key).rowcount
                    counts["scores"] += connection.execute(f"DELETE FROM scores {row}", key).rowcount
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if self._database.path is not None:
            # It has the document, too, and nobody goes back to before what must be gone.
            saved_before(self._database.path).unlink(missing_ok=True)
        return counts

    def forgotten(self) -> dict[str, str]:
        """Document id → time, for documents forgotten before the list moved to the receipts."""
        return dict(self._database.read("SELECT document, at FROM forgotten ORDER BY document"))

    def clear_forgotten(self) -> None:
        """Empty the list of `forgotten`, once the receipts contain it."""
        if self.forgotten():
            self._database.write("DELETE FROM forgotten", [()])


def shows(
    value: Any, document: str, chunks: Collection[str] = (), *, quotes: Callable[[str], bool] = lambda _: False
) -> bool:
    """Does a JSON value contain a span of the document (a hit, a citation), the id of one of its chunks, or a quote?"""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("document") == document:
                return True
            stack += item.values()
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str) and (item in chunks or quotes(item)):
            return True
    return False
