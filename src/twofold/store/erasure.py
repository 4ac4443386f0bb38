"""Erasing a document from the catalogue, so that its bytes are overwritten: a part of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twofold.store.database import Database


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
        with self._database.overwriting(), self._database.transaction() as connection:
            # The file's count of chunks is shown to people. Once the document is gone, a repetition finds no row.
            connection.execute(
                "UPDATE items SET chunks = CASE WHEN chunks > ? THEN chunks - ? ELSE 0 END "
                "WHERE (source, item) IN (SELECT source, item FROM documents WHERE id = ?)",
                (len(chunks), len(chunks), document),
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
