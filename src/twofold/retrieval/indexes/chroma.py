"""The index in a Chroma server, through its HTTP interface (v2).

Two collections per index: ``twofold_NAME`` and, for the notes, ``twofold_NAME_notes``. Chroma has no transactions; a
change becomes visible by the one note written last (see `database`). It has no BM25 either: the words are held
by the client (see `client_bm25`). The package ``chromadb`` is the server with all it needs (ONNX Runtime, a Kubernetes
client: about 300 MB), and the small client cannot be installed beside it, so requests are made with httpx.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, cast
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from twofold.errors import DatabaseRefused, DatabaseUnreachable, StoreError
from twofold.host import certificates
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

_PUT, _PAGE = 500, 2000
"""Records of a request that writes, and of one that reads."""
_NAMED = 200
"""Documents named in one condition."""
_EF = 200
"""Candidates of a graph search, as in the other indexes."""
_FLAG = {"facets": "f", "readers": "r"}
"""Prefixes of the metadata keys that stand for the members of lists, which Chroma lacks."""


class ChromaIndex(DatabaseIndex):
    """See the module and `DatabaseIndex`."""

    version: ClassVar[int] = 3

    class Options(DatabaseOptions):
        """Options of the index ``chroma``."""

        url: str = "http://localhost:8000"
        """Address of the server or of Chroma Cloud."""
        tenant: str = "default_tenant"
        """Chroma's tenant."""
        database: str = "default_database"
        """Chroma's database within the tenant."""

    @classmethod
    def connect(cls, options: Any, dimension: int) -> Rows:
        """The collections; made when missing."""
        return cast(Rows, _ChromaRows(options, dimension))


