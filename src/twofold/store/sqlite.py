"""A SQLite file under a lock: opening, migrating, reading, and writing in transactions.

Plain SQL with a write-ahead log: one process writes while many read.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twofold.errors import DiskFull, ProjectLocked, StoreError, refused
from twofold.files import locking, writing
from twofold.store.database import Database, saved_before
from twofold.store.migrations import CATALOGUE, Schema

log = logging.getLogger(__name__)

_PATIENCE_MS = 30_000
"""Milliseconds to wait for another process that is writing."""
# On a full disk the catalogue is opened with an exclusive lock (`Database._open`), which a second connection meets.
_BUSY = "Wait for other commands of this project to finish. Where none runs, the disk may be full: free some space."


class SqliteDatabase(Database):
    """A SQLite file of the project, or a database in memory.

    Args:
        path: The SQLite file; created if missing. None: a database in memory, which writes nothing to the disk.
        readonly: Open an existing file for reading only; writing then raises `StoreError`.
        schema: What the file contains.

    Raises:
        StoreError: the file is damaged, missing (when `readonly`), or written by a newer Twofold.
    """

    def __init__(self, path: Path | None, *, readonly: bool = False, schema: Schema = CATALOGUE) -> None:
        self.path = path
        self._schema = schema
        self.thing, self.place = schema.thing, str(path or "memory")
        self.readonly = readonly
        # re-entrant: within a transaction its own thread reads
        self._lock = threading.RLock()
        if readonly and (path is None or not path.is_file()):
            raise StoreError(f"the project has no {schema.thing} yet", file=path, cure=schema.missing)
        if path is not None and not readonly and not path.parent.is_dir():
            raise StoreError(f"the {schema.thing}'s directory does not exist", file=path.parent)
        with self._guard():
            if path is not None and not readonly:
                _make_private(path)
            self._connection = self._connected()
        try:
            with self._guard():
                self._open()
        except DiskFull:  # `gc` must open the catalogue to free space
            self._connection.close()
            with self._guard():
                self._connection = self._connected()
                self._open(alone=True)
        except BaseException:  # nobody gets this object, so nobody could close the file
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; the database is unusable afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def session(self) -> Iterator[sqlite3.Connection]:
        """The connection for this thread alone, outside any transaction.

        Raises:
            StoreError: SQLite refused something in the block.
        """
        with self._lock, self._guard():
            yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection within one transaction: the block is stored whole, or not at all when it raises.

        Raises:
            StoreError: SQLite refused something in the block.
        """
        with self.session() as connection, self._transaction():
            yield connection

    def write(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run `sql` for each of `rows` in one transaction; returns the number of changed rows."""
        # before the lock is taken: an iterable may take its time
        values = list(rows)
        if not values:
            return 0
        with self.transaction() as connection:
            return connection.executemany(sql, values).rowcount

    @contextmanager
    def overwriting(self) -> Iterator[None]:
        """Overwrite the bytes of what the block deletes: in the file, in its log, and in the copy of before."""
        with self.session() as connection:
            # deleted content is overwritten with zeros; VACUUM rewrites the file; the log, too, has the old pages
            connection.execute("PRAGMA secure_delete = ON")
            yield
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if self.path is not None:
            # It has the rows, too, and nobody goes back to before what must be gone.
            saved_before(self.path).unlink(missing_ok=True)

    def batches(self, sql: str, size: int) -> Iterator[list[Any]]:
        """The rows of one query as of one moment, `size` at a time."""
        with self.session() as connection:
            cursor = connection.execute(sql)
            while rows := cursor.fetchmany(size):
                yield rows

    def copy_to(self, path: Path) -> None:
        """Write a copy to a new file."""
        with self.session() as connection:
            connection.execute("VACUUM INTO ?", (str(path),))

    def version(self) -> int:
        """Number of the last migration that the file has; 0 for a new file."""
        table = self._connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
        ).fetchone()
        if not table:
            return 0
        return int(self._connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0])

    # ------------------------------------------------------------ opening

    def _connected(self) -> sqlite3.Connection:
        mode = "ro" if self.readonly else "rwc"
        # quoted: a path may hold a ? or a #, which a URI reads as its own
        return sqlite3.connect(
            ":memory:" if self.path is None else f"file:{quote(str(self.path.absolute()))}?mode={mode}",
            uri=True,
            isolation_level=None,  # transactions begin and end in `_transaction`
            check_same_thread=False,  # threads take turns by `_lock`
            timeout=_PATIENCE_MS / 1000,
        )

    def _open(self, *, alone: bool = False) -> None:
        """Prepare the connection; `alone` needs no file beside the catalogue, for a full disk.

        SQLite keeps the index of its log in a file that all processes share. With an exclusive lock the index stays in
        memory, and other processes wait.
        """
        self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        if alone:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA foreign_keys = ON")  # off unless asked for
        if self.readonly:
            self._connection.execute("PRAGMA query_only = ON")
        else:
            self._connection.execute("PRAGMA journal_mode = WAL")
            # with a write-ahead log a killed process loses nothing by it, a power cut the last commits
            self._connection.execute("PRAGMA synchronous = NORMAL")
        file_version = self.version()
        thing, newest = self._schema.thing, len(self._schema.steps)
        if file_version > newest:
            raise StoreError(
                f"the {thing} has version {file_version}; this Twofold knows versions up to {newest}",
                file=self.path,
                cure=f"Upgrade Twofold: a later version wrote the {thing}. To stay with this one, restore a backup "
                "from before the upgrade (`twofold restore`).",
            )
        if file_version < newest:
            if self.readonly:
                raise StoreError(
                    f"the {thing} has version {file_version}; this Twofold needs version {newest}",
                    file=self.path,
                    cure=self._schema.update,
                )
            if file_version and self.path is not None:
                # One process at a time, or the second would save what the first has changed.
                with locking.locked(self.path.with_name(f".{self.path.stem}.upgrade.lock")):
                    if self.version() < newest:
                        self._save(self.path, alone=alone)
                        self._migrate()
            else:
                self._migrate()

    def _save(self, path: Path, *, alone: bool) -> None:
        """Copy the catalogue beside itself before its form changes, in place of an earlier such copy.

        Args:
            path: The catalogue's file.
            alone: The disk is full: there is no copy, for the catalogue must open all the same, so that `gc` can run.
        """
        if alone:
            log.warning("the disk is full: %s is brought up to date, and no copy of it as it was is made", path)
            return
        try:
            with writing.replacing(saved_before(path), mode=0o600) as draft:
                # of a process that was killed while it copied
                draft.unlink(missing_ok=True)
                self._connection.execute("VACUUM INTO ?", (str(draft),))
        except OSError as error:
            message = f"the catalogue is not brought up to date, for it cannot be copied before: {error.strerror}"
            raise refused(message, error, file=path) from error

    def _migrate(self) -> None:
        for number, script in enumerate(self._schema.steps, 1):
            with self._transaction():
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS migrations "
                    "(version INTEGER PRIMARY KEY, applied TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
                )
                if self.version() >= number:  # checked inside the transaction: another process may have been first
                    continue
                for statement in _statements(script):
                    self._connection.execute(statement)
                self._connection.execute("INSERT INTO migrations (version) VALUES (?)", (number,))

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError) as error:  # the second: a lone surrogate in a text
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                message = f"this is not a {self._schema.thing}: the file is damaged"
            else:
                message = f"the {self._schema.thing} failed: {error}"
            if isinstance(error, sqlite3.OperationalError) and "is locked" in str(error):
                raise ProjectLocked(message, file=self.path, cure=_BUSY) from error
            refusal = refused(message, error, file=self.path)
            # A full disk has a cure of its own.
            if self._schema.broken and not isinstance(refusal, DiskFull):
                refusal.cure = self._schema.broken
            raise refusal from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE takes the write lock now: a deferred transaction may fail when it upgrades from reading to writing
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # an interruption must not leave it open
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _make_private(path: Path) -> None:
    """Create the file, if missing, readable by its owner only: it contains all texts, whoever may read them.

    SQLite gives its other files the same mode.
    """
    with suppress(OSError):  # SQLite's own message for the same fault is better
        # Only if missing: to close a file drops every lock that this process has on it (POSIX), those of an open
        # connection, too. The next process to close the database would take the log from under that connection, and
        # what it writes from then on nobody would see.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


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
