"""The catalogue: what is known and made, in one SQLite file.

Plain SQL, write-ahead log: one process writes while many read. Every method commits before it returns, and what it is
given is one transaction, so a kill at any moment loses only the batch that was not yet handed over.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from twofold.errors import DiskFull, StoreError, refused
from twofold.hashing import canonical_json
from twofold.store.codec import answer_from_json, document_from_json, to_json
from twofold.store.migrations import MIGRATIONS
from twofold.types import Answer, Document, Json

_PATIENCE_MS = 30_000
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownItem:
    """What is known of one item of a source since it was last read."""

    source: str
    """Name of the source; empty for ``[documents].paths``."""
    item: str
    """Identity within the source."""
    state: str
    """The source's token for its content then."""
    recipe: str
    """Digest of what it was read with."""
    content: str
    """Digest of what was read."""
    chunks: int = 0
    """Chunks of its documents."""
    pages: int = 0
    """Pages, sheets and slides in it."""
    failure: str = ""
    """JSON of the failure; empty when it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDocument:
    """What is known of one document beside its text."""

    digest: str
    """Of the document and everything that chunks are made with."""
    source: str = ""
    """Name of its source."""
    item: str = ""
    """The item it came from."""
    content: str = ""
    """Digest of its text."""
    sealed: str = ""
    """What the index should say of its chunks (`types.sealed`); empty for a document without chunks."""


class Catalogue:
    """Documents, systems, answers, scores, measurements and studies of one project.

    Args:
        path: The SQLite file; made if missing. None: an empty catalogue in memory, which writes nothing to the disk.
        readonly: Open an existing file for reading only; a writing method then raises `StoreError`.

    Raises:
        StoreError: the file is damaged, missing (when `readonly`), or of a newer Twofold.
    """

    def __init__(self, path: Path | None, *, readonly: bool = False) -> None:
        self.path = path
        self.readonly = readonly
        self._lock = threading.RLock()
        if readonly and (path is None or not path.is_file()):
            raise StoreError("there is no catalogue", file=path, cure="Run `twofold sync` or `twofold study` first.")
        if path is not None and not readonly and not path.parent.is_dir():
            raise StoreError("the catalogue's directory does not exist", file=path.parent)
        with self._guard():
            if path is not None and not readonly:
                _make_private(path)
            self._db = self._connected()
        try:
            with self._guard():
                self._open()
        except DiskFull:
            self._db.close()
            with self._guard():
                self._db = self._connected()
                self._open(alone=True)
        except BaseException:
            self._db.close()
            raise

    def _connected(self) -> sqlite3.Connection:
        mode = "ro" if self.readonly else "rwc"
        return sqlite3.connect(
            ":memory:" if self.path is None else f"file:{quote(str(self.path.absolute()))}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_PATIENCE_MS / 1000,
        )

    def _open(self, *, alone: bool = False) -> None:
        """Make the connection ready; `alone` needs no file beside the catalogue, for a disk that is full.

        SQLite keeps its index of the log in a file that all processes share, and in memory where no other may come in:
        one then waits for the other.
        """
        self._db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        if alone:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA foreign_keys = ON")
        if self.readonly:
            self._db.execute("PRAGMA query_only = ON")
        else:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        found = self._version()
        if found > len(MIGRATIONS):
            raise StoreError(
                f"the catalogue has version {found}, this Twofold knows {len(MIGRATIONS)}",
                file=self.path,
                cure="Upgrade Twofold: a later version wrote it.",
            )
        if found < len(MIGRATIONS):
            if self.readonly:
                raise StoreError(
                    f"the catalogue has version {found}, this Twofold needs {len(MIGRATIONS)}",
                    file=self.path,
                    cure="Run any writing command, such as `twofold sync`, once: it brings the catalogue up to date.",
                )
            self._migrate()

    def _version(self) -> int:
        known = self._db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'").fetchone()
        if not known:
            return 0
        return int(self._db.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0])

    def _migrate(self) -> None:
        for number, script in enumerate(MIGRATIONS, 1):
            with self._transaction():
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS migrations "
                    "(version INTEGER PRIMARY KEY, applied TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
                )
                if self._version() >= number:
                    continue
                for statement in _statements(script):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO migrations (version) VALUES (?)", (number,))

    # ------------------------------------------------------------ opening and closing

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the catalogue is unusable afterwards."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                message = "this is not a catalogue: the file is damaged"
            else:
                message = f"the catalogue failed: {error}"
            raise refused(message, error, file=self.path) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _write(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run `sql` for each of `rows` in one transaction; returns the number of changed rows."""
        made = list(rows)
        if not made:
            return 0
        with self._lock, self._guard(), self._transaction():
            return self._db.executemany(sql, made).rowcount

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._guard():
            return self._db.execute(sql, values).fetchall()

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise StoreError(f"the catalogue holds a damaged record: {error}", file=self.path) from error

    # ------------------------------------------------------------ documents

    def document_digests(self) -> dict[str, str]:
        """Document id → digest given when it was put."""
        return dict(self._read("SELECT id, digest FROM documents ORDER BY id"))

    def get_documents(self, ids: Sequence[str] | None = None) -> list[Document]:
        """Documents in the order of `ids` (unknown ones left out), or all by id."""
        if ids is None:
            rows = self._read("SELECT id, record FROM documents ORDER BY id")
            return [document_from_json(self._json(record)) for _, record in rows]
        found: dict[str, str] = {}
        for start in range(0, len(ids), _BATCH):
            part = list(ids[start : start + _BATCH])
            marks = ",".join("?" * len(part))
            found.update(self._read(f"SELECT id, record FROM documents WHERE id IN ({marks})", part))
        return [document_from_json(self._json(found[name])) for name in ids if name in found]

    def described(self) -> Iterator[Document]:
        """All documents by id, without their texts: source, collection, readers and metadata."""
        fields = ("source", "collection", "readers", "metadata")
        columns = ", ".join(f"json_extract(record, '$.{name}')" for name in fields)
        for name, source, collection, readers, metadata in self._read(
            f"SELECT id, {columns} FROM documents ORDER BY id"
        ):
            yield Document(
                id=name,
                text="",
                source=source or "",
                collection=collection or "",
                readers=None if readers is None else tuple(self._json(readers)),
                metadata=self._json(metadata) if metadata else {},
            )

    def readers_of(self, ids: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...] | None]]:
        """Document id → its source, and its own readers (None: it names none); unknown ids are left out."""
        found: dict[str, tuple[str, tuple[str, ...] | None]] = {}
        for start in range(0, len(ids), _BATCH):
            part = list(ids[start : start + _BATCH])
            sql = "SELECT id, json_extract(record, '$.source'), json_extract(record, '$.readers') FROM documents "
            for name, source, readers in self._read(f"{sql}WHERE id IN ({','.join('?' * len(part))})", part):
                found[name] = (source or "", None if readers is None else tuple(self._json(readers)))
        return found

    # ------------------------------------------------------------ sources

    def known_documents(self) -> dict[str, KnownDocument]:
        """Document id → what is known of it beside its text."""
        rows = self._read(
            "SELECT id, digest, source, item, content, sealed FROM documents WHERE digest != '' ORDER BY id"
        )
        return {
            name: KnownDocument(digest=made, source=source, item=item, content=content, sealed=own)
            for name, made, source, item, content, own in rows
        }

    def known_items(self, source: str) -> dict[str, KnownItem]:
        """Item → what is known of it, of one source."""
        sql = "SELECT item, state, recipe, content, chunks, pages, failure FROM items WHERE source = ? ORDER BY item"
        return {
            item: KnownItem(
                source=source, item=item, state=state, recipe=recipe, content=content, chunks=chunks, pages=pages,
                failure=failure,
            )
            for item, state, recipe, content, chunks, pages, failure in self._read(sql, (source,))
        }  # fmt: skip

    def known_sources(self) -> list[str]:
        """Sources of which anything is known."""
        found = self._read("SELECT source FROM items UNION SELECT source FROM documents ORDER BY source")
        return [source for (source,) in found]

    def texts_like(self, contents: Sequence[str]) -> dict[str, str]:
        """Digest of a text → some document that has it and has chunks, for those that are found."""
        found: dict[str, str] = {}
        for start in range(0, len(contents), _BATCH):
            part = list(contents[start : start + _BATCH])
            marks = ",".join("?" * len(part))
            found.update(
                self._read(
                    f"SELECT content, min(id) FROM documents WHERE content IN ({marks}) AND sealed != '' "
                    "GROUP BY content",
                    part,
                )
            )
        return found

    def record_sync(
        self,
        documents: Iterable[tuple[Document, KnownDocument]],
        items: Iterable[KnownItem],
        *,
        gone: Iterable[str] = (),
        gone_items: Iterable[tuple[str, str]] = (),
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Store a batch of a sync in one transaction: what was read, what went, and notes."""
        put = [
            (d.id, known.digest, canonical_json(d), known.source, known.item, known.content, known.sealed)
            for d, known in documents
        ]
        read = [(i.source, i.item, i.state, i.recipe, i.content, i.chunks, i.pages, i.failure) for i in items]
        with self._lock, self._guard(), self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO documents (id, digest, record, source, item, content, sealed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                put,
            )
            self._db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", read)
            self._db.executemany("DELETE FROM documents WHERE id = ?", [(name,) for name in gone])
            self._db.executemany("DELETE FROM items WHERE source = ? AND item = ?", list(gone_items))
            self._db.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", list((notes or {}).items()))

    def forget_sync(self) -> None:
        """Forget all documents and items, so that the next sync reads everything again."""
        with self._lock, self._guard(), self._transaction():
            for table in ("documents", "items", "notes", "changes"):
                self._db.execute(f"DELETE FROM {table}")

    def renew_sync(self) -> None:
        """Have the next sync take every document for a new one, and embed it; texts and readers stay till then."""
        with self._lock, self._guard(), self._transaction():
            self._db.execute("UPDATE documents SET digest = '', content = '', sealed = ''")
            self._db.execute("DELETE FROM items")
            self._db.execute("DELETE FROM notes")
            self._db.execute("INSERT INTO notes VALUES ('vectors', 'none')")  # those of before are not taken over

    def drop_renewed(self) -> None:
        """Delete what `renew_sync` left and no sync has read again."""
        self._write("DELETE FROM documents WHERE digest = ''", [()])

    def note(self, name: str) -> str:
        """A note's value; empty when there is none."""
        rows = self._read("SELECT value FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def put_note(self, name: str, value: str) -> None:
        """Keep a note, replacing the one of that name."""
        self._write("INSERT OR REPLACE INTO notes VALUES (?, ?)", [(name, value)])

    def put_change(self, version: int, at: str, record: Json) -> None:
        """Record what led to an index version."""
        self._write("INSERT OR REPLACE INTO changes VALUES (?, ?, ?)", [(version, at, canonical_json(record))])

    def changes(self) -> dict[int, Json]:
        """Index version → what led to it, and ``at``."""
        rows = self._read("SELECT version, at, record FROM changes ORDER BY version")
        return {version: {"at": at, **self._json(record)} for version, at, record in rows}

    # ------------------------------------------------------------ forgetting

    def forgotten(self) -> dict[str, str]:
        """Documents that were forgotten before the list of them lay with the receipts, and since when."""
        return dict(self._read("SELECT document, at FROM forgotten ORDER BY document"))

    def clear_forgotten(self) -> None:
        """Empty that list, once it is moved to the receipts."""
        if self.forgotten():
            self._write("DELETE FROM forgotten", [()])

    def read_all_again(self) -> None:
        """Have the next sync read every item, changed or not."""
        self._write("UPDATE items SET state = '', content = ''", [()])

    def erase_document(self, document: str, *, chunks: Collection[str] = ()) -> dict[str, int]:
        """Delete a document, every answer that shows or cites it and their scores, and overwrite what they took up.

        Args:
            document: Its id.
            chunks: Ids of its chunks, by which traces may name it.
        """
        counts = {"documents": 0, "answers": 0, "scores": 0}
        with self._lock, self._guard():
            self._db.execute("PRAGMA secure_delete = ON")
            with self._transaction():
                counts["documents"] = self._db.execute("DELETE FROM documents WHERE id = ?", (document,)).rowcount
                rows = self._db.execute("SELECT system, example, record FROM answers").fetchall()
                shown = [(s, e) for s, e, record in rows if shows(self._json(record), document, chunks)]
                for key in shown:
                    own = "WHERE system = ? AND example = ?"
                    counts["answers"] += self._db.execute(f"DELETE FROM answers {own}", key).rowcount
                    counts["scores"] += self._db.execute(f"DELETE FROM scores {own}", key).rowcount
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return counts

    # ------------------------------------------------------------ systems

    def put_system(self, key: str, description: Json) -> None:
        """Record what is inside a system's key."""
        self._write(
            "INSERT INTO systems (key, description) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET description = excluded.description",
            [(key, canonical_json(description))],
        )

    def systems(self) -> dict[str, Json]:
        """System key → description."""
        return {key: self._json(text) for key, text in self._read("SELECT key, description FROM systems ORDER BY key")}

    def put_measure(self, system: str, name: str, value: Json) -> None:
        """Record a measured number of a system (latency, seconds, peak memory), replacing the one before."""
        self._write(
            "INSERT INTO measures (system, name, value) VALUES (?, ?, ?) "
            "ON CONFLICT (system, name) DO UPDATE SET value = excluded.value",
            [(system, name, canonical_json(value))],
        )

    def measure(self, system: str, name: str) -> Json | None:
        """A measured number of a system, or None."""
        rows = self._read("SELECT value FROM measures WHERE system = ? AND name = ?", (system, name))
        made: Json | None = self._json(rows[0][0]) if rows else None
        return made

    def measured(self, name: str) -> bool:
        """Was anything ever measured under this name, of whatever system?"""
        return bool(self._read("SELECT 1 FROM measures WHERE name = ? LIMIT 1", (name,)))

    # ------------------------------------------------------------ answers and scores

    def answers(self, system: str, *, include_failures: bool = False) -> dict[str, Answer]:
        """Example digest → answer of a system. Failed ones only on request, so that a rerun tries them again."""
        wanted = "" if include_failures else " AND failed = 0"
        rows = self._read(f"SELECT example, record FROM answers WHERE system = ?{wanted} ORDER BY rowid", (system,))
        return {example: answer_from_json(self._json(record)) for example, record in rows}

    def put_answers(self, system: str, items: Sequence[tuple[str, Answer]]) -> None:
        """Store ``(example digest, answer)`` pairs. An answer that is there stays; only a failed one is replaced."""
        self._write(
            "INSERT INTO answers (system, example, failed, record) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (system, example) DO UPDATE SET failed = excluded.failed, record = excluded.record "
            "WHERE answers.failed = 1",
            (
                (system, example, int(answer.failure is not None), canonical_json(to_json(answer)))
                for example, answer in items
            ),
        )

    def scores(self, system: str, metric_key: str) -> dict[str, float | None]:
        """Example digest → score; None where the metric does not apply."""
        return dict(
            self._read("SELECT example, value FROM scores WHERE system = ? AND metric = ?", (system, metric_key))
        )

    def put_scores(
        self, system: str, metric_key: str, items: Iterable[tuple[str, float | None]] | Mapping[str, float | None]
    ) -> None:
        """Store ``(example digest, score)`` pairs, replacing those of the same key."""
        pairs = items.items() if isinstance(items, Mapping) else items
        self._write(
            "INSERT INTO scores (system, example, metric, value) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (system, metric, example) DO UPDATE SET value = excluded.value",
            ((system, example, metric_key, value) for example, value in pairs),
        )

    # ------------------------------------------------------------ studies

    def put_study(self, name: str, record: Json, test_digest: str) -> None:
        """Record a finished study and the test split it looked at."""
        self._write(
            "INSERT INTO studies (name, test_digest, record) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "test_digest = excluded.test_digest, record = excluded.record",
            [(name, test_digest, canonical_json(record))],
        )

    def test_digests(self) -> dict[str, str]:
        """Name of every finished study → digest of its test set, as `put_study` was given it."""
        return dict(self._read("SELECT name, test_digest FROM studies"))

    def studies(self) -> list[Json]:
        """Records of the finished studies, oldest first."""
        return [self._json(text) for (text,) in self._read("SELECT record FROM studies ORDER BY number")]

    # ------------------------------------------------------------ tuned models

    def put_model(self, name: str, key: str, *, at: str, record: Json) -> None:
        """Make a tuned model known by its id; one that is known stays as it is."""
        self._write("INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?)", [(name, key, at, canonical_json(record))])

    def models(self) -> dict[str, Json]:
        """Id → record of every tuned model that was ever made here, oldest first."""
        return {name: self._json(text) for name, text in self._read("SELECT id, record FROM models ORDER BY at, id")}

    def put_comparison(self, model: str, source: str, *, at: str, record: Json) -> None:
        """Keep what a comparison found about a tuned model, replacing the one of that name."""
        self._write(
            "INSERT OR REPLACE INTO comparisons VALUES (?, ?, ?, ?)", [(model, source, at, canonical_json(record))]
        )

    def comparisons(self, model: str) -> dict[str, Json]:
        """Comparison → what it found about a tuned model, and ``at``; oldest first."""
        rows = self._read("SELECT source, at, record FROM comparisons WHERE model = ? ORDER BY at, source", (model,))
        return {source: {**self._json(text), "at": at} for source, at, text in rows}

    def aliases(self) -> dict[str, str]:
        """Alias → id of the tuned model it stands for."""
        return dict(self._read("SELECT alias, model FROM aliases ORDER BY alias"))

    def move_alias(self, alias: str, model: str, *, expected: str, move: Mapping[str, str]) -> None:
        """Let an alias stand for another tuned model, and write the audit line, in one transaction.

        Args:
            alias: The alias.
            model: Id of a known model.
            expected: What it stands for now; empty when there is no such alias yet.
            move: ``at``, ``action`` (``promote`` or ``rollback``), ``who`` and ``why``.

        Raises:
            StoreError: somebody moved it meanwhile, or there is no such model.
        """
        with self._lock, self._guard(), self._transaction():
            row = self._db.execute("SELECT model FROM aliases WHERE alias = ?", (alias,)).fetchone()
            before = row[0] if row else ""
            if before != expected:
                raise StoreError(
                    f"the alias {alias!r} was moved to {before or 'nothing'} meanwhile",
                    cure="Look at `twofold models list` and decide again.",
                )
            self._db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (alias, model))
            self._db.execute(
                "INSERT INTO alias_moves (at, alias, action, before, after, who, why) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (move["at"], alias, move["action"], before, model, move["who"], move["why"]),
            )

    def alias_moves(self) -> list[Json]:
        """The audit lines of all aliases, oldest first."""
        columns = ("at", "alias", "action", "before", "after", "who", "why")
        rows = self._read(f"SELECT {', '.join(columns)} FROM alias_moves ORDER BY number")
        return [dict(zip(columns, row, strict=True)) for row in rows]


def shows(value: Any, document: str, chunks: Collection[str] = ()) -> bool:
    """Does this JSON hold a span of the document (a hit, a citation, a quote), or name one of its chunks?"""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("document") == document:
                return True
            stack += item.values()
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str) and item in chunks:
            return True
    return False


def _make_private(path: Path) -> None:
    """Make the file, if there is none, readable by its owner only: it holds everybody's texts, whoever may read them.

    SQLite gives its other files the same mode.
    """
    with suppress(OSError):  # sqlite says it better
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, so that they run inside one transaction (`executescript` would commit first)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
