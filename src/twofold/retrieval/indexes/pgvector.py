"""The index in PostgreSQL with the extension pgvector: a team's own database.

Two tables and a table of notes per index. One change is one transaction, with a lock on the head: several writers
queue. Vectors are compared exactly up to `flat_limit` chunks; above, an HNSW graph over the living rows takes over,
scanned iteratively so that a narrow filter loses nothing. Words stand in a table of postings, and BM25 is worked out in
SQL with the same analysis, weights and totals as in the embedded index; PostgreSQL's own ``ts_rank`` knows neither
inverse document frequency nor passage length, and is slow over many matches.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twofold.errors import DatabaseRefused, DatabaseUnreachable, StoreError
from twofold.retrieval.bm25 import K1, B
from twofold.retrieval.indexes.database import DatabaseIndex, DatabaseOptions
from twofold.retrieval.indexes.database_rows import (
    NEVER,
    Row,
    Rows,
    Scored,
    barred,
    facets,
    pack,
    required,
    unpack,
    unwanted,
)
from twofold.types import Filter, Json

_EF = 200
"""Candidates of a graph search."""
_OLDEST = (0, 8)
"""The first version of pgvector that scans a graph iteratively, so that filters lose no hits."""
_BUILDING = "512MB"
"""Memory of a build: a graph that does not fit into it is built many times slower."""
_PLAIN = 1500
"""Up to this dimension a vector is stored inside its row: comparing all vectors then reads a single table."""

_TABLES = """
CREATE TABLE IF NOT EXISTS {p}_notes (name text PRIMARY KEY, body text NOT NULL);
CREATE TABLE IF NOT EXISTS {p}_chunks (
  number bigint PRIMARY KEY, born integer NOT NULL, died integer NOT NULL, id text COLLATE "C" NOT NULL,
  seal text NOT NULL, document text COLLATE "C" NOT NULL, collection text COLLATE "C" NOT NULL,
  readers text[], facets text[] NOT NULL, chunk text NOT NULL, vector vector({dimension}) NOT NULL);
CREATE TABLE IF NOT EXISTS {p}_words (
  term text COLLATE "C" NOT NULL, row bigint NOT NULL, count integer NOT NULL, length integer NOT NULL,
  born integer NOT NULL, died integer NOT NULL);
CREATE INDEX IF NOT EXISTS {p}_document ON {p}_chunks (document);
"""
# Made after a load, and by whoever opens the index next after one that was killed; the last of them says that all are.
_INDEXES = """
CREATE INDEX IF NOT EXISTS {p}_collection ON {p}_chunks (collection);
CREATE INDEX IF NOT EXISTS {p}_died ON {p}_chunks (died);
CREATE INDEX IF NOT EXISTS {p}_readers ON {p}_chunks USING gin (readers);
CREATE INDEX IF NOT EXISTS {p}_facets ON {p}_chunks USING gin (facets);
CREATE INDEX IF NOT EXISTS {p}_term ON {p}_words (term, row) INCLUDE (count, length, born, died);
"""

# with ties, up to the digits that count: which of equal rows are hits is decided by their ids (`ranked`)
_DENSE = """
SELECT chunk, 1 - (vector <=> %(vector)s::vector) FROM {p}_chunks WHERE {seen}
ORDER BY floor((vector <=> %(vector)s::vector) * 1e6) FETCH FIRST %(k)s ROWS WITH TIES
"""
_DENSE_GRAPH = """
SELECT chunk, 1 - (vector <=> %(vector)s::vector) FROM {p}_chunks WHERE {seen}
ORDER BY vector <=> %(vector)s::vector LIMIT %(k)s
"""
# materialised, for it is read twice: by the weights and by the scores
_LEXICAL = """
WITH found AS MATERIALIZED (
  SELECT row, term, count, length FROM {p}_words
  WHERE term = ANY(%(terms)s) AND born <= %(version)s AND died > %(version)s),
known AS (
  SELECT term, times * ln(1 + (%(size)s - n + 0.5) / (n + 0.5)) AS weight
  FROM (SELECT term, count(*)::float8 AS n FROM found GROUP BY term) AS counted
  JOIN unnest(%(terms)s::text[], %(times)s::int[]) AS asked(term, times) USING (term)),
