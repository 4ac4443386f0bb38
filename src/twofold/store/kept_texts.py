"""Texts and logs of lines that servers and commands change at the same time: in files, or in a shared schema."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from twofold.errors import refused
from twofold.files import locking, writing
from twofold.store.database import Database
from twofold.store.server_schema import SERVER
from twofold.store.shared import SharedPlace, open_database


class Text(Protocol):
    """A text that is replaced whole."""

    @property
    def place(self) -> object:
        """Where it lies, for messages."""

    def state(self) -> object:
        """Changes with every change of the text; None where there is none."""

    def read(self) -> str:
        """The text; empty where there is none."""

    def changing(self) -> AbstractContextManager[Callable[[str], None]]:
        """A block in which nobody else changes the text; what it is called with takes the text's place.

        Raises:
            StoreError: disk or database refuse.
        """


class Lines(Protocol):
    """A log of lines that grows."""

    @property
    def place(self) -> object:
        """Where it lies, for messages."""

    def state(self) -> object:
        """Changes with every change of the log; None where there is none."""

    def read(self) -> bytes:
        """All lines, each with its end."""

    def append(self, line: bytes) -> None:
        """Add a line; it is stored when this returns.

        Raises:
            StoreError: disk or database refuse; nothing of the line is in the log.
        """

    def remove(self, goes: Callable[[bytes], bool]) -> int:
        """Take lines out; returns how many.

        Raises:
            StoreError: disk or database refuse; the log is as it was.
        """


class FileText:
    """A `Text` in a file, which its owner alone may read.

    Args:
        path: The file; it and its folder are made with the first text.
    """

    def __init__(self, path: Path) -> None:
        self.place = self._path = path
        """See `Text.place`."""

    def state(self) -> object:
        """See `Text.state`."""
        return _state(self._path)

    def read(self) -> str:
        """See `Text.read`."""
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    @contextmanager
    def changing(self) -> Iterator[Callable[[str], None]]:
        """See `Text.changing`."""
        path = self._path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locking.locked(path.with_name(f".{path.name}.lock")):
                yield lambda text: writing.write(path, text, mode=0o600)
        except OSError as error:
            raise refused(f"the file cannot be written: {error.strerror or error}", error, file=path) from error


class FileLines:
    """`Lines` in a file, which its owner alone may read.

    Args:
        path: The file; it and its folder are made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.place = self._path = path
        """See `Lines.place`."""

    def state(self) -> object:
        """See `Lines.state`."""
        return _state(self._path)

    def read(self) -> bytes:
        """See `Lines.read`."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def append(self, line: bytes) -> None:
        """See `Lines.append`."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.append(self._path, line, mode=0o600)
        except OSError as error:
            raise refused(f"the line cannot be written: {error.strerror or error}", error, file=self._path) from error

    def remove(self, goes: Callable[[bytes], bool]) -> int:
        """See `Lines.remove`."""
        if not self._path.is_file():
            return 0
        try:
            # The lock of `writing.append`: what somebody says meanwhile is written before or after, and stays.
            with locking.locked(self._path.with_name(f".{self._path.name}.lock")):
                lines = self._path.read_bytes().splitlines()
                remaining = [line for line in lines if not goes(line)]
                if len(remaining) < len(lines):
                    writing.write(self._path, b"".join(line + b"\n" for line in remaining), mode=0o600)
        except OSError as error:
            raise refused(f"lines cannot be removed: {error.strerror or error}", error, file=self._path) from error
        return len(lines) - len(remaining)


class SharedText:
    """A `Text` in a shared schema.

    Args:
        place: The schema.
        name: Of the text: the path of its file where there is no schema.
        seed: A file whose text is taken over where the schema has none: of a project that lay in files before.
    """

    def __init__(self, place: SharedPlace, name: str, *, seed: Path | None = None) -> None:
        self.place = place
        """See `Text.place`."""
        self._name = name
        self._seed = seed

    def state(self) -> object:
        """See `Text.state`."""
        state = self._version()
        if state is None and self._seed is not None and self._seed.is_file():
            with self.changing() as write:
                if self._version() is None:
                    write(self._seed.read_text(encoding="utf-8"))
            state = self._version()
        return state

    def _version(self) -> object:
        rows = server_database(self.place).read("SELECT version FROM texts WHERE name = ?", (self._name,))
        return rows[0][0] if rows else None

    def read(self) -> str:
        """See `Text.read`."""
        if self.state() is None:
            return ""
        rows = server_database(self.place).read("SELECT body FROM texts WHERE name = ?", (self._name,))
        return str(rows[0][0]) if rows else ""

    @contextmanager
    def changing(self) -> Iterator[Callable[[str], None]]:
        """See `Text.changing`."""
        with server_database(self.place).transaction() as connection:

            def write(text: str) -> None:
                connection.execute(
                    "INSERT INTO texts (name, body, version) VALUES (?, ?, 1) ON CONFLICT (name) "
                    "DO UPDATE SET body = excluded.body, version = texts.version + 1",
                    (self._name, text),
                )

            yield write


