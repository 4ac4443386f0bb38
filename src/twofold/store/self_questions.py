"""Questions whose passage is known, made of the documents: a part of the catalogue.

A document's questions go with it: a trigger of the table deletes them, so that forgetting it forgets them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twofold.store.database import Database, upsert

_COLUMNS = "id, document, kind, question, start, stop"


class SelfQuestions:
    """The stored questions.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, questions: Mapping[str, Iterable[Sequence[Any]]]) -> None:
        """Store documents' questions in place of those that they had.

        Args:
            questions: Document id → rows of id, document, kind, question, start, end.
        """
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM self_questions WHERE document = ?", [(name,) for name in questions])
            for rows in questions.values():
                connection.executemany(upsert("self_questions", _COLUMNS, key="id"), list(rows))

    def bound(self, limit: int) -> None:
        """Delete all but those with the lowest ids, which are digests: a sample that edits change little."""
        if self.count() > limit:
            self._database.write(
                "DELETE FROM self_questions WHERE id >= (SELECT id FROM self_questions ORDER BY id LIMIT 1 OFFSET ?)",
                [(limit,)],
            )

    def count(self) -> int:
        """Number of stored questions."""
        return int(self._database.read("SELECT count(*) FROM self_questions")[0][0])

    def rows(self, limit: int) -> list[tuple[str, str, str, str, int, int, str]]:
        """Id, document, kind, question, start, end and the document's source, of those with the lowest ids."""
        return [
            (name, document, kind, question, start, stop, source)
            for name, document, kind, question, start, stop, source in self._database.read(
                "SELECT q.id, q.document, kind, question, start, stop, d.source FROM self_questions q "
                "JOIN documents d ON d.id = q.document ORDER BY q.id LIMIT ?",
                (limit,),
            )
        ]
