"""The index in Weaviate, through its official client (HTTP for the schema, gRPC for data).

Two collections per index: ``Twofold_NAME`` and, for the notes, ``Twofold_NAME_notes``. Weaviate has no transactions; a
change becomes visible with the last note (see `database`). Weaviate's BM25 searches the analysed words unchanged
(``whitespace``, no stop words); its totals include rows of older versions until `prune`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ConfigError, DatabaseRefused, DatabaseUnreachable, StoreError
from twofold.retrieval.bm25 import K1, B
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

_SPACE = uuid.UUID("0c6ff9a6-3b5c-4b6e-8c86-5c9b5e6d9b11")
_PUT, _PAGE, _DOCUMENTS = 200, 1000, 20
"""Objects of a request that writes, of one that reads, and documents named in one condition."""
_ROW_FIELDS = ["born", "died", "chunk"]
_MARK = "="
"""Prefix of every value that filters compare with: Weaviate cannot find an empty text."""


class WeaviateIndex(DatabaseIndex):
    """See the module and `DatabaseIndex`."""

    version: ClassVar[int] = 3

    class Options(DatabaseOptions):
        """Options of the index ``weaviate``."""

        url: str = "http://localhost:8080"
        """Address of the server's HTTP port."""
        grpc: str = "localhost:50051"
        """Host and port for gRPC; it is encrypted when `url` is https."""

    @classmethod
    def connect(cls, options: Any, dimension: int) -> Rows:
        """The collections; made when missing."""
        return cast(Rows, _WeaviateRows(options, dimension))