scored AS (
  SELECT f.row, sum(weight * f.count * (%(k1)s + 1)
    / (f.count + %(k1)s * (1 - %(b)s + %(b)s * f.length / %(mean)s))) AS score
  FROM found f JOIN known USING (term) {where} GROUP BY f.row),
best AS (SELECT row, score FROM scored ORDER BY floor(-1e6 * score) FETCH FIRST %(k)s ROWS WITH TIES)
SELECT c.chunk, b.score FROM best b JOIN {p}_chunks c ON c.number = b.row
"""


class PgvectorIndex(DatabaseIndex):
    """See the module and `DatabaseIndex`."""

    version: ClassVar[int] = 3

    class Options(DatabaseOptions):
        """Options of the index ``pgvector``."""

        url: str = "postgresql://localhost/twofold"
        """Address, user and database, as libpq reads them; without the password."""
        flat_limit: int = Field(default=20_000, ge=0)
        """Up to this many chunks every vector is compared; above, a graph is built."""

    @classmethod
    def connect(cls, options: Any, dimension: int) -> Rows:
        """The tables ``twofold_NAME_…``; made when missing, with the extension."""
        return cast(Rows, _Pool(options, dimension))


class _Pool:
    """Connections to one database: each `reading` or `writing` has one of its own."""

    transactional: ClassVar[bool] = True

    def __init__(self, options: Any, dimension: int) -> None:
        self._options = options
        self._dimension = dimension
        self._prefix = f"twofold_{options.name}"
        self._lock = RLock()
        self._free: list[Any] = []
        self._loading = False
        self.graph = False
        with self._connection() as connection, connection.transaction():
            self._prepare(connection)

    def _prepare(self, connection: Any) -> None:
        # two processes that start at once: CREATE … IF NOT EXISTS alone may fail in one of them
        connection.execute("SELECT pg_advisory_xact_lock(20090625)")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        if tuple(int(part) for part in row[0].split(".")[:2]) < _OLDEST:
            raise StoreError(
                f"pgvector {row[0]} loses hits under filters; 0.8 or later is needed",
                file=self._options.url,
                cure="Install a newer pgvector on the server, then run ALTER EXTENSION vector UPDATE.",
            )
        exists = connection.execute("SELECT to_regclass(%s)", [f"{self._prefix}_term"]).fetchone()[0]
        if exists is None:
            connection.execute(_TABLES.format(p=self._prefix, dimension=self._dimension))
            if self._dimension <= _PLAIN:
                connection.execute(f"ALTER TABLE {self._prefix}_chunks ALTER vector SET STORAGE PLAIN")
            # Who loads has this lock until the end, and makes them then.
            if connection.execute(f"SELECT pg_try_advisory_xact_lock({self._load})").fetchone()[0]:
                connection.execute(_INDEXES.format(p=self._prefix))
        self.graph = self._has_graph(connection)

    def _has_graph(self, connection: Any) -> bool:
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [f"{self._prefix}_vector"]
        ).fetchone()
        return bool(row and row[0])

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        import psycopg

        connection = None
        try:
            with self._lock:
                connection = self._free.pop() if self._free else None
            if connection is None or connection.closed:
                connection = self._connected()
            yield connection
            with self._lock:  # only a connection that worked goes back; another is closed below
                self._free.append(connection)
                connection = None
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                with self._lock:  # the server was restarted perhaps: the other connections are dead, too
                    self._free.clear()
            raise _explained(error, self._options) from error
        finally:
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()

    def _connected(self) -> Any:
        import psycopg

        options, secret = self._options, self._options.secret()
        extra = {} if secret is None else {"password": secret.get_secret_value()}
        milliseconds = int(options.timeout * 1000)
        return psycopg.connect(
            options.url, autocommit=True, connect_timeout=max(2, int(options.timeout)), application_name="twofold",
            options=f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}", **extra,
        )  # fmt: skip

    @contextmanager
    def reading(self) -> Iterator[_PostgresRows]:
        """Rows of one snapshot."""
        with self._connection() as connection, connection.transaction():
            # every statement sees the same snapshot: head, rows and words belong together
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _PostgresRows(connection, self._prefix, graph=self.graph)

    @contextmanager
    def writing(self) -> Iterator[_PostgresRows]:
        """Rows in one transaction; a second writer waits."""
        with self._connection() as connection, connection.transaction():
            # a change may take longer than any search is allowed to
            connection.execute("SET LOCAL statement_timeout = 0")
            # the notes are locked, not the rows: writers queue, readers go on
            connection.execute(f"LOCK TABLE {self._prefix}_notes IN SHARE ROW EXCLUSIVE MODE")
            yield _PostgresRows(connection, self._prefix, graph=self.graph)

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        with self._connection() as connection:
            return _PostgresRows(connection, self._prefix, graph=self.graph).note(name)

    @property
    def _load(self) -> str:
        """The number of the lock of this index's load, in SQL."""
        return f"hashtextextended('twofold load {self._prefix}', 0)"

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Into an index without a row: the indexes of both tables are made at the end, once, and so is the graph."""
        with self._connection() as holder:
            empty = holder.execute(f"SELECT NOT EXISTS (SELECT FROM {self._prefix}_chunks)").fetchone()[0]
            # Of the session: it ends with this process, however it ends.
            if not empty or not holder.execute(f"SELECT pg_try_advisory_lock({self._load})").fetchone()[0]:
                yield
                return
            try:
                for part in ("term", "facets", "readers", "died", "collection"):
                    holder.execute(f"DROP INDEX IF EXISTS {self._prefix}_{part}")
                self._loading = True
                try:
                    yield
                finally:
                    self._loading = False
                    with holder.transaction():
                        holder.execute("SET LOCAL statement_timeout = 0")
                        holder.execute(f"SET LOCAL maintenance_work_mem = '{_BUILDING}'")
                        holder.execute(_INDEXES.format(p=self._prefix))
                        holder.execute(f"ANALYZE {self._prefix}_chunks, {self._prefix}_words")
            finally:
                holder.execute(f"SELECT pg_advisory_unlock({self._load})")

    def settle(self, chunks: int) -> None:
        """Build the graph over the living rows once there are more than `flat_limit`."""
        if self.graph or self._loading or chunks <= self._options.flat_limit:
            return
        with self._connection() as connection, connection.transaction():
            # as in `writing`
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute(f"LOCK TABLE {self._prefix}_notes IN SHARE ROW EXCLUSIVE MODE")
            connection.execute(f"SET LOCAL maintenance_work_mem = '{_BUILDING}'")
            connection.execute(
                f"CREATE INDEX IF NOT EXISTS {self._prefix}_vector ON {self._prefix}_chunks "
                f"USING hnsw (vector vector_cosine_ops) WHERE died = {NEVER}"
            )
            connection.execute(f"ANALYZE {self._prefix}_chunks, {self._prefix}_words")
        self.graph = True

    def scrub(self) -> None:
        """Write the tables anew: PostgreSQL keeps deleted rows until then."""
        with self._connection() as connection:
            # VACUUM cannot run in a transaction: the setting is the connection's, and reset below
            connection.execute("SET statement_timeout = 0")
            for part in ("chunks", "words", "notes"):
                connection.execute(f"VACUUM FULL {self._prefix}_{part}")
            connection.execute("RESET statement_timeout")

    def discard(self) -> None:
        """Drop the tables."""
        with self._connection() as connection:
            tables = ", ".join(f"{self._prefix}_{part}" for part in ("notes", "chunks", "words"))
            connection.execute(f"DROP TABLE IF EXISTS {tables}")


class _PostgresRows:
    """Rows within one transaction."""

    transactional: ClassVar[bool] = True

    def __init__(self, connection: Any, prefix: str, *, graph: bool) -> None:
        self._connection = connection
        self._prefix = prefix
        self._graph = graph

    def _do(self, sql: str, values: Any = None) -> Any:
        return self._connection.execute(sql.replace("{p}", self._prefix), values)

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        row = self._do("SELECT body FROM {p}_notes WHERE name = %s", [name]).fetchone()
        return None if row is None else cast(Json, json.loads(row[0]))

    def put_note(self, name: str, body: Json) -> None:
        """Write a note."""
        sql = "INSERT INTO {p}_notes VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET body = excluded.body"
        self._do(sql, [name, json.dumps(body)])

    def put(self, rows: Sequence[Row], vectors: NDArray[Any], average: float) -> None:  # noqa: ARG002
        """Add rows and their postings; BM25 weights are made by the query, so `average` is not used."""
        start = self._do("SELECT coalesce(max(number), 0) + 1 FROM {p}_chunks").fetchone()[0]
        form = "[" + ",".join(["%.9g"] * vectors.shape[1]) + "]"  # nine digits give a float32 back exactly
        with self._copy("chunks") as copy:
            for number, (row, vector) in enumerate(zip(rows, vectors, strict=True), start):
                chunk = row.chunk
                readers = None if chunk.readers is None else list(chunk.readers)
                copy.write_row([
                    number, row.born, row.died, chunk.id, chunk.seal, chunk.span.document, chunk.collection, readers,
                    facets(chunk), pack(chunk), form % tuple(vector.tolist()),
                ])  # fmt: skip
        with self._copy("words") as copy:
            for number, row in enumerate(rows, start):
                for term, count in Counter(row.terms).items():
                    copy.write_row([term, number, count, len(row.terms), row.born, row.died])

    def _copy(self, table: str) -> Any:
        return self._connection.cursor().copy(f"COPY {self._prefix}_{table} FROM STDIN")

    def end(self, rows: Sequence[Row], version: int) -> None:
        """Give these rows and their postings ``died = version``."""
        numbers = [int(row.key) for row in rows]
        pairs: list[tuple[str, int]] = []
        for row in rows:
            pairs += [(term, int(row.key)) for term in sorted(set(row.terms))]
        self._do("UPDATE {p}_chunks SET died = %s WHERE number = ANY(%s)", [version, numbers])
        self._do(
            "UPDATE {p}_words w SET died = %s FROM unnest(%s::text[], %s::bigint[]) AS gone(term, row) "
            'WHERE w.term = gone.term COLLATE "C" AND w.row = gone.row',
            [version, [term for term, _ in pairs], [number for _, number in pairs]],
        )

    def revive(self, after: int) -> None:
        """Never needed: an unfinished transaction leaves nothing."""

    def drop(self, *, after: int, until: int) -> None:
        """Remove rows for good that were born after `after` and died at `until` or earlier."""
        for table in ("chunks", "words"):
            self._do(f"DELETE FROM {{p}}_{table} WHERE born > %s AND died <= %s", [after, until])

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`: all, or those of these documents."""
        which = "" if documents is None else " AND document = ANY(%(documents)s)"
        records = self._do(
            "SELECT number, born, died, chunk FROM {p}_chunks WHERE born <= %(version)s AND died > %(version)s" + which,
            {"version": version, "documents": None if documents is None else list(documents)},
        ).fetchall()
        return [Row(key=str(number), born=born, died=died, chunk=unpack(text)) for number, born, died, text in records]

    def seals(self, version: int) -> list[tuple[str, str]]:
        """Document and seal of every row seen at `version`."""
        sql = "SELECT document, seal FROM {p}_chunks WHERE born <= %s AND died > %s"
        return list(self._do(sql, [version, version]).fetchall())

    def vectors(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vectors of these rows, shape (rows, dimension)."""
        sql = "SELECT number, vector::real[] FROM {p}_chunks WHERE number = ANY(%s)"
        by_number = dict(self._do(sql, [[int(row.key) for row in rows]]).fetchall())
        return np.array([by_number[int(row.key)] for row in rows], dtype=np.float32)

    def near(self, vectors: NDArray[Any], k: int, version: int, *, which: Filter | None) -> list[list[Scored]]:
        """Nearest rows by cosine."""
        newest = int((self.note("head") or {}).get("version", 0)) == version
        graph = self._graph and newest  # the graph has living rows only
        if graph:
            ef = min(1000, max(_EF, 2 * k))
            # iteratively and without a limit, so that a narrow filter loses nothing
            self._do(f"SET LOCAL hnsw.ef_search = {ef}; SET LOCAL hnsw.iterative_scan = strict_order")
            self._do("SET LOCAL hnsw.max_scan_tuples = 2000000000; SET LOCAL hnsw.scan_mem_multiplier = 4")
        conditions, values = _conditions(which)
        lives = f"died = {NEVER}" if newest else "born <= %(version)s AND died > %(version)s"
        sql = (_DENSE_GRAPH if graph else _DENSE).replace("{seen}", " AND ".join([lives, *conditions]))
        form = "[" + ",".join(["%.9g"] * vectors.shape[1]) + "]"
        return [
            _scored(self._do(sql, {**values, "version": version, "vector": form % tuple(v.tolist()), "k": k}))
            for v in vectors
        ]

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best rows by BM25, with the totals of that version."""
        conditions, values = _conditions(which)
        where = (
            f"WHERE f.row IN (SELECT number FROM {{p}}_chunks WHERE {' AND '.join(conditions)})" if conditions else ""
        )
        size, tokens = self._totals(version)
        fixed = {"version": version, "k": k, "size": size, "mean": max(tokens / max(size, 1), 1e-9), "k1": K1, "b": B}
        out = []
        for query in queries:
            times = Counter(query)
            query_terms = {"terms": list(times), "times": list(times.values())}
            out.append(_scored(self._do(_LEXICAL.replace("{where}", where), {**values, **fixed, **query_terms})))
        return out

    def _totals(self, version: int) -> tuple[int, int]:
        entries = [self.note("head"), *(self.note("log") or {}).get("versions", [])]
        here = next(entry for entry in entries if entry and entry["version"] == version)
        return int(here["chunks"]), int(here["tokens"])


def _conditions(which: Filter | None) -> tuple[list[str], dict[str, list[str]]]:
    parts, values = [], {}
    for number, (name, allowed) in enumerate(required(which)):
        values[f"f{number}"] = allowed
        parts.append(f"collection = ANY(%(f{number})s)" if name == "collection" else f"{name} && %(f{number})s::text[]")
    if some := barred(which):
        values["barred"] = some
        parts.append("NOT facets && %(barred)s::text[]")
    if hidden := unwanted(which):
        values["without"] = hidden
        parts.append("document <> ALL(%(without)s)")
    return parts, values


def _scored(cursor: Any) -> list[Scored]:
    return [(unpack(text), float(score)) for text, score in cursor.fetchall()]


def _explained(error: Any, options: Any) -> StoreError:
    import psycopg
    from psycopg import errors

    reason = " ".join(str(error).split())
    if (
        isinstance(error, errors.InvalidPassword | errors.InvalidAuthorizationSpecification)
        or "authentication" in reason
    ):
        return DatabaseRefused(f"PostgreSQL refuses the user or password: {reason}", file=options.url)
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseRefused(
            f"PostgreSQL refused the request: {reason}",
            file=options.url,
            cure="Let an administrator run CREATE EXTENSION vector, and GRANT CREATE ON SCHEMA public.",
        )
    if isinstance(error, errors.UndefinedFile | errors.FeatureNotSupported) and "vector" in reason:
        return StoreError(
            f"the server has no pgvector: {reason}",
            file=options.url,
            cure="Install pgvector 0.8 or later on the server.",
        )
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
        return DatabaseUnreachable(f"PostgreSQL took longer than {options.timeout:g} s: {reason}", file=options.url)
    if isinstance(error, errors.InvalidCatalogName):
        return DatabaseUnreachable(
            f"the database does not exist: {reason}", file=options.url, cure="Run createdb first."
        )
    if isinstance(error, psycopg.OperationalError) and not isinstance(error, errors.DiskFull):
        return DatabaseUnreachable(f"PostgreSQL does not answer: {reason}", file=options.url)
    return StoreError(
        f"PostgreSQL refused the request: {reason}",
        file=options.url,
        cure="Read the server's log; the previous version stays.",
    )