class _ChromaRows(VersionedRows):
    def __init__(self, options: Any, dimension: int) -> None:  # noqa: ARG002
        self._options = options
        secret = options.secret()
        headers = {} if secret is None else {"x-chroma-token": secret.get_secret_value()}
        place = f"/api/v2/tenants/{quote(options.tenant)}/databases/{quote(options.database)}/collections"
        self._address = options.url.rstrip("/") + place
        self._client = httpx.Client(headers=headers, timeout=options.timeout, verify=certificates.trusted())
        super().__init__()
        self._words = ClientWords(self, options.language)
        self._name = f"twofold_{options.name}"
        graph = {"space": "cosine", "ef_construction": _EF, "ef_search": _EF}
        self._chunks = self._collection(self._name, {"hnsw": graph})
        self._notes = self._collection(f"{self._name}_notes", None)

    def calling(self) -> AbstractContextManager[None]:
        """A context that does nothing: `_request` converts the errors of httpx."""
        return nullcontext()

    def _collection(self, name: str, configuration: Json | None) -> str:
        body = {"name": name, "get_or_create": True, "configuration": configuration}
        return str(self._post("", body)["id"])

    def _post(self, path: str, body: Json) -> Any:
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: Json | None = None) -> Any:
        place = self._options.url
        try:
            answer = self._client.request(method, self._address + path, json=body)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise DatabaseUnreachable(f"Chroma does not answer: {reason}", file=place) from error
        if answer.status_code in (401, 403):
            raise DatabaseRefused(f"Chroma refuses the API key: {answer.text[:300]}", file=place)
        if answer.is_error:
            raise StoreError(
                f"Chroma refused the request: {answer.status_code} {answer.text[:300]}",
                file=place,
                cure="Read the server's log.",
            )
        return answer.json() if answer.content else None

    # ------------------------------------------------------------ notes

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        metadatas = self._post(f"/{self._notes}/get", {"ids": [name], "include": ["metadatas"]})["metadatas"]
        return cast(Json, json.loads(metadatas[0]["body"])) if metadatas else None

    def put_note(self, name: str, body: Json) -> None:
        """Write a note: one record, whole or not at all."""
        # a record must have an embedding: one number that nothing searches
        record = {"ids": [name], "embeddings": [[1.0]], "metadatas": [{"body": json.dumps(body)}]}
        self._post(f"/{self._notes}/upsert", record)

    # ------------------------------------------------------------ rows

    def put(self, rows: Sequence[Row], vectors: NDArray[Any], average: float) -> None:  # noqa: ARG002
        """Add rows; `average` is not used, the words are held by the client."""
        for start in range(0, len(rows), _PUT):
            some = slice(start, start + _PUT)
            body = {
                "ids": [row.key for row in rows[some]],
                "embeddings": vectors[some].tolist(),
                "metadatas": [_metadata(row) for row in rows[some]],
            }
            self._post(f"/{self._chunks}/upsert", body)

    def end(self, rows: Sequence[Row], version: int) -> None:
        """Give these rows ``died = version``."""
        for start in range(0, len(rows), _PUT):
            keys = [row.key for row in rows[start : start + _PUT]]
            self._post(f"/{self._chunks}/update", {"ids": keys, "metadatas": [{"died": version}] * len(keys)})

    def revive(self, after: int) -> None:
        """Let rows live again that died after `after`."""
        self.end(self._got(_all([_limit("died", "$gt", after), _limit("died", "$lt", NEVER)])), NEVER)
        self._words.forget()

    def drop(self, *, after: int, until: int) -> None:
        """Remove rows for good that were born after `after` and died at `until` or earlier."""
        where = _all([_limit("born", "$gt", after), _limit("died", "$lte", until)])
        # from the start each time: what was deleted no longer counts as an offset
        while batch := self._got(where, limit=_PAGE):
            self._post(f"/{self._chunks}/delete", {"ids": [row.key for row in batch]})
        self._words.forget()

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`: all, or those of these documents."""
        if documents is None:
            return self._got(_all(_seen(version)))
        rows: list[Row] = []
        for start in range(0, len(documents), _NAMED):
            some = list(documents[start : start + _NAMED])
            rows += self._got(_all([*_seen(version), {"document": {"$in": some}}]))
        return rows

    def changed(self, after: int) -> list[Row]:
        """The rows that were born or died after that version."""
        died = _all([_limit("died", "$gt", after), _limit("died", "$lt", NEVER)])
        return self._got({"$or": [_limit("born", "$gt", after), died]})

    def seals(self, version: int) -> list[tuple[str, str]]:
        """Document and seal of every row seen at `version`."""
        return [(row.chunk.span.document, row.chunk.seal) for row in self.live(version)]

    def _got(self, where: Json, limit: int | None = None) -> list[Row]:
        rows: list[Row] = []
        while True:
            body = {"where": where, "include": ["metadatas"], "limit": limit or _PAGE, "offset": len(rows)}
            page = self._post(f"/{self._chunks}/get", body)
            for key, metadata in zip(page["ids"], page["metadatas"], strict=True):
                rows.append(Row(key=key, born=metadata["born"], died=metadata["died"], chunk=unpack(metadata["chunk"])))
            if limit or len(page["ids"]) < _PAGE:
                return rows

    def vectors(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vectors of these rows, shape (rows, dimension)."""
        by_key: dict[str, Any] = {}
        for start in range(0, len(rows), _PUT):
            body = {"ids": [row.key for row in rows[start : start + _PUT]], "include": ["embeddings"]}
            page = self._post(f"/{self._chunks}/get", body)
            by_key |= dict(zip(page["ids"], page["embeddings"], strict=True))
        return np.array([by_key[row.key] for row in rows], dtype=np.float32)

    def near(self, vectors: NDArray[Any], k: int, version: int, *, which: Filter | None) -> list[list[Scored]]:
        """Nearest rows by cosine."""
        conditions = _seen(version)
        for field, values in required(which):
            if not values:
                return [[] for _ in vectors]
            if field == "collection":
                conditions.append({"collection": {"$in": values}})
            else:
                each = [{f"{_FLAG[field]}:{value}": {"$eq": True}} for value in values]
                conditions.append(each[0] if len(each) == 1 else {"$or": each})
        conditions += [{f"{_FLAG['facets']}:{value}": {"$ne": True}} for value in barred(which)]
        if hidden := unwanted(which):
            conditions.append({"document": {"$nin": hidden}})
        body = {
            "query_embeddings": vectors.tolist(), "n_results": k, "where": _all(conditions),
            "include": ["metadatas", "distances"],
        }  # fmt: skip
        answer = self._post(f"/{self._chunks}/query", body)
        by_query = zip(answer["metadatas"], answer["distances"], strict=True)
        return [_scored(metadatas, distances) for metadatas, distances in by_query]

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best rows by BM25, from the words held here."""
        return self._words.matching(queries, k, version, which=which)

    def settle(self, chunks: int) -> None:
        """Chroma builds its graph by itself."""

    def scrub(self) -> None:
        """Chroma has no request for it: `chroma vacuum`, run beside the server, frees the space."""

    def discard(self) -> None:
        """Drop both collections."""
        for name in (self._name, f"{self._name}_notes"):
            self._request("DELETE", f"/{name}")


def _metadata(row: Row) -> Json:
    chunk = row.chunk
    # a key for each text, since Chroma has no lists (docs/decisions/0014)
    flags = [f"f:{facet}" for facet in facets(chunk)] + [f"r:{reader}" for reader in chunk.readers or ()]
    return {
        "born": row.born, "died": row.died, "document": chunk.span.document, "collection": chunk.collection,
        "chunk": pack(chunk), **dict.fromkeys(flags, True),
    }  # fmt: skip


def _scored(metadatas: Sequence[Json], distances: Sequence[float]) -> list[Scored]:
    """One query's rows; Chroma's cosine distance is 1 − cosine."""
    pairs = zip(metadatas, distances, strict=True)
    return [(unpack(metadata["chunk"]), 1.0 - float(distance)) for metadata, distance in pairs]


def _limit(field: str, relation: str, value: int) -> Json:
    return {field: {relation: value}}


def _seen(version: int) -> list[Json]:
    return [_limit("born", "$lte", version), _limit("died", "$gt", version)]


def _all(conditions: list[Json]) -> Json:
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}
