"""The traffic log: a SQLite file of its own at a project's root, for its owner alone; a row for each served answer.

One server writes, anybody who may read the file reads meanwhile (write-ahead log). What is deleted leaves the file:
SQLite overwrites it (``secure_delete``), the pages go back to the file system, and the log beside the file, which has
the old pages too, is emptied. So it is no `store.database`, which copies a file before its form changes: such a copy
would still have the texts that are pruned and forgotten later.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from twofold.errors import ProjectLocked, StoreError, refused
from twofold.traffic.record import TrafficRow

FILE = "traffic.sqlite"
"""The log in a project."""
_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE traffic (number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, record TEXT NOT NULL) STRICT;
    CREATE INDEX traffic_by_time ON traffic (at);
    """,
)
"""The n-th (from 1) takes a file from version n - 1 to n (``user_version``). A step is never edited once released."""
_PATIENCE_MS = 10_000
"""Milliseconds to wait for another process that is writing."""
_AT_ONCE = 1000
"""Rows that are read at a time: no reader holds up the emptying of the write-ahead log for long."""
_SHARE = 0.9
"""Share of its largest size to which a log that exceeds it is cut: it is not cut again with every row."""


class TrafficSummary(TypedDict):
    """What a traffic log has."""

    rows: int
    first: str
    """Time of the oldest row; empty without rows."""
    last: str
    texts: int
    """Rows with a question."""
    redacted: dict[str, int]
    """Kind → places redacted in all rows."""
    bytes: int
    """Of the file and the log beside it."""


