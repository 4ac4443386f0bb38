"""A project's records in a schema of PostgreSQL, which several processes and machines share.

Reading and storing need no lock: PostgreSQL shows every statement one state. A block of `transaction` excludes the
other writers of the schema by an advisory lock, as a SQLite file does by its own, so that a change that depends on what
was read before is right without being repeated. `write` takes the same lock shared: single statements go on beside
each other, and wait for blocks only.
"""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from twofold.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    DiskFull,
    MissingExtra,
    ProjectLocked,
    StoreError,
    install,
)
from twofold.files import writing
from twofold.store.database import Connection, Cursor, Database
from twofold.store.migrations import CATALOGUE, Schema
from twofold.store.postgres_text import ESCAPE, escaped, translated, unescaped
from twofold.store.shared import SharedPlace
from twofold.store.sqlite import SqliteDatabase
from twofold.store.transfer import copy_rows

_PATIENCE = 30.0
"""Seconds to wait for another process that is writing, as with a file."""
_STATEMENT = 120.0
"""Seconds that one statement may take: one that takes longer waits for something that will not come."""
_CONNECT = 10
"""Seconds to wait for a connection."""
_MOST = 8
"""Connections of one process: PostgreSQL takes a hundred of all of them together, and a replica has several threads."""
_IDLE = 1.0
"""Seconds after which an idle connection is tried before it is used: the server may have been restarted meanwhile."""
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('twofold writer ' || current_schema() || ' ' || ?, 0))"
_BESIDE = "SELECT pg_advisory_xact_lock_shared(hashtextextended('twofold writer ' || current_schema() || ' ' || ?, 0))"
_OPENING = "SELECT pg_advisory_xact_lock(hashtextextended('twofold opens ' || ?, 0))"
_DOWN = "Check that PostgreSQL runs and takes connections, and `database` in [scale]. Nothing was lost: run it again."