class _WeaviateRows(VersionedRows):
    def __init__(self, options: Any, dimension: int) -> None:  # noqa: ARG002
        self._options = options
        self._names = (f"Twofold_{options.name}", f"Twofold_{options.name}_notes")
        super().__init__()
        with self.calling():
            self._client = self._opened()
            self._make()
            self._chunks, self._notes = (self._client.collections.use(name) for name in self._names)

    def _opened(self) -> Any:
        import weaviate
        from weaviate.classes.init import AdditionalConfig, Auth, Timeout

        options, secret = self._options, self._options.secret()
        url, (host, _, port) = urlsplit(options.url), options.grpc.rpartition(":")
        secure = url.scheme == "https"
        waits = Timeout(init=options.timeout, query=options.timeout, insert=options.timeout)
        try:
            return weaviate.connect_to_custom(
                http_host=url.hostname or "", http_port=url.port or (443 if secure else 80), http_secure=secure,
                grpc_host=host, grpc_port=int(port), grpc_secure=secure,
                auth_credentials=None if secret is None else Auth.api_key(secret.get_secret_value()),
                additional_config=AdditionalConfig(timeout=waits), skip_init_checks=True,
            )  # fmt: skip
        except ValueError as error:
            raise ConfigError(
                f"retrieval.index: url {options.url!r} or grpc {options.grpc!r} is not an address",
                cure='Write url = "http://host:8080" and grpc = "host:50051".',
            ) from error

    def _make(self) -> None:
        from weaviate.classes.config import (
            Configure,
            DataType,
            Property,
            StopwordsPreset,
            Tokenization,
            VectorDistances,
        )

        have = self._client.collections
        if not have.exists(self._names[0]):
            exact = [("document", DataType.TEXT), ("collection", DataType.TEXT)]
            exact += [("readers", DataType.TEXT_ARRAY), ("facets", DataType.TEXT_ARRAY)]
            have.create(
                self._names[0],
                vector_config=Configure.Vectors.self_provided(
                    vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.COSINE)
                ),
                inverted_index_config=Configure.inverted_index(
                    bm25_k1=K1, bm25_b=B, stopwords_preset=StopwordsPreset.NONE
                ),
                properties=[
                    *(Property(name=n, data_type=DataType.INT, index_range_filters=True) for n in ("born", "died")),
                    *(
                        Property(name=n, data_type=t, tokenization=Tokenization.FIELD, index_searchable=False)
                        for n, t in exact
                    ),
                    Property(
                        name="terms", data_type=DataType.TEXT, tokenization=Tokenization.WHITESPACE,
                        index_filterable=False,
                    ),
                    Property(name="chunk", data_type=DataType.TEXT, index_filterable=False, index_searchable=False),
                ],
            )  # fmt: skip
        if not have.exists(self._names[1]):
            body = Property(name="body", data_type=DataType.TEXT, index_filterable=False, index_searchable=False)
            have.create(self._names[1], vector_config=Configure.Vectors.self_provided(), properties=[body])

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A context that converts the errors of Weaviate's client."""
        import httpx
        from weaviate.exceptions import WeaviateBaseError

        try:
            yield
        except (WeaviateBaseError, httpx.HTTPError, OSError) as error:
            raise _explained(error, self._options.url) from error

    # ------------------------------------------------------------ notes

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        with self.calling():
            stored = self._notes.query.fetch_object_by_id(_id(name))
        return None if stored is None else cast(Json, json.loads(stored.properties["body"]))

    def put_note(self, name: str, body: Json) -> None:
        """Write a note: one object, whole or not at all."""
        from weaviate.classes.data import DataObject

        # an insert of many replaces a note of that id; a single one would be refused
        report = self._notes.data.insert_many([DataObject(uuid=_id(name), properties={"body": json.dumps(body)})])
        self._sound(report)

    # ------------------------------------------------------------ rows

    def put(self, rows: Sequence[Row], vectors: NDArray[Any], average: float) -> None:  # noqa: ARG002
        """Add rows; Weaviate makes the BM25 weights, so `average` is not used."""
        from weaviate.classes.data import DataObject

        objects = []
        for row, vector in zip(rows, vectors, strict=True):
            objects.append(DataObject(uuid=_id(row.key), properties=_properties(row), vector=vector.tolist()))
        for start in range(0, len(objects), _PUT):
            self._sound(self._chunks.data.insert_many(objects[start : start + _PUT]))

    def _sound(self, report: Any) -> None:
        for error in report.errors.values():
            raise StoreError(f"Weaviate did not take an object: {error.message}", file=self._options.url)

    def end(self, rows: Sequence[Row], version: int) -> None:
        """Give these rows ``died = version``: one request each, Weaviate updates no more at once."""
        for row in rows:
            self._chunks.data.update(uuid=row.key, properties={"died": version})

    def revive(self, after: int) -> None:
        """Let rows live again that died after `after`."""
        from weaviate.classes.query import Filter as Where

        died = Where.by_property("died")
        # a row that lives again no longer fits the conditions: repeated until none is left
        while batch := self._fetched(died.greater_than(after) & died.less_than(NEVER)):
            self.end(batch, NEVER)

    def drop(self, *, after: int, until: int) -> None:
        """Remove rows for good that were born after `after` and died at `until` or earlier."""
        from weaviate.classes.query import Filter as Where

        where = Where.by_property("born").greater_than(after) & Where.by_property("died").less_or_equal(until)
        # Weaviate deletes only so many objects with one request
        while (done := self._chunks.data.delete_many(where=where)).matches:
            if done.failed:
                raise StoreError(f"Weaviate could not delete {done.failed} objects", file=self._options.url)

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`: all, or those of these documents."""
        from weaviate.classes.query import Filter as Where

        if documents is None:
            # the iterator takes no filter: rows of other versions are read, too, and left out here
            every = (_row(one) for one in self._chunks.iterator(return_properties=_ROW_FIELDS, cache_size=_PAGE))
            return [row for row in every if row.born <= version < row.died]
        rows = []
        for start in range(0, len(documents), _DOCUMENTS):
            marked = [_MARK + name for name in documents[start : start + _DOCUMENTS]]
            rows += self._fetched(_seen(version) & Where.by_property("document").contains_any(marked))
        return rows

    def _fetched(self, where: Any) -> list[Row]:
        rows: list[Row] = []
        while True:
            page = self._chunks.query.fetch_objects(
                filters=where, limit=_PAGE, offset=len(rows), return_properties=_ROW_FIELDS
            ).objects
            rows += [_row(one) for one in page]
            if len(page) < _PAGE:
                return rows

    def seals(self, version: int) -> list[tuple[str, str]]:
        """Document and seal of every row seen at `version`."""
        return [(row.chunk.span.document, row.chunk.seal) for row in self.live(version)]

    def vectors(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vectors of these rows, shape (rows, dimension)."""
        # by key, since the objects may come in any order
        by_key: dict[str, Any] = {}
        for start in range(0, len(rows), _PUT):
            keys = [row.key for row in rows[start : start + _PUT]]
            page = self._chunks.query.fetch_objects_by_ids(keys, limit=_PUT, include_vector=True, return_properties=[])
            by_key |= {str(one.uuid): one.vector["default"] for one in page.objects}
        return np.array([by_key[row.key] for row in rows], dtype=np.float32)

    def near(self, vectors: NDArray[Any], k: int, version: int, *, which: Filter | None) -> list[list[Scored]]:
        """Nearest rows by cosine."""
        where = _where(version, which)
        if where is None:
            return [[] for _ in vectors]
        answers = [
            self._chunks.query.near_vector(
                vector.tolist(), limit=k, filters=where, return_properties=["chunk"], return_metadata=["distance"]
            )
            for vector in vectors
        ]
        return [_scored(answer.objects, lambda metadata: 1.0 - float(metadata.distance)) for answer in answers]

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best rows by Weaviate's BM25."""
        where = _where(version, which)
        if where is None:
            return [[] for _ in queries]
        answers = [
            self._chunks.query.bm25(
                " ".join(query), query_properties=["terms"], limit=k, filters=where, return_properties=["chunk"],
                return_metadata=["score"],
            )
            for query in queries
        ]  # fmt: skip
        return [_scored(answer.objects, lambda metadata: float(metadata.score)) for answer in answers]

    def settle(self, chunks: int) -> None:
        """Weaviate builds its graph by itself."""

    def scrub(self) -> None:
        """Weaviate compacts by itself."""

    def discard(self) -> None:
        """Drop both collections."""
        with self.calling():
            for name in self._names:
                self._client.collections.delete(name)

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be half gone
            self._client.close()


def _id(name: str) -> str:
    return str(uuid.uuid5(_SPACE, name))


def _properties(row: Row) -> Json:
    chunk = row.chunk
    return {
        "born": row.born, "died": row.died, "document": _MARK + chunk.span.document,
        "collection": _MARK + chunk.collection, "readers": [_MARK + reader for reader in chunk.readers or ()],
        "facets": [_MARK + facet for facet in facets(chunk)], "terms": " ".join(row.terms), "chunk": pack(chunk),
    }  # fmt: skip


def _row(stored: Any) -> Row:
    fields = stored.properties
    return Row(key=str(stored.uuid), born=int(fields["born"]), died=int(fields["died"]), chunk=unpack(fields["chunk"]))


def _scored(objects: Sequence[Any], score: Callable[[Any], float]) -> list[Scored]:
    return [(unpack(stored.properties["chunk"]), score(stored.metadata)) for stored in objects]


def _seen(version: int) -> Any:
    from weaviate.classes.query import Filter as Where

    return Where.by_property("born").less_or_equal(version) & Where.by_property("died").greater_than(version)


def _where(version: int, which: Filter | None) -> Any:
    """The conditions of a search; None when nothing can be found."""
    from weaviate.classes.query import Filter as Where

    where = _seen(version)
    for field, values in required(which):
        if not values:
            return None
        where &= Where.by_property(field).contains_any([_MARK + value for value in values])
    for field, values in (("document", unwanted(which)), ("facets", barred(which))):
        if values:
            where &= Where.not_(Where.by_property(field).contains_any([_MARK + value for value in values]))
    return where


def _explained(error: Exception, place: str) -> StoreError:
    from weaviate import exceptions as known

    reason = " ".join(str(error).split())[:400]
    status = getattr(error, "status_code", 0)
    refused = (known.AuthenticationFailedError, known.InsufficientPermissionsError)
    if (
        isinstance(error, refused)
        or status in (401, 403)
        or "UNAUTHENTICATED" in reason
        or "PERMISSION_DENIED" in reason
    ):
        return DatabaseRefused(f"Weaviate refuses the API key: {reason}", file=place)
    lost = (known.WeaviateConnectionError, known.WeaviateStartUpError, known.WeaviateTimeoutError, OSError)
    if isinstance(error, lost) or "UNAVAILABLE" in reason or type(error).__module__.startswith("httpx"):
        return DatabaseUnreachable(f"Weaviate does not answer: {reason}", file=place)
    return StoreError(f"Weaviate refused the request: {reason}", file=place, cure="Read the server's log.")
