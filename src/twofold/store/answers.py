"""Systems, their answers, scores and measured numbers, and finished studies: parts of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from twofold.hashing import canonical_json
from twofold.store.codec import answer_from_json, from_json, to_json
from twofold.store.database import BATCH, Database
from twofold.types import Answer, Completion, Json, Usage

_NOTHING: Mapping[str, tuple[str, Completion]] = {}


class SystemRecords:
    """Descriptions of systems by key.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, key: str, description: Json) -> None:
        """Record the description that a system's key is the digest of."""
        self._database.write(
            "INSERT INTO systems (key, description) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET description = excluded.description",
            [(key, canonical_json(description))],
        )

    def descriptions(self) -> dict[str, Json]:
        """System key → description."""
        rows = self._database.read("SELECT key, description FROM systems ORDER BY key")
        return {key: self._database.json(text) for key, text in rows}

    def knows(self, key: str) -> bool:
        """Is the description of a system there?"""
        return bool(self._database.read("SELECT 1 FROM systems WHERE key = ?", (key,)))


class Measures:
    """Measured numbers of systems: latency, seconds, peak memory.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, system: str, name: str, value: Mapping[str, object]) -> None:
        """Record a measured number of a system, replacing the previous one."""
        self._database.write(
            "INSERT INTO measures (system, name, value) VALUES (?, ?, ?) "
            "ON CONFLICT (system, name) DO UPDATE SET value = excluded.value",
            [(system, name, canonical_json(value))],
        )

    def get(self, system: str, name: str) -> Json | None:
        """A measured number of a system; None if there is none."""
        rows = self._database.read("SELECT value FROM measures WHERE system = ? AND name = ?", (system, name))
        value: Json | None = self._database.json(rows[0][0]) if rows else None
        return value

    def exists(self, name: str) -> bool:
        """Was anything ever measured under this name, for any system?"""
        return bool(self._database.read("SELECT 1 FROM measures WHERE name = ? LIMIT 1", (name,)))


class Answers:
    """Answers of systems, by digest of the example.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, system: str, *, include_failures: bool = False) -> dict[str, Answer]:
        """Example digest → answer of a system; failed answers only on request, so that a rerun tries them again."""
        condition = "" if include_failures else " AND failed = 0"
        sql = f"SELECT example, record FROM answers WHERE system = ?{condition} ORDER BY rowid"
        rows = self._database.read(sql, (system,))
        return {example: answer_from_json(self._database.json(record)) for example, record in rows}

    def usage(self) -> Usage:
        """Tokens of all stored answers of all systems."""
        rows = self._database.read(
            "SELECT COALESCE(SUM(CAST(json_extract(record, '$.usage.prompt_tokens') AS INTEGER)), 0), "
            "COALESCE(SUM(CAST(json_extract(record, '$.usage.completion_tokens') AS INTEGER)), 0) FROM answers"
        )
        read, written = rows[0]
        return Usage(prompt_tokens=int(read), completion_tokens=int(written))

    def put(
        self, system: str, items: Sequence[tuple[str, Answer]], written: Mapping[str, tuple[str, Completion]] = _NOTHING
    ) -> None:
        """Store ``(example digest, answer)`` pairs; existing answers stay, only failed ones are replaced.

        Args:
            system: Key of the system that answered.
            items: The pairs.
            written: Example digest → name of its prompt, and the completion of it, where `completions` may find that.
        """
        rows = []
        for example, answer in items:
            prompt, completion = "", ""
            if example in written:
                prompt, completion = written[example][0], canonical_json(to_json(written[example][1]))
            failed = int(answer.failure is not None)
            rows.append((system, example, failed, canonical_json(to_json(answer)), prompt, completion))
        self._database.write(
            "INSERT INTO answers (system, example, failed, record, prompt, completion) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (system, example) DO UPDATE SET failed = excluded.failed, record = excluded.record, "
            "prompt = excluded.prompt, completion = excluded.completion WHERE answers.failed = 1",
            rows,
        )

    def completions(self, prompts: Sequence[str]) -> dict[str, Completion]:
        """Name of a prompt → the first completion of it, for those of these prompts that have one."""
        names = sorted(set(prompts))
        completions: dict[str, Completion] = {}
        for start in range(0, len(names), BATCH):
            part = names[start : start + BATCH]
            marks = ", ".join("?" * len(part))
            # `prompt <> ''` lets SQLite use the partial index.
            sql = f"SELECT prompt, completion FROM answers WHERE prompt <> '' AND prompt IN ({marks}) ORDER BY rowid"
            for name, record in self._database.read(sql, part):
                if name not in completions:
                    completions[name] = from_json(Completion, self._database.json(record))
        return completions

    def reusable(self, system: str) -> bool:
        """Has a system an answer that `completions` may find?"""
        sql = "SELECT 1 FROM answers WHERE system = ? AND prompt <> '' LIMIT 1"
        return bool(self._database.read(sql, (system,)))

    def reused(self, system: str) -> set[str]:
        """Digests of the examples whose answer of a system was read from a completion that was there before."""
        rows = self._database.read(
            "SELECT example FROM answers AS later WHERE system = ? AND prompt <> '' AND EXISTS "
            "(SELECT 1 FROM answers AS first WHERE first.prompt <> '' AND first.prompt = later.prompt "
            "AND first.rowid < later.rowid)",
            (system,),
        )
        return {example for (example,) in rows}


class Scores:
    """Scores of answers, by system, metric and digest of the example.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, system: str, metric_key: str) -> dict[str, float | None]:
        """Example digest → score; None where the metric does not apply."""
        sql = "SELECT example, value FROM scores WHERE system = ? AND metric = ?"
        return dict(self._database.read(sql, (system, metric_key)))

    def put(
        self, system: str, metric_key: str, items: Iterable[tuple[str, float | None]] | Mapping[str, float | None]
    ) -> None:
        """Store ``(example digest, score)`` pairs, replacing those of the same key."""
        pairs = items.items() if isinstance(items, Mapping) else items
        self._database.write(
            "INSERT INTO scores (system, example, metric, value) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (system, metric, example) DO UPDATE SET value = excluded.value",
            ((system, example, metric_key, value) for example, value in pairs),
        )


class Studies:
    """Finished studies and the test sets that they used.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, record: Json, test_digest: str) -> None:
        """Record a finished study and the digest of its test split."""
        self._database.write(
            "INSERT INTO studies (name, test_digest, record) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "test_digest = excluded.test_digest, record = excluded.record",
            [(name, test_digest, canonical_json(record))],
        )

    def records(self) -> list[Json]:
        """Records of the finished studies, oldest first."""
        rows = self._database.read("SELECT record FROM studies ORDER BY number")
        return [self._database.json(text) for (text,) in rows]

    def test_digests(self) -> dict[str, str]:
        """Name of every finished study → digest of its test set, as `put` was given it."""
        return dict(self._database.read("SELECT name, test_digest FROM studies"))
