"""The index in Pinecone, through its official client.

The index uses two namespaces of a Pinecone index, which the user has created with the embedder's dimension and metric
``cosine``: ``twofold_NAME`` and, for the notes, ``twofold_NAME_notes``. Pinecone has no transactions and shows a write
some time later: every write is read back before it counts, and a change becomes visible with the last note (see
`database`). Pinecone's word search needs a separate index, so the client keeps the words (see `client_bm25`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from twofold.errors import DatabaseRefused, DatabaseUnreachable, IndexMismatch, StoreError
from twofold.retrieval.indexes.client_bm25 import ClientWords
from twofold.retrieval.indexes.database import DatabaseIndex, DatabaseOptions
from twofold.retrieval.indexes.database_rows import (
    NEVER,
    Row,
    Rows,
    Scored,
    VersionedRows,
    barred,
    facets,
    pack,
    required,
    unpack,
    unwanted,
)
from twofold.types import Filter, Json

_PUT, _PAGE = 100, 100
"""Records of a request that writes, and of one that reads."""
_PAUSE = 0.05
"""Seconds between two looks for a write that is not visible yet."""
_MARK = "="
"""Prefix of every value that filters compare with, and a value itself, so that no value and no list is empty."""


class PineconeIndex(DatabaseIndex):
    """See the module and `DatabaseIndex`."""

    version: ClassVar[int] = 3

    class Options(DatabaseOptions):
        """Options of the index ``pinecone``."""

        url: str
        """Host of the Pinecone index, as its console shows it."""
        api_key_env: str = "PINECONE_API_KEY"
        """Environment variable that holds the API key."""

    @classmethod
    def connect(cls, options: Any, dimension: int) -> Rows:
        """The namespaces; they exist from the first write on."""
        return cast(Rows, _PineconeRows(options, dimension))


class _PineconeRows(VersionedRows):
    def __init__(self, options: Any, dimension: int) -> None:
        self._options = options
        self._dimension = dimension
        self._space = f"twofold_{options.name}"
        super().__init__()
        self._words = ClientWords(self, options.language)
        with self.calling():
            self._index = self._opened()
            stored_dimension = self._index.describe_index_stats().dimension
        if stored_dimension != dimension:
            raise IndexMismatch(
                f"the Pinecone index has dimension {stored_dimension}, but the embedder makes {dimension}",
                file=options.url,
                cure=f"Make a Pinecone index of dimension {dimension} and metric cosine, and put its host into url.",
            )

    def _opened(self) -> Any:
        from pinecone import Pinecone, RetryConfig

        secret = self._options.secret()
        key = "none" if secret is None else secret.get_secret_value()
        client = Pinecone(api_key=key, timeout=self._options.timeout, retry_config=RetryConfig(max_retries=1))
        return client.Index(host=self._options.url)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A context that converts the errors of Pinecone's client."""
        from pinecone import errors as known

        place = self._options.url
        try:
            yield
        except (known.UnauthorizedError, known.ForbiddenError) as error:
            raise DatabaseRefused(f"Pinecone refuses the API key: {error}", file=place) from error
        except (known.PineconeConnectionError, known.PineconeTimeoutError) as error:
            raise DatabaseUnreachable(f"Pinecone does not answer: {error}", file=place) from error
        except known.PineconeError as error:
            cure = "Read the message; a passage with its metadata may hold 40 kB at most."
            raise StoreError(f"Pinecone refused the request: {error}", file=place, cure=cure) from error

    # ------------------------------------------------------------ notes

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        with self.calling():
            records = self._index.fetch(ids=[name], namespace=f"{self._space}_notes").vectors
        return cast(Json, json.loads(records[name].metadata["body"])) if name in records else None

    def put_note(self, name: str, body: Json) -> None:
        """Write a note: one record, whole or not at all."""
        # a record must have a vector, and not one of zeros alone
        values = [1.0] + [0.0] * (self._dimension - 1)
        record = {"id": name, "values": values, "metadata": {"body": json.dumps(body)}}
        self._index.upsert(vectors=[record], namespace=f"{self._space}_notes", show_progress=False)
        self._until(lambda: self.note(name) == body)

    def _until(self, seen: Any) -> None:
        """Wait until a write is visible."""
        end = time.monotonic() + self._options.timeout
        while not seen():
            if time.monotonic() > end:
                raise DatabaseUnreachable(
                    f"Pinecone did not show a write within {self._options.timeout:g} s", file=self._options.url
                )
            time.sleep(_PAUSE)

    # ------------------------------------------------------------ rows

    def put(self, rows: Sequence[Row], vectors: NDArray[Any], average: float) -> None:  # noqa: ARG002
        """Add rows; `average` is not used, the words are held by the client."""
        for start in range(0, len(rows), _PUT):
            some = slice(start, start + _PUT)
            records = []
            for row, vector in zip(rows[some], vectors[some], strict=True):
                records.append({"id": _id(row.key), "values": vector.tolist(), "metadata": _metadata(row)})
            self._index.upsert(vectors=records, namespace=self._space, show_progress=False)
            keys = [record["id"] for record in records]
            self._until(lambda keys=keys: len(self._fetched(keys)) == len(keys))

    def end(self, rows: Sequence[Row], version: int) -> None:
        """Give these rows ``died = version``: one request each."""
        for row in rows:
            self._index.update(id=row.key, set_metadata={"died": version}, namespace=self._space)
        for start in range(0, len(rows), _PAGE):
            keys = [row.key for row in rows[start : start + _PAGE]]
            self._until(lambda keys=keys: all(one.metadata["died"] == version for one in self._fetched(keys).values()))

    def revive(self, after: int) -> None:
        """Let rows live again that died after `after`."""
        self.end(self._got([_limit("died", "$gt", after), _limit("died", "$lt", NEVER)]), NEVER)
        self._words.forget()

    def drop(self, *, after: int, until: int) -> None:
        """Remove rows for good that were born after `after` and died at `until` or earlier."""
        doomed = self._got([_limit("born", "$gt", after), _limit("died", "$lte", until)])
        for start in range(0, len(doomed), _PAGE):
            keys = [row.key for row in doomed[start : start + _PAGE]]
            self._index.delete(ids=keys, namespace=self._space)
            self._until(lambda keys=keys: not self._fetched(keys))
        self._words.forget()

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`: all, or those of these documents."""
        if documents is None:
            return self._got(_seen(version))
        rows: list[Row] = []
        for start in range(0, len(documents), _PAGE):
            marked = [_MARK + name for name in documents[start : start + _PAGE]]
            rows += self._got([*_seen(version), {"document": {"$in": marked}}])
        return rows

    def changed(self, after: int) -> list[Row]:
        """The rows that were born or died after that version."""
        died = {"$and": [_limit("died", "$gt", after), _limit("died", "$lt", NEVER)]}
        return self._got([{"$or": [_limit("born", "$gt", after), died]}])

    def seals(self, version: int) -> list[tuple[str, str]]:
        """Document and seal of every row seen at `version`."""
        return [(row.chunk.span.document, row.chunk.seal) for row in self.live(version)]

    def _got(self, conditions: list[Json]) -> list[Row]:
        rows: list[Row] = []
        token = None
        while True:
            page = self._index.fetch_by_metadata(
                filter={"$and": conditions}, namespace=self._space, limit=_PAGE, pagination_token=token
            )
            rows += [_row(key, vector.metadata) for key, vector in page.vectors.items()]
            token = page.pagination.next if page.pagination else None
            if not token:
                return rows

    def _fetched(self, keys: Sequence[str]) -> dict[str, Any]:
        return dict(self._index.fetch(ids=list(keys), namespace=self._space).vectors)

    def vectors(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vectors of these rows, shape (rows, dimension)."""
        by_key: dict[str, Any] = {}
        for start in range(0, len(rows), _PAGE):
            by_key |= self._fetched([row.key for row in rows[start : start + _PAGE]])
        return np.array([by_key[row.key].values for row in rows], dtype=np.float32)

    def near(self, vectors: NDArray[Any], k: int, version: int, *, which: Filter | None) -> list[list[Scored]]:
        """Nearest rows by cosine."""
        conditions = _seen(version)
        for field, values in required(which):
            if not values:
                return [[] for _ in vectors]
            conditions.append({field: {"$in": [_MARK + value for value in values]}})
        for field, values in (("document", unwanted(which)), ("facets", barred(which))):
            if values:
                conditions.append({field: {"$nin": [_MARK + value for value in values]}})
        out = []
        for vector in vectors:
            answer = self._index.query(
                vector=vector.tolist(), top_k=k, namespace=self._space, filter={"$and": conditions},
                include_metadata=True,
            )  # fmt: skip
            out.append([(unpack(one.metadata["chunk"]), float(one.score)) for one in answer.matches])
        return out

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best rows by BM25, from the words held here."""
        return self._words.matching(queries, k, version, which=which)

    def settle(self, chunks: int) -> None:
        """Pinecone builds its graph by itself."""

    def scrub(self) -> None:
        """Pinecone keeps no deleted records, by its own word."""

    def discard(self) -> None:
        """Empty both namespaces."""
        from pinecone.errors import NotFoundError

        with self.calling():
            for space in (self._space, f"{self._space}_notes"):
                with suppress(NotFoundError):
                    self._index.delete(delete_all=True, namespace=space)
            self._until(lambda: self.note("head") is None)


def _id(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]


def _row(key: str, metadata: Json) -> Row:
    # Pinecone keeps every number as a float
    return Row(key=key, born=int(metadata["born"]), died=int(metadata["died"]), chunk=unpack(metadata["chunk"]))


def _metadata(row: Row) -> Json:
    chunk = row.chunk
    return {
        "born": row.born, "died": row.died, "document": _MARK + chunk.span.document,
        "collection": _MARK + chunk.collection, "readers": [_MARK + reader for reader in chunk.readers or ()],
        "facets": [_MARK, *(_MARK + facet for facet in facets(chunk))], "chunk": pack(chunk),
    }  # fmt: skip


def _limit(field: str, relation: str, value: int) -> Json:
    return {field: {relation: value}}


def _seen(version: int) -> list[Json]:
    return [_limit("born", "$lte", version), _limit("died", "$gt", version)]
