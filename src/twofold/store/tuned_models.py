"""Tuned models, the results of comparisons, and aliases with their audit lines: a part of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from twofold.errors import StoreError
from twofold.hashing import canonical_json
from twofold.store.database import Database
from twofold.types import Json


class TunedModels:
    """Ids, comparisons and aliases of tuned models.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, key: str, *, at: str, record: Json) -> None:
        """Record a tuned model by its id; an existing record stays as it is."""
        self._database.write(
            "INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?)", [(name, key, at, canonical_json(record))]
        )

    def records(self) -> dict[str, Json]:
        """Id → record of every tuned model that was ever made here, oldest first."""
        rows = self._database.read("SELECT id, record FROM models ORDER BY at, id")
        return {name: self._database.json(text) for name, text in rows}

    def put_comparison(self, model: str, source: str, *, at: str, record: Json) -> None:
        """Store the result of a comparison for a tuned model, replacing any result of that name."""
        self._database.write(
            "INSERT OR REPLACE INTO comparisons VALUES (?, ?, ?, ?)", [(model, source, at, canonical_json(record))]
        )

    def comparisons(self, model: str) -> dict[str, Json]:
        """Comparison → its result for a tuned model, and ``at``; oldest first."""
        sql = "SELECT source, at, record FROM comparisons WHERE model = ? ORDER BY at, source"
        rows = self._database.read(sql, (model,))
        return {source: {**self._database.json(text), "at": at} for source, at, text in rows}

    def aliases(self) -> dict[str, str]:
        """Alias → id of the tuned model it points to."""
        return dict(self._database.read("SELECT alias, model FROM aliases ORDER BY alias"))

    def move_alias(self, alias: str, model: str, *, expected: str, move: Mapping[str, str]) -> None:
        """Point an alias to another tuned model, and write the audit line, in one transaction.

        Args:
            alias: The alias.
            model: Id of a known model.
            expected: Id that the alias points to now; empty for a new alias.
            move: ``at``, ``action`` (``promote`` or ``rollback``), ``who`` and ``why``.

        Raises:
            StoreError: another process moved the alias, or the model does not exist.
        """
        with self._database.transaction() as connection:
            row = connection.execute("SELECT model FROM aliases WHERE alias = ?", (alias,)).fetchone()
            before = row[0] if row else ""
            if before != expected:
                raise StoreError(
                    f"another process moved the alias {alias!r} to {before or 'nothing'}",
                    cure="Look at `twofold models list` and decide again.",
                )
            connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (alias, model))
            connection.execute(
                "INSERT INTO alias_moves (at, alias, action, before, after, who, why) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (move["at"], alias, move["action"], before, model, move["who"], move["why"]),
            )

    def alias_moves(self) -> list[Json]:
        """The audit lines of all aliases, oldest first."""
        columns = ("at", "alias", "action", "before", "after", "who", "why")
        rows = self._database.read(f"SELECT {', '.join(columns)} FROM alias_moves ORDER BY number")
        return [dict(zip(columns, row, strict=True)) for row in rows]
