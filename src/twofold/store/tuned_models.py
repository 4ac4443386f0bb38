"""Tuned models, the results of comparisons, and aliases with their audit lines: a part of the catalogue."""

from __future__ import annotations

from twofold.errors import StoreError
from twofold.hashing import canonical_json
from twofold.store.database import Database, upsert
from twofold.store.model_record import AliasMove, ModelFacts
from twofold.types import Json


class ModelTable:
    """Ids, comparisons and aliases of tuned models.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, key: str, *, at: str, record: ModelFacts) -> None:
        """Record a tuned model by its id; an existing record stays as it is."""
        sql = "INSERT INTO models (id, key, at, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self._database.write(sql, [(name, key, at, canonical_json(record))])

    def records(self) -> dict[str, ModelFacts]:
        """Id → record of every tuned model that was ever made here, oldest first."""
        rows = self._database.read("SELECT id, record FROM models ORDER BY at, id")
        return {name: self._database.json(text) for name, text in rows}

    def put_comparison(self, model: str, source: str, *, at: str, record: Json) -> None:
        """Store the result of a comparison for a tuned model, replacing any result of that name."""
        sql = upsert("comparisons", "model, source, at, record", key="model, source")
        self._database.write(sql, [(model, source, at, canonical_json(record))])

    def comparisons(self, model: str) -> dict[str, Json]:
        """Comparison → its result for a tuned model, and ``at``; oldest first."""
        sql = "SELECT source, at, record FROM comparisons WHERE model = ? ORDER BY at, source"
        rows = self._database.read(sql, (model,))
        return {source: {**self._database.json(text), "at": at} for source, at, text in rows}

    def aliases(self) -> dict[str, str]:
        """Alias → id of the tuned model it points to."""
        return dict(self._database.read("SELECT alias, model FROM aliases ORDER BY alias"))

    def move_alias(self, move: AliasMove, *, expected: str) -> None:
        """Point an alias to another tuned model, and write the audit line, in one transaction.

        Args:
            move: The audit line; its ``after`` is the id of a known model.
            expected: Id that the alias points to now; empty for a new alias.

        Raises:
            StoreError: another process moved the alias, or the model does not exist.
        """
        alias, model = move["alias"], move["after"]
        with self._database.transaction() as connection:
            row = connection.execute("SELECT model FROM aliases WHERE alias = ?", (alias,)).fetchone()
            before = row[0] if row else ""
            if before != expected:
                raise StoreError(
                    f"another process moved the alias {alias!r} to {before or 'nothing'}",
                    cure="Look at `twofold models list` and decide again.",
                )
            connection.execute(upsert("aliases", "alias, model", key="alias"), (alias, model))
            connection.execute(
                "INSERT INTO alias_moves (at, alias, action, before, after, who, why) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (move["at"], alias, move["action"], before, model, move["who"], move["why"]),
            )

    def alias_moves(self) -> list[AliasMove]:
        """The audit lines of all aliases, oldest first."""
        rows = self._database.read("SELECT at, alias, action, before, after, who, why FROM alias_moves ORDER BY number")
        moves: list[AliasMove] = []
        for at, alias, action, before, after, who, why in rows:
            moves.append(
                {
                    "at": at,
                    "alias": alias,
                    "action": action,
                    "before": before,
                    "after": after,
                    "who": who,
                    "why": why,
                }
            )
        return moves