class TrafficLog:
    """The traffic log of a project.

    Args:
        path: The file; created if missing.
        readonly: Open an existing file for reading.

    Raises:
        StoreError: the file is damaged, cannot be made, is missing (when `readonly`), or of a newer Twofold.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        if readonly and not path.is_file():
            raise StoreError(
                "there is no traffic log",
                file=path,
                cure='Set log = "metadata" or "full" in [traffic] of twofold.toml, and start the server again.',
            )
        with self._guard():
            if not readonly:
                with suppress(OSError):  # SQLite's own message for the same fault is better
                    # Only if missing, see `store.database`; SQLite gives its other files the same mode.
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            # quoted: a path may hold a ? or a #, which a URI reads as its own
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode={'ro' if readonly else 'rw'}",
                uri=True,
                isolation_level=None,  # transactions begin and end in `_transaction`
                check_same_thread=False,  # threads take turns by `_lock`
                timeout=_PATIENCE_MS / 1000,
            )
        try:
            with self._guard():
                self._open(readonly=readonly)
        except BaseException:  # nobody gets this object, so nobody could close the file
            self._connection.close()
            raise

    def __enter__(self) -> TrafficLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the log is unusable afterwards."""
        with self._lock:
            self._connection.close()

    def append(self, rows: Sequence[TrafficRow]) -> None:
        """Store rows, all or none.

        Raises:
            StoreError: the disk refuses, or another process writes for too long.
        """
        values = [(row["at"], _text(row)) for row in rows]
        with self._transaction():
            self._connection.executemany("INSERT INTO traffic (at, record) VALUES (?, ?)", values)

    def rows(self, since: str = "", *, before: str = "") -> Iterator[TrafficRow]:
        """Rows in the order of their answers, also while a server writes.

        Args:
            since: Time in UTC, ISO 8601: no earlier rows.
            before: As `since`: no row of this time or later; empty: all.
        """
        number = 0
        while True:
            with self._session():
                batch = self._connection.execute(
                    "SELECT number, record FROM traffic WHERE number > ? AND at >= ? AND (? = '' OR at < ?) "
                    "ORDER BY number LIMIT ?",
                    (number, since, before, before, _AT_ONCE),
                ).fetchall()
            yield from (self._row(record) for _, record in batch)
            if len(batch) < _AT_ONCE:
                return
            number = batch[-1][0]

    def count(self, since: str, *, until: str) -> tuple[int, str]:
        """Number of rows of a span of time, and the time of the first; empty without rows.

        Args:
            since: Time in UTC, ISO 8601: no earlier rows.
            until: As `since`: no later rows.
        """
        with self._session():
            rows, first = self._connection.execute(
                "SELECT count(*), coalesce(min(at), '') FROM traffic WHERE at >= ? AND at <= ?", (since, until)
            ).fetchone()
        return rows, first

    def summary(self) -> TrafficSummary:
        """What the log has, without a text."""
        with self._session():
            rows, first, last = self._connection.execute(
                "SELECT count(*), coalesce(min(at), ''), coalesce(max(at), '') FROM traffic"
            ).fetchone()
            (texts,) = self._connection.execute(
                "SELECT count(*) FROM traffic WHERE json_extract(record, '$.question') <> ''"
            ).fetchone()
            redacted = self._connection.execute(
                "SELECT key, sum(value) FROM traffic, json_each(record, '$.redacted') GROUP BY key ORDER BY key"
            ).fetchall()
        return {
            "rows": rows,
            "first": first,
            "last": last,
            "texts": texts,
            "redacted": dict(redacted),
            "bytes": self._bytes(),
        }

    def prune(self, *, before: str = "", most_bytes: int = 0) -> int:
        """Delete old rows, so that nothing of them is left in the file. Returns how many.

        Args:
            before: Rows before this time go.
            most_bytes: The oldest rows go until the file is smaller than this; 0: any size.

        Raises:
            StoreError: the disk refuses, or somebody reads for so long that deleted texts are still beside the file;
                the rows are deleted then.
        """
        with self._session():
            deleted = self._delete("at < ?", (before,)) if before else 0
            if most_bytes and self._bytes() > most_bytes:
                # the log beside the file counts, and may be most of it
                self._clear()
            while most_bytes and self._bytes() > most_bytes:
                (rows,) = self._connection.execute("SELECT count(*) FROM traffic").fetchone()
                share = 1 - _SHARE * most_bytes / self._bytes()
                # at least one, so that it ends; an empty log has its tables still
                oldest = "SELECT number FROM traffic ORDER BY number LIMIT ?"
                number = self._delete(f"number IN ({oldest})", (max(1, int(rows * share)),))
                if not number:
                    break
                deleted += number
                self._clear()
            if deleted:
                self._clear()
        return deleted

    def forget(self, document: str, quotes: Callable[[str], bool]) -> int:
        """Take a document out: texts of rows that were shown it or quote it, and its id. Returns how many rows changed.

        The rows stay, with their numbers: what watches the server compares days.

        Args:
            document: Its id.
            quotes: Does a text quote it?

        Raises:
            StoreError: as `prune`.
        """
        changed: list[tuple[str, int]] = []
        number = 0
        with self._session():
            while True:
                batch = self._connection.execute(
                    "SELECT number, record FROM traffic WHERE number > ? ORDER BY number LIMIT ?", (number, _AT_ONCE)
                ).fetchall()
                for number, record in batch:
                    row = self._row(record)
                    if without(row, document, quotes):
                        changed.append((_text(row), number))
                if len(batch) < _AT_ONCE:
                    break
            with self._transaction():
                self._connection.executemany("UPDATE traffic SET record = ? WHERE number = ?", changed)
            # Also where nothing changed: a run that was killed may have changed rows and left the log beside the file.
            self._clear()
        return len(changed)

    # ------------------------------------------------------------ the file

    def _open(self, *, readonly: bool) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        if readonly:
            self._connection.execute("PRAGMA query_only = ON")
        else:
            # before the first table: a file that has tables changes it only when it is rewritten
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._connection.execute("PRAGMA journal_mode = WAL")
            # a killed process loses nothing of what was stored, a power cut the last transactions
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA secure_delete = ON")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StoreError(
                f"the traffic log has version {version}; this Twofold knows versions up to {len(_MIGRATIONS)}",
                file=self.path,
                cure="Upgrade Twofold: a later version wrote the log.",
            )
        if version < len(_MIGRATIONS):
            if readonly:
                raise StoreError(
                    f"the traffic log has version {version}; this Twofold needs version {len(_MIGRATIONS)}",
                    file=self.path,
                    cure="Start `twofold serve` once, or run `twofold traffic --prune`, to update it.",
                )
            self._migrate()

    def _migrate(self) -> None:
        with self._transaction():
            # read again: another process may have been first
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            for number, script in enumerate(_MIGRATIONS[version:], version + 1):
                for statement in filter(str.strip, script.split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")

    def _delete(self, condition: str, values: Sequence[object]) -> int:
        with self._transaction():
            return self._connection.execute(f"DELETE FROM traffic WHERE {condition}", values).rowcount

    def _clear(self) -> None:
        """Give pages of deleted rows back, and empty the write-ahead log, which still has what they held."""
        # a script: `execute` asks a statement without columns for its first step only, which frees a single page
        self._connection.executescript("PRAGMA incremental_vacuum")
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise ProjectLocked(
                "rows were deleted, and their texts may still be in the log beside the file: somebody reads it",
                file=self.path,
                cure="Run `twofold traffic --prune` again when nobody reads the traffic log.",
            )

    def _bytes(self) -> int:
        sizes = 0
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(OSError):
                sizes += path.stat().st_size
        return sizes

    def _row(self, record: str) -> TrafficRow:
        try:
            row: TrafficRow = json.loads(record)
        except ValueError as error:
            raise StoreError(f"the traffic log holds a damaged row: {error}", file=self.path) from error
        return row

    @contextmanager
    def _session(self) -> Iterator[None]:
        with self._lock, self._guard():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._session():
            # IMMEDIATE takes the write lock now, so that it waits for others here
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:  # an interruption must not leave it open
                # SQLite may have ended it by itself, on a full disk
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                # a full disk may refuse the commit, and leaves the transaction open
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                raise StoreError(
                    "this is not a traffic log: the file is damaged",
                    file=self.path,
                    cure="Move the file away, or restore it from a copy; the server begins a new one.",
                ) from error
            message = f"the traffic log failed: {error}"
            if isinstance(error, sqlite3.OperationalError) and "is locked" in str(error):
                cure = "Wait for `twofold forget` and `twofold traffic --prune` to finish."
                raise ProjectLocked(message, file=self.path, cure=cure) from error
            raise refused(message, error, file=self.path) from error


def _text(row: TrafficRow) -> str:
    # a lone half of a surrogate pair cannot be stored
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode()


def without(row: TrafficRow, document: str, quotes: Callable[[str], bool] = lambda _: False) -> bool:
    """Take a document out of a row: its id, and all texts where it was shown or is quoted. Did it stand there?"""
    named = document in row["documents"] or document in row["cited"]
    texts: Iterable[str] = (row["question"], row["answer"], *(turn["content"] for turn in row["turns"]))
    if not named and not any(map(quotes, texts)):
        return False
    row["documents"] = [name for name in row["documents"] if name != document]
    row["cited"] = [name for name in row["cited"] if name != document]
    row["question"], row["answer"], row["turns"] = "", "", []
    return True
