"""A lock that all machines of a project share: an advisory lock of PostgreSQL, beside the lock of the folder.

PostgreSQL frees it when the connection of its holder ends, however it ends, as the system does with a file's. A row
says who holds it and what they do.
"""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

from twofold.errors import ProjectLocked, StoreError
from twofold.store.lock import ProjectLock, WriterAtWork, at_work, command, read_work
from twofold.store.postgres import PostgresDatabase, connected, explained
from twofold.store.shared import SharedPlace

_TAKE = "SELECT pg_try_advisory_lock(hashtextextended('twofold lock ' || current_schema() || ' ' || %s, 0))"
_HOLDER = "SELECT process, host, command FROM writers WHERE name = %s"
_NOTE = (
    "INSERT INTO writers (name, process, host, command, work) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT (name) DO UPDATE SET process = excluded.process, host = excluded.host, command = excluded.command, "
    "work = excluded.work, at = now()"
)
# A lock's row stays when its holder is killed: only one whose lock is taken is of somebody at work.
_AT_WORK = """
SELECT command || ' on ' || host, work FROM writers
WHERE name = ? AND EXISTS (
    SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND (classid::bigint << 32 | objid::bigint)
        = hashtextextended('twofold lock ' || current_schema() || ' ' || name, 0))
"""


class SharedLock(ProjectLock):
    """The lock of a folder, and that of the schema; use as a context manager.

    Args:
        path: The folder's lock file; created if missing. Its name is the lock's name in the schema, too.
        place: The schema.
        doing: What its holder does, for the message to others.
        cure: What others can do about it; by default that of writers.
    """

    def __init__(self, path: Path, place: SharedPlace, *, doing: str = "writing to", cure: str | None = None) -> None:
        super().__init__(path, doing=doing, cure=cure)
        self._place = place
        self._connection: Any = None

    def _widen(self) -> None:
        """Take the schema's lock; never waits.

        Raises:
            ProjectLocked: another process, here or on another machine, holds it; the message names it.
            DatabaseUnreachable, DatabaseRefused: as `PostgresDatabase`.
        """
        import psycopg

        # Makes the tables where there are none yet.
        PostgresDatabase(self._place).close()
        try:
            self._connection = connected(self._place)
            name = self.path.name
            if not self._connection.execute(_TAKE, (name,)).fetchone()[0]:
                row = self._connection.execute(_HOLDER, (name,)).fetchone()
                holder = f"process {row[0]} on {row[1]} ({row[2]})" if row else "another process"
                raise ProjectLocked(f"{holder} is {self._doing} this project", file=self._place, cure=self._cure)
        except psycopg.Error as error:
            raise explained(error, self._place, thing="lock") from error
        self._note("")

    def _note(self, work: str) -> None:
        """Write who holds the lock and what they do, in the file and in the schema.

        Raises:
            ProjectLocked: the connection has ended, and with it the lock: another process may have it by now.
        """
        import psycopg

        super()._note(work)
        if self._connection is None:  # the file's lock is taken first
            return
        try:
            values = (self.path.name, os.getpid(), platform.node(), command(), work)
            self._connection.execute(_NOTE, values)
        except psycopg.Error as error:
            message = f"the lock of the project is lost: {' '.join(str(error).split())}"
            cure = "Run the command again: what was stored stays, and the rest is made anew."
            raise ProjectLocked(message, file=self._place, cure=cure) from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # PostgreSQL frees the lock with it.
            connection.close()
        super()._drop()


def writer_of(path: Path, place: SharedPlace | None) -> WriterAtWork | None:
    """The process that holds a lock, here or on another machine; None where none does, or the database does not answer.

    Args:
        path: The lock file of this folder.
        place: The schema; None where the lock is this folder's alone.
    """
    if (here := at_work(path)) is not None or place is None:
        return here
    with contextlib.suppress(StoreError), contextlib.closing(PostgresDatabase(place, readonly=True)) as database:
        rows = database.read(_AT_WORK, (path.name,))
        if rows:
            return read_work(*rows[0])
    return None
