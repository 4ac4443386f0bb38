"""Copies of SQLite files that are in use, and a moment at which nobody commits to the catalogue.

A sync commits passages to the index first, and their documents to the catalogue after. Whoever looks at both while the
catalogue takes no commits sees the state in which a sync that was killed at that moment would have left them, which the
next sync completes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from twofold.errors import ProjectLocked, StoreError, refused

STAGING = ".twofold-backup-"
"""Beginning of the folders of a project in which backups and bundles are made ready; none outlives its command."""
_PATIENCE = 30.0
"""Seconds to wait for whoever is writing; a batch of a sync commits within one."""


class StillCatalogue:
    """A catalogue at one moment, at which commits of all processes wait until `go_on`.

    Nothing is migrated: the catalogue of an older version is copied as it is.

    Args:
        path: The SQLite file.

    Raises:
        ProjectLocked: somebody writes for longer than anybody should.
        StoreError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pause = 0.0
        """Seconds for which commits had to wait."""
        with _guarded(path):
            self._holder = _connected(path)
            self._reader = _connected(path)
            try:
                # Takes the right to write, and writes nothing; readers are not held up.
                self._holder.execute("BEGIN IMMEDIATE")
                self._began = time.monotonic()
                # What is read later is of this moment, too: the snapshot is taken by the first reading.
                self._reader.execute("BEGIN")
                self.version = schema_version(self._reader)
                """Number of the catalogue's last migration."""
            except BaseException:  # nobody gets this object, so nobody could close the file
                self.close()
                raise

    def go_on(self) -> None:
        """Let commits go on; what `write` copies stays that of the moment."""
        if self._holder.in_transaction:
            self._holder.execute("ROLLBACK")
            self.pause = time.monotonic() - self._began

    def write(self, target: Path) -> None:
        """Copy the catalogue as it was at the moment to a new file.

        Raises:
            StoreError: the disk refuses.
        """
        with _guarded(target):
            _copied(self._reader, target)

    def close(self) -> None:
        """Close the file; commits go on."""
        self._holder.close()
        self._reader.close()

    def __enter__(self) -> StillCatalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def copy_database(path: Path, target: Path) -> None:
    """Copy a SQLite file that others may be writing to: all of it as of one moment.

    Raises:
        StoreError: it is damaged, or the disk refuses.
    """
    with _guarded(path), closing(_connected(path)) as source:
        _copied(source, target)


def schema_version(connection: sqlite3.Connection) -> int:
    """Number of the last migration that a catalogue has; 0 for a new file."""
    # Reads the file in any case, so that a transaction's snapshot is that of this call.
    has = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'").fetchone()
    if not has:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0])


def _connected(path: Path) -> sqlite3.Connection:
    # For writing: a reader of a write-ahead log needs its index file, which may have to be made.
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE)


def _copied(source: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy)


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise ProjectLocked(f"the database stayed locked for {_PATIENCE:.0f} s", file=path) from error
        raise refused(f"the database cannot be copied: {error}", error, file=path) from error
    except sqlite3.Error as error:
        raise StoreError(f"the database cannot be copied: {error}", file=path) from error