class PostgresDatabase(Database):
    """A schema of a PostgreSQL database.

    Args:
        place: The schema; created if missing.
        readonly: Read only; writing then raises `StoreError`.
        schema: What it contains.

    Raises:
        DatabaseUnreachable: the server does not answer, or the database does not exist.
        DatabaseRefused: the server refuses the user, the password or what the user may not do.
        StoreError: the schema is missing (when `readonly`), or written by a newer Twofold.
    """

    def __init__(self, place: SharedPlace, *, readonly: bool = False, schema: Schema = CATALOGUE) -> None:
        if not schema.shared:
            raise StoreError(f"the {schema.thing} has no form in PostgreSQL", file=place)
        self.shared = self._place = place
        self.thing, self.place, self.readonly = schema.thing, str(place), readonly
        self._schema = schema
        self._pool = _Pool(place, readonly=readonly)
        self._mine = _Mine()
        try:
            self._open()
            if place.identity:
                self._require_project(place.identity)
        except BaseException:  # nobody gets this object, so nobody could close its connections
            self._pool.close()
            raise

    def close(self) -> None:
        """Close all connections; the database is unusable afterwards."""
        self._pool.close()

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection for this thread alone; a block within a block of the same thread has the same one."""
        current = self._mine.connection
        if current is not None:
            with self._guard():
                yield cast(Connection, _Statements(current))
            return
        with self._guard(), self._pool.connection() as connection:
            self._mine.connection = connection
            try:
                yield cast(Connection, _Statements(connection))
            finally:
                self._mine.connection = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection within one transaction; the other writers of the schema wait until its end."""
        with self._transaction(_ALONE) as connection:
            yield connection

    @contextmanager
    def _transaction(self, lock: str) -> Iterator[Connection]:
        with self.session() as connection, self._mine.connection.transaction():
            # Of this record alone: who audits does not wait for a sync.
            connection.execute(lock, (self.thing,))
            yield connection

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one query; asked a second time where a connection from before turns out to be dead."""
        try:
            return super().read(sql, values)
        except DatabaseUnreachable:
            if self._mine.connection is not None:  # within a block, whose earlier statements are lost
                raise
            return super().read(sql, values)

    def write(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run `sql` for each of `rows` in one transaction; returns the number of changed rows."""
        from psycopg import errors

        # before a connection is taken: an iterable may take its time
        values = list(rows)
        if not values:
            return 0
        try:
            with self._transaction(_BESIDE) as connection:
                return connection.executemany(sql, values).rowcount
        except StoreError as error:
            if not isinstance(error.__cause__, errors.DeadlockDetected | errors.SerializationFailure):
                raise
        # Two that store the same rows in different orders: PostgreSQL ends one of them, which goes on without others.
        with self._transaction(_ALONE) as connection:
            return connection.executemany(sql, values).rowcount

    @contextmanager
    def overwriting(self) -> Iterator[None]:
        """Write the tables anew without what the block deletes. PostgreSQL's log has it until the log is recycled."""
        yield
        with self.session() as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            ).fetchall()
            connection.execute("SET statement_timeout = 0")
            try:
                for (table,) in tables:
                    connection.execute(f"VACUUM (FULL) {table}")
            finally:
                connection.execute(f"SET statement_timeout = {int(_STATEMENT * 1000)}")

    def batches(self, sql: str, size: int) -> Iterator[list[Any]]:
        """The rows of one query as of one moment, `size` at a time."""
        with self.session() as connection, self._mine.connection.transaction():
            # A cursor of the server's: the client's would fetch all rows first.
            connection.execute(f"DECLARE rows NO SCROLL CURSOR FOR {sql}")
            while rows := connection.execute(f"FETCH {size} FROM rows").fetchall():
                yield rows
            connection.execute("CLOSE rows")

    def copy_to(self, path: Path) -> None:
        """Write a copy to a new SQLite file."""
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with closing(SqliteDatabase(path, schema=self._schema)) as copy:
                copy_rows(self, copy)
            return
        raise StoreError("the copy's file exists already", file=path, cure="Name a new file.")

    def version(self) -> int:
        """Number of the last step that the schema has of this record; 0 for a new one."""
        with self.session() as connection:
            if connection.execute("SELECT to_regclass('migrations')").fetchone()[0] is None:
                return 0
            rows = connection.execute("SELECT coalesce(max(version), 0) FROM migrations WHERE thing = ?", (self.thing,))
            return int(rows.fetchone()[0])

    # ------------------------------------------------------------ opening

    def _open(self) -> None:
        version, newest = self.version(), len(self._schema.shared)
        if version > newest:
            raise StoreError(
                f"the {self.thing} has version {version}; this Twofold knows versions up to {newest}",
                file=self.place,
                cure=f"Upgrade Twofold: a later version wrote the {self.thing}. All machines that share a database "
                "have one version of Twofold.",
            )
        if version == newest:
            return
        if self.readonly:
            if not version:
                raise StoreError(f"the project has no {self.thing} yet", file=self.place, cure=self._schema.missing)
            message = f"the {self.thing} has version {version}; this Twofold needs version {newest}"
            raise StoreError(message, file=self.place, cure=self._schema.update)
        with self.session() as connection, self._mine.connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            # Two processes that open a new schema at once: IF NOT EXISTS alone may fail in one of them.
            connection.execute(_OPENING, (self._place.name,))
            exists = connection.execute("SELECT to_regnamespace(?)", (self._place.name,)).fetchone()[0]
            if exists is None:  # asked first: a role that may not make schemas may use one that is there
                connection.execute(f"CREATE SCHEMA {self._place.name}")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (thing TEXT NOT NULL, version INTEGER NOT NULL, "
                "applied TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (thing, version))"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS project (id TEXT NOT NULL, reads TEXT, folder TEXT)")
            # again, within the lock: another process may have been first
            for number in range(self.version() + 1, newest + 1):
                self._mine.connection.execute(self._schema.shared[number - 1])
                connection.execute("INSERT INTO migrations (thing, version) VALUES (?, ?)", (self.thing, number))

    def _require_project(self, file: Path) -> None:
        """Refuse a schema that another project made.

        A folder and its schema share an id. A folder without it, as on another machine, is taken for the same project
        where it reads the same places.
        """
        mine = file.read_text(encoding="ascii").strip() if file.is_file() else ""
        with self.session() as connection:
            row = connection.execute("SELECT id, reads, folder FROM project").fetchone()
        if row is None and not self.readonly:
            with self.transaction() as connection:
                row = connection.execute("SELECT id, reads, folder FROM project").fetchone()
                if row is None:
                    row = (mine or secrets.token_hex(8), self._place.reads, str(file.absolute().parent.parent))
                    connection.execute("INSERT INTO project (id, reads, folder) VALUES (?, ?, ?)", row)
        if row is None or mine == row[0]:
            return
        if mine or row[1] != self._place.reads:
            raise DatabaseRefused(
                f"the schema {self._place.name} belongs to another project, which was in {row[2]}",
                file=self.place,
                cure="Name a schema of its own in `name` of [scale]. If it is the same project, copy the file "
                f".twofold/{file.name} from where it runs.",
            )
        with suppress(OSError):  # a folder that cannot be written is asked for its places each time
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(file, f"{row[0]}\n", mode=0o600)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise explained(error, self.place, thing=self.thing) from error


class _Mine(threading.local):
    """What each thread has for itself."""

    connection: Any = None


class _Statements:
    """Runs statements of `store.database` on a connection of psycopg."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        return cast(Cursor, self._connection.execute(translated(sql), tuple(values)))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        cursor = self._connection.cursor()
        values = list(rows)
        if values:
            # psycopg sends them without waiting for each answer
            cursor.executemany(translated(sql), values)
        return cast(Cursor, cursor)


class _Pool:
    """Connections to one schema, made as they are needed; as many threads as there may be of them use one at a time."""

    def __init__(self, place: SharedPlace, *, readonly: bool) -> None:
        self._place = place
        self._readonly = readonly
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST)
        self._free: list[tuple[Any, float]] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection that works, back in the pool after the block unless it broke."""
        with self._room:
            connection = self._taken()
            try:
                yield connection
            finally:
                idle = not connection.closed and connection.info.transaction_status.name == "IDLE"
                with self._lock:
                    if idle and not self._closed:
                        self._free.append((connection, time.monotonic()))
                        connection = None
                if connection is not None:
                    connection.close()
                    # The server was restarted perhaps: then the others are dead, too.
                    self._drop()

    def _drop(self) -> None:
        with self._lock:
            free, self._free = self._free, []
        for idle, _ in free:
            idle.close()

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _taken(self) -> Any:
        import psycopg

        while True:
            with self._lock:
                if self._closed:
                    raise psycopg.OperationalError("the connection is closed")
                if not self._free:
                    break
                connection, since = self._free.pop()
            if time.monotonic() - since < _IDLE:
                return connection
            with suppress(psycopg.Error):
                connection.execute("SELECT 1")
                return connection
            connection.close()
        return connected(self._place, readonly=self._readonly)


def steps_of(place: SharedPlace, schema: Schema) -> int:
    """Number of the last step that a schema has of a record; 0 where it has none of it."""
    import psycopg

    try:
        with connected(place, readonly=True) as connection:
            if connection.execute("SELECT to_regclass('migrations')").fetchone()[0] is None:
                return 0
            sql = "SELECT coalesce(max(version), 0) FROM migrations WHERE thing = %s"
            return int(connection.execute(sql, (schema.thing,)).fetchone()[0])
    except psycopg.Error as error:
        raise explained(error, place, thing=schema.thing) from error


def connected(place: SharedPlace, *, readonly: bool = False) -> Any:
    """A connection to a schema; what it sends and gets are texts without loss.

    Raises:
        MissingExtra: psycopg is not installed.
        DatabaseRefused: the variable with the password is not set.
    """
    try:
        import psycopg
    except ModuleNotFoundError as error:
        message = "a PostgreSQL database needs the package psycopg, which is not installed"
        raise MissingExtra(message, file=place, cure=install("scale")) from error

    settings = {
        "search_path": place.name,
        "statement_timeout": f"{int(_STATEMENT * 1000)}",
        "lock_timeout": f"{int(_PATIENCE * 1000)}",
        "default_transaction_read_only": "on" if readonly else "off",
        # A process that hangs within a transaction must not hold up all others for ever.
        "idle_in_transaction_session_timeout": f"{int(_STATEMENT * 5000)}",
    }
    password = place.password()
    secret: dict[str, Any] = {} if password is None else {"password": password}
    connection: Any = psycopg.connect(
        place.url,
        autocommit=True,
        connect_timeout=_CONNECT,
        application_name="twofold",
        # A machine that disappeared is noticed: its locks are freed, and who waits for an answer is told.
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
        **secret,
    )
    _without_loss(connection)
    return connection


def _without_loss(connection: Any) -> None:
    from psycopg import DataError
    from psycopg.types.numeric import FloatDumper
    from psycopg.types.string import StrDumperUnknown, TextLoader

    class _Sent(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            try:
                return super().dump(escaped(obj) if ESCAPE in obj else obj)
            except (ValueError, DataError):  # half of a surrogate pair; a zero
                return super().dump(escaped(obj))

    class _Value(FloatDumper):
        def dump(self, obj: float) -> Any:
            # as SQLite, which stores NULL
            return None if math.isnan(obj) else super().dump(obj)

    class _Got(TextLoader):
        def load(self, data: Any) -> Any:
            text = super().load(data)
            return unescaped(text) if isinstance(text, str) else text

    connection.adapters.register_dumper(str, _Sent)
    connection.adapters.register_dumper(float, _Value)
    connection.adapters.register_loader("text", _Got)


def explained(error: Exception, place: object, *, thing: str) -> StoreError:
    """What PostgreSQL said, as an error with a cure."""
    import psycopg
    from psycopg import errors

    reason = " ".join(str(error).split())
    refused = (errors.InvalidPassword, errors.InvalidAuthorizationSpecification)
    if isinstance(error, refused) or "authentication failed" in reason or "no password supplied" in reason:
        cure = "Put the password into the environment variable that database_password_env in [scale] names, or into "
        cure += "PGPASSWORD, and check the user in `database`."
        return DatabaseRefused(f"PostgreSQL refuses the user or password: {reason}", file=place, cure=cure)
    if isinstance(error, errors.InvalidCatalogName) or ("database" in reason and "does not exist" in reason):
        cure = "Make it with `createdb`, or mend `database` in [scale]."
        return DatabaseUnreachable(f"the database does not exist: {reason}", file=place, cure=cure)
    if isinstance(error, errors.InsufficientPrivilege):
        cure = "Let an administrator grant the user what it lacks: CREATE on the database for a new project, else "
        cure += "SELECT, INSERT, UPDATE and DELETE on the tables of the schema. A user that may only read can ask."
        return DatabaseRefused(f"PostgreSQL does not let this user do that: {reason}", file=place, cure=cure)
    if isinstance(error, errors.LockNotAvailable):
        cure = "Wait for other commands of this project to finish, on whichever machine."
        return ProjectLocked(f"the {thing} failed: {reason}", file=place, cure=cure)
    if isinstance(error, errors.DiskFull):
        return DiskFull(f"the {thing} failed: {reason}", file=place, cure="Free disk space on the database's server.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        cure = "Open it for writing, or name the server that takes writes in `database` of [scale]."
        return StoreError(f"the {thing} is readonly: {reason}", file=place, cure=cure)
    if isinstance(error, psycopg.OperationalError) and not isinstance(error, errors.DeadlockDetected):
        return DatabaseUnreachable(f"PostgreSQL does not answer: {reason}", file=place, cure=_DOWN)
    cure = "Read the server's log, and run the command again: what was stored before stays."
    return StoreError(f"the {thing} failed: {reason}", file=place, cure=cure)