class SharedLines:
    """`Lines` in a shared schema.

    Args:
        place: The schema.
        name: Of the log: the path of its file where there is no schema.
        seed: A file whose lines are taken over where the schema knows no such log.
    """

    def __init__(self, place: SharedPlace, name: str, *, seed: Path | None = None) -> None:
        self.place = place
        """See `Lines.place`."""
        self._name = name
        self._seed = seed

    def state(self) -> object:
        """See `Lines.state`."""
        if self._seed is not None and self._seed.is_file():
            self._take_over(self._seed)
        rows = server_database(self.place).read(
            "SELECT max(rowid), (SELECT removals FROM logs WHERE name = ?) FROM lines WHERE name = ?",
            (self._name, self._name),
        )
        return None if rows[0] == (None, None) else rows[0]

    def _take_over(self, seed: Path) -> None:
        """Put the lines of a file into a schema that knows no such log."""
        database = server_database(self.place)
        if database.read("SELECT 1 FROM logs WHERE name = ?", (self._name,)):
            return
        with database.transaction() as connection:
            sql = "INSERT INTO logs (name, removals) VALUES (?, 0) ON CONFLICT DO NOTHING"
            if connection.execute(sql, (self._name,)).rowcount:
                rows = [(self._name, line.decode("utf-8", "replace")) for line in seed.read_bytes().splitlines()]
                connection.executemany("INSERT INTO lines (name, line) VALUES (?, ?)", rows)

    def read(self) -> bytes:
        """See `Lines.read`."""
        sql = "SELECT line FROM lines WHERE name = ? ORDER BY rowid"
        return b"".join(f"{line}\n".encode() for (line,) in server_database(self.place).read(sql, (self._name,)))

    def append(self, line: bytes) -> None:
        """See `Lines.append`."""
        if self._seed is not None and self._seed.is_file():
            self._take_over(self._seed)
        sql = "INSERT INTO lines (name, line) VALUES (?, ?)"
        server_database(self.place).write(sql, [(self._name, line.decode("utf-8", "replace"))])

    def remove(self, goes: Callable[[bytes], bool]) -> int:
        """See `Lines.remove`."""
        database = server_database(self.place)
        with database.transaction() as connection:
            rows = connection.execute("SELECT rowid, line FROM lines WHERE name = ?", (self._name,)).fetchall()
            dropped = [(number,) for number, line in rows if goes(line.encode())]
            if dropped:
                connection.executemany("DELETE FROM lines WHERE rowid = ?", dropped)
                connection.execute(
                    "INSERT INTO logs (name, removals) VALUES (?, 1) "
                    "ON CONFLICT (name) DO UPDATE SET removals = logs.removals + 1",
                    (self._name,),
                )
        if dropped:
            with database.overwriting():
                pass
        return len(dropped)


def text_of(root: Path, name: str, place: SharedPlace | None) -> Text:
    """A text of a project.

    Args:
        root: Folder of the project.
        name: Path of its file in it.
        place: The schema that the project has instead of files; None for a file.
    """
    return FileText(root / name) if place is None else SharedText(place, name, seed=root / name)


def lines_of(root: Path, name: str, place: SharedPlace | None) -> Lines:
    """A log of lines of a project; as `text_of`."""
    return FileLines(root / name) if place is None else SharedLines(place, name, seed=root / name)


def mirrored(root: Path, name: str, place: SharedPlace | None) -> Path:
    """The file of a log, for what reads files: where the log is in a schema, a copy of it as it is now.

    Raises:
        StoreError: disk or database refuse.
    """
    path = root / name
    if place is not None:
        lines = lines_of(root, name, place)
        # Takes over what the file has, where the schema knows no such log.
        if lines.state() is not None:
            # From now on the file is a copy, which nobody takes over.
            sql = "INSERT INTO logs (name, removals) VALUES (?, 0) ON CONFLICT DO NOTHING"
            server_database(place).write(sql, [(name,)])
            with FileText(path).changing() as write:
                write(lines.read().decode())
    return path


def server_database(place: SharedPlace) -> Database:
    """What servers share in a schema; opened once by each process, for as long as it runs."""
    # By the process too: a child that was forked must not talk on its parent's connections.
    return _opened(place, os.getpid())


@lru_cache(maxsize=16)
def _opened(place: SharedPlace, _process: int) -> Database:
    return open_database(place, schema=SERVER)


def _state(path: Path) -> object:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    # With the inode: files are replaced, and two changes can have one time and size.
    return (seen.st_mtime_ns, seen.st_size, seen.st_ino)
