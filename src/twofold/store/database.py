"""What the parts of a catalogue ask of a database, whichever it is: a SQLite file, or a schema in PostgreSQL.

Statements are written once, in the SQL that both read: marks are ``?``, an existing row is replaced by ``ON CONFLICT``,
a value of a record is taken by ``json_extract``, and rows without an order of their own have the column ``rowid``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twofold.errors import StoreError

if TYPE_CHECKING:
    from twofold.store.shared import SharedPlace

BATCH = 500
"""Values in one ``IN (…)``: SQLite before 3.32 takes at most 999 variables in a statement."""


class Cursor(Protocol):
    """The rows of one statement."""

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""

    def fetchone(self) -> Any:
        """The next row; None after the last."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """All rows that are left, one by one."""


class Connection(Protocol):
    """What runs statements."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each row."""


class Database(ABC):
    """A database that all parts of a catalogue, or of another record of the project, share.

    Threads may share one; a block of `session` or `transaction` is one thread's alone.
    """

    thing: str
    """Name of what it contains, for messages."""
    place: str
    """The file, or the address and schema, for messages."""
    readonly: bool
    shared: SharedPlace | None = None
    """The schema; None for a file."""

    @abstractmethod
    def close(self) -> None:
        """Close it; the database is unusable afterwards."""

    @abstractmethod
    def session(self) -> AbstractContextManager[Connection]:
        """A connection for this thread alone; outside a transaction each statement is stored by itself.

        Raises:
            StoreError: the database refused something in the block.
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Connection]:
        """A connection within one transaction: the block is stored whole, or not at all when it raises.

        Of the processes that share a database one at a time is in such a block: what it reads stays true until its end.

        Raises:
            StoreError: the database refused something in the block.
        """

    @abstractmethod
    def write(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run `sql` for each of `rows` in one transaction; returns the number of changed rows."""

    @abstractmethod
    def overwriting(self) -> AbstractContextManager[None]:
        """Overwrite the bytes of what the block deletes, as far as the database can."""

    @abstractmethod
    def batches(self, sql: str, size: int) -> Iterator[list[Any]]:
        """The rows of one query as of one moment, `size` at a time, so that not all of them are in memory."""

    @abstractmethod
    def copy_to(self, path: Path) -> None:
        """Write a copy to a new SQLite file.

        Raises:
            StoreError: the file exists already, or the disk refuses.
        """

    @abstractmethod
    def version(self) -> int:
        """Number of the last migration that the database has; 0 for a new one."""

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one query."""
        with self.session() as connection:
            return connection.execute(sql, values).fetchall()

    def json(self, text: str) -> Any:
        """The value of a JSON column.

        Raises:
            StoreError: the text is not JSON.
        """
        try:
            # Not strict: a part of a record that PostgreSQL took out may hold a zero character that is not escaped.
            return json.loads(text, strict=False)
        except ValueError as error:
            raise StoreError(f"the {self.thing} holds a damaged record: {error}", file=self.place) from error


def upsert(table: str, columns: str, *, key: str) -> str:
    """The statement that stores a row in place of the one with the same key.

    Args:
        table: Its name.
        columns: All columns that are stored, with commas between.
        key: Those of them that the key is made of, as `columns`.
    """
    names = [name.strip() for name in columns.split(",")]
    keys = {name.strip() for name in key.split(",")}
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {changes}"


def saved_before(path: Path) -> Path:
    """The copy of a SQLite file as it was before its form was last changed; it need not be there."""
    return path.with_name(f"{path.stem}.{BEFORE}")


BEFORE = "before-upgrade.sqlite"
"""End of the name of a copy beside a file: the file as it was before the last change of its form."""
