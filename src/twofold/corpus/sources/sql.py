"""Rows of a SQL query, through SQLAlchemy: any database it has a driver for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from twofold.corpus.sources.records import RecordOptions, items_of
from twofold.corpus.statements import reads_only
from twofold.errors import ConfigError, SourceEndless, SourceQuery, SourceUnreachable
from twofold.plugins.results import Item

_PIECE = 500
"""Rows fetched from the database at a time."""


class SqlSource:
    """One item a row; rows are streamed, so that a large table takes little memory.

    The query runs in a read-only transaction that is rolled back; anything but a single SELECT is refused before it
    runs.

    Args:
        options: See `Options`.
        root: The folder that the path of a SQLite file starts from.
        scratch: Not used.
        limit: Not used: a row is held in memory by the driver already.
    """

    version: ClassVar[int] = 3

    class Options(RecordOptions):
        """Options of the source ``sql``."""

        query: str
        """One SELECT statement; its columns are the fields."""
        url: str = ""
        """SQLAlchemy address without a password, such as ``sqlite:///data/shop.db`` (relative to the project)."""
        url_env: str = ""
        """Environment variable with the address, for an address with a password."""
        timeout: float = Field(default=600.0, gt=0)
        """Longest time for the whole query, in seconds."""
        max_rows: int = Field(default=1_000_000, ge=1)
        """More rows count as an outage, which deletes nothing."""

        @model_validator(mode="after")
        def _one_address(self) -> SqlSource.Options:
            if bool(self.url) == bool(self.url_env):
                raise ValueError("give either url or url_env")
            return self

    def __init__(self, options: Options, *, root: Path, scratch: Path, limit: int) -> None:  # noqa: ARG002
        import sqlalchemy

        self._options = options
        self._root = root
        self._alchemy = sqlalchemy
        self.total = 0

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:  # noqa: ARG002
        """All rows, in the query's order.

        Raises:
            SourceQuery: the statement fails, or does not only read.
            SourceUnreachable: no connection.
            SourceEndless: the query returns too many rows, or takes too long.
        """
        reads_only(self._options.query)
        url = self._address()
        shown = url.render_as_string(hide_password=True)
        deadline = time.monotonic() + self._options.timeout
        try:
            engine = self._alchemy.create_engine(url, poolclass=self._alchemy.pool.NullPool)  # no connection stays open
        except (self._alchemy.exc.ArgumentError, self._alchemy.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"{shown} cannot be used: {error}", cure="Correct the address, or install the database's driver."
            ) from error
        try:
            with engine.connect() as connection:
                self._harden(connection, url, deadline)
                yield from self._rows(connection, shown, deadline)
        except self._alchemy.exc.DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
            # SQLite's word, and PostgreSQL's
            if "interrupted" in reason or "statement timeout" in reason:
                raise self._slow() from error
            if error.statement is None or error.connection_invalidated or "unable to open" in reason:
                raise SourceUnreachable(f"{shown} cannot be reached: {reason}") from error
            raise SourceQuery(f"the query on {shown} failed: {reason}") from error
        except self._alchemy.exc.SQLAlchemyError as error:
            raise SourceQuery(f"the query on {shown} failed: {error}") from error
        finally:
            engine.dispose()

    def watched(self) -> list[Path]:
        """The file of a SQLite database; none for a server."""
        url = self._address()
        return [Path(url.database)] if url.get_backend_name() == "sqlite" and url.database else []

    def _rows(self, connection: Any, shown: str, deadline: float) -> Iterator[Item]:
        streamed = connection.execution_options(stream_results=True, yield_per=_PIECE)
        result = streamed.execute(self._alchemy.text(self._options.query))
        columns = list(result.keys())
        if self._options.id not in columns:
            raise SourceQuery(
                f"the query returns no column {self._options.id!r}; its columns: {', '.join(columns)}",
                cure="Set `id` in the source's section to the column that identifies a row.",
            )
        yield from items_of(self._read(result.mappings(), deadline), self._options, where=shown, called="row")

    def _read(self, rows: Iterable[Mapping[str, Any]], deadline: float) -> Iterator[Mapping[str, Any]]:
        for number, row in enumerate(rows, 1):
            if number > self._options.max_rows:
                raise SourceEndless(
                    f"the query returns more than {self._options.max_rows} rows", cure="Raise `max_rows`."
                )
            if time.monotonic() > deadline:
                raise self._slow()
            yield dict(row)

    def _slow(self) -> SourceEndless:
        return SourceEndless(f"the query took more than {self._options.timeout:g} s", cure="Raise `timeout`.")

    def _harden(self, connection: Any, url: Any, deadline: float) -> None:
        """Make the connection refuse to write, and stop at the deadline."""
        backend = url.get_backend_name()
        if backend == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            raw = connection.connection.dbapi_connection
            # SQLite has no timeout for statements: the handler runs every 10,000 instructions and ends the query
            raw.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
        elif backend == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(self._options.timeout * 1000)}")
        elif backend in ("mysql", "mariadb"):
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    def _address(self) -> Any:
        address = self._options.url or os.environ.get(self._options.url_env, "").strip()
        if not address:
            raise ConfigError(
                f"the environment variable {self._options.url_env} is not set", cure="Set the variable to the address."
            )
        try:
            url = self._alchemy.make_url(address)
        except self._alchemy.exc.ArgumentError as error:
            raise ConfigError("`url` is not an address such as sqlite:///data/shop.db") from error
        if url.get_backend_name() == "sqlite":
            if not url.database or url.database == ":memory:":
                raise ConfigError(
                    "a SQLite address must name a file", cure="Write an address such as sqlite:///data/shop.db"
                )
            place = self._root / url.database
            if not place.is_file():
                raise SourceUnreachable(f"there is no database {url.database}")
            url = url.set(database=str(place))
        return url
