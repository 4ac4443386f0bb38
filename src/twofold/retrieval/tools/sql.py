"""A live tool that runs a configured SQL statement, through SQLAlchemy.

The statement stands in `twofold.toml`; question and model fill its named parameters, never its text. Anything but a
single SELECT is refused when the configuration is read, and the connection refuses to write as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from twofold.corpus.statements import reads_only
from twofold.errors import ConfigError, SourceEndless, SourceQuery, SourceUnreachable
from twofold.retrieval.tools.live import LiveOptions, LiveTool, declared, environment

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


class SqlTool(LiveTool):
    """One allow-listed statement with named parameters; see `LiveTool`."""

    version: ClassVar[int] = 1

    class Options(LiveOptions):
        """Options of the tool ``sql``."""

        statement: str
        """One SELECT with parameters such as ``:city``."""
        url: str = ""
        """SQLAlchemy address without a password, such as ``sqlite:///data/shop.db`` (relative to the project)."""
        url_env: str = ""
        """Environment variable with the address, for an address with a password."""

        @model_validator(mode="after")
        def _reads(self) -> SqlTool.Options:
            if bool(self.url) == bool(self.url_env):
                raise ValueError("give either url or url_env")
            try:
                reads_only(self.statement)
            except SourceQuery as error:
                raise ValueError(error.message.replace("`query`", "`statement`")) from error
            # a colon in a quoted text or a comment is no parameter
            declared(_BOUND.findall(_QUOTED.sub(" ", self.statement)), self.parameters)
            return self

    def fetch(self, arguments: Mapping[str, Any], seconds: float) -> list[Mapping[str, Any]]:
        """Run the statement; return its rows, at most one more than may be shown.

        Raises:
            SourceUnreachable: no connection.
            SourceQuery: the database refuses the statement.
            SourceEndless: the statement takes too long, or returns too many bytes.
        """
        import sqlalchemy

        # read-only three times: the statement was checked, the address is opened so, the connection refuses to write
        url, settings = self._address(sqlalchemy, seconds)
        # error messages must not contain the password
        shown = url.render_as_string(hide_password=True)
        deadline = time.monotonic() + seconds
        try:
            engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, connect_args=settings)
        except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"{shown} cannot be used: {error}", cure="Correct the address, or install the database's driver."
            ) from error
        try:
            with engine.connect() as connection:
                _harden(connection, url.get_backend_name(), seconds, deadline)
                streamed = connection.execution_options(stream_results=True)
                results = streamed.execute(sqlalchemy.text(self.options.statement), dict(arguments))
                rows = []
                size = 0
                for row in results.mappings():
                    rows.append(dict(row))
                    size += sum(len(str(value)) for value in row.values())
                    if size > self.options.max_bytes:
                        raise SourceEndless(f"the rows have more than {self.options.max_bytes} bytes")
                    # one more than may be shown, so that the passage can say that there are more
                    if len(rows) > self.options.max_rows:
                        break
                return rows  # type: ignore[return-value]
        except sqlalchemy.exc.DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
            if "interrupted" in reason or "statement timeout" in reason:
                raise SourceEndless(f"the statement took more than {seconds:.3g} s") from error
            if error.statement is None or error.connection_invalidated or "unable to open" in reason:
                raise SourceUnreachable(f"{shown} cannot be reached: {reason}") from error
            raise SourceQuery(f"{shown} refuses the statement: {reason}") from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise SourceQuery(f"the statement failed: {error}") from error
        finally:
            engine.dispose()

    def _address(self, sqlalchemy: Any, seconds: float) -> tuple[Any, dict[str, Any]]:
        try:
            url = sqlalchemy.make_url(self.options.url or environment(self.options.url_env))
        except sqlalchemy.exc.ArgumentError as error:
            raise ConfigError("`url` is not an address such as sqlite:///data/shop.db") from error
        if url.get_backend_name() == "postgresql":
            return url, {"connect_timeout": max(1, int(seconds))}
        if url.get_backend_name() != "sqlite":
            return url, {}
        if not url.database or url.database == ":memory:":
            raise ConfigError(
                "a SQLite address must name a file", cure="Write an address such as sqlite:///data/shop.db"
            )
        place = (self._root / url.database).resolve()
        if not place.is_file():
            raise SourceUnreachable(f"there is no database {url.database}")
        return url.set(database=place.as_uri(), query={"mode": "ro", "uri": "true"}), {"timeout": seconds}


def _harden(connection: Any, backend: str, seconds: float, deadline: float) -> None:
    """Make the connection refuse to write, and stop at the deadline."""
    if backend == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        raw = connection.connection.dbapi_connection
        # SQLite has no limit of time; the handler is called every 10,000 steps, and ends the statement by 1
        raw.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
    elif backend == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
    elif backend in ("mysql", "mariadb"):
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
