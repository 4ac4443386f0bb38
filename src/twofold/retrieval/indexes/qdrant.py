"""The index in Qdrant: dense vectors and BM25 as sparse vectors, made on the client with the embedded index's analysis.

Two collections per index: ``twofold_NAME`` and, for the notes, ``twofold_NAME_notes``. Qdrant has no transactions; a
change becomes visible with the last note (see `database`). Term weights contain the mean passage length at the time of
writing, the only difference of its BM25 from the embedded index; Qdrant computes the inverse document frequency over
the rows of the searched version.
"""

from __future__ import annotations

import atexit
import json
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from threading import RLock
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from twofold.errors import DatabaseRefused, DatabaseUnreachable, StoreError
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

_LOCAL = "local:"
_SPACE = uuid.UUID("6f1f9f5e-4f0c-4f53-9d1b-7e1c0a2b9d3e")
"""Namespace of the points' ids, which are digests of the rows' keys: Qdrant takes only UUIDs and numbers."""
_EF = 200
"""Candidates of a graph search."""
_PUT, _PAGE = 200, 2000
"""Points of a request that writes, and of one that reads."""
_LOADING = "loading"
"""Name of the note that says what was switched off for a load."""
_THRESHOLD = 10_000
"""Qdrant's own threshold, where a collection states none."""
_FOLDERS: dict[str, Any] = {}
"""Folder → client of the stand-in, which locks its folder: one client for the whole process."""
_OPENING = RLock()


class QdrantIndex(DatabaseIndex):
    """See the module and `DatabaseIndex`."""

    version: ClassVar[int] = 3

    class Options(DatabaseOptions):
        """Options of the index ``qdrant``."""

        url: str = "http://localhost:6333"
        """Address of the server or cluster; ``local:FOLDER`` is the client library's slow stand-in, for trials."""

    @classmethod
    def connect(cls, options: Any, dimension: int) -> Rows:
        """The collections; made when missing."""
        return cast(Rows, _QdrantRows(options, dimension))


class _QdrantRows(VersionedRows):
    def __init__(self, options: Any, dimension: int) -> None:
        self._options = options
        self._name = f"twofold_{options.name}"
        self._notes = f"{self._name}_notes"
        self._local = options.url.startswith(_LOCAL)
        super().__init__()
        self._loading = False
        with self.calling():
            self._client = self._opened()
            self._make(dimension)
        self._unfinished = (self.note(_LOADING) or {}).get("threshold") is not None

    def _opened(self) -> Any:
        from qdrant_client import QdrantClient

        url, secret = self._options.url, self._options.secret()
        if self._local:
            folder = url.removeprefix(_LOCAL)
            with _OPENING:
                if folder not in _FOLDERS:
                    _FOLDERS[folder] = QdrantClient(path=folder, force_disable_check_same_thread=True)
                    atexit.register(_FOLDERS[folder].close)
                return _FOLDERS[folder]
        key = None if secret is None else secret.get_secret_value()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a key over http: the url is the user's to choose
            return QdrantClient(
                url=url, api_key=key, timeout=int(self._options.timeout) or 1, check_compatibility=False
            )

    def _make(self, dimension: int) -> None:
        from qdrant_client import models as m

        if not self._client.collection_exists(self._name):
            self._client.create_collection(
                self._name,
                vectors_config={"dense": m.VectorParams(size=dimension, distance=m.Distance.COSINE)},
                sparse_vectors_config={"words": m.SparseVectorParams(modifier=m.Modifier.IDF)},
            )
        if not self._local:
            kinds = {"born": "integer", "died": "integer"}
            kinds |= dict.fromkeys(("document", "collection", "readers", "facets"), "keyword")
            for field, kind in kinds.items():
                self._client.create_payload_index(self._name, field, field_schema=kind)
        if not self._client.collection_exists(self._notes):
            self._client.create_collection(self._notes, vectors_config={})

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A context that converts the errors of Qdrant's client."""
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        place = self._options.url
        try:
            yield
        except UnexpectedResponse as error:
            reason = f"{error.status_code} {error.content.decode(errors='replace')[:300]}"
            if error.status_code in (401, 403):
                raise DatabaseRefused(f"Qdrant refuses the API key: {reason}", file=place) from error
            raise StoreError(
                f"Qdrant refused the request: {reason}", file=place, cure="Read the server's log."
            ) from error
        except ResponseHandlingException as error:
            raise DatabaseUnreachable(f"Qdrant does not answer: {error}", file=place) from error
        except (OSError, RuntimeError) as error:
            raise StoreError(f"Qdrant: {error}", file=place) from error

    # ------------------------------------------------------------ notes

    def note(self, name: str) -> Json | None:
        """The note of that name."""
        with self.calling():
            points = self._client.retrieve(self._notes, [_id(name)], with_payload=True)
        return cast(Json, json.loads(points[0].payload["body"])) if points else None

    def put_note(self, name: str, body: Json) -> None:
        """Write a note: one point, whole or not at all."""
        from qdrant_client import models as m

        self._client.upsert(
            self._notes, [m.PointStruct(id=_id(name), vector={}, payload={"body": json.dumps(body)})], wait=True
        )

    # ------------------------------------------------------------ rows

    def put(self, rows: Sequence[Row], vectors: NDArray[Any], average: float) -> None:
        """Add rows with their term weights."""
        from qdrant_client import models as m

        points = []
        for row, vector in zip(rows, vectors, strict=True):
            chunk = row.chunk
            payload = {
                "born": row.born, "died": row.died, "document": chunk.span.document, "seal": chunk.seal,
                "collection": chunk.collection, "readers": list(chunk.readers or ()), "facets": facets(chunk),
                "chunk": pack(chunk),
            }  # fmt: skip
            # BM25 without its idf, which Qdrant works out over the rows of the version searched
            norm = K1 * (1 - B + B * len(row.terms) / average)
            words = _sparse({term: n * (K1 + 1) / (n + norm) for term, n in Counter(row.terms).items()})
            points.append(
                m.PointStruct(id=_id(row.key), vector={"dense": vector.tolist(), "words": words}, payload=payload)
            )
        for start in range(0, len(points), _PUT):
            self._client.upsert(self._name, points[start : start + _PUT], wait=True)

    def end(self, rows: Sequence[Row], version: int) -> None:
        """Give these rows ``died = version``."""
        for start in range(0, len(rows), _PAGE):
            keys = [row.key for row in rows[start : start + _PAGE]]
            self._client.set_payload(self._name, {"died": version}, points=keys, wait=True)

    def revive(self, after: int) -> None:
        """Let rows live again that died after `after`."""
        from qdrant_client import models as m

        which = m.Filter(must=[m.FieldCondition(key="died", range=m.Range(gt=after, lt=NEVER))])
        self._client.set_payload(self._name, {"died": NEVER}, points=which, wait=True)

    def drop(self, *, after: int, until: int) -> None:
        """Remove rows for good that were born after `after` and died at `until` or earlier."""
        from qdrant_client import models as m

        conditions = [_range("born", gt=after), _range("died", lte=until)]
        self._client.delete(self._name, m.FilterSelector(filter=m.Filter(must=conditions)), wait=True)

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        """The rows seen at `version`: all, or those of these documents."""
        pieces = [None] if documents is None else [documents[i : i + 500] for i in range(0, len(documents), 500)]
        points: list[Any] = []
        for piece in pieces:
            points += self._scrolled(version, ["chunk", "born", "died"], piece)
        return [
            Row(key=str(p.id), born=p.payload["born"], died=p.payload["died"], chunk=unpack(p.payload["chunk"]))
            for p in points
        ]

    def seals(self, version: int) -> list[tuple[str, str]]:
        """Document and seal of every row seen at `version`."""
        points = self._scrolled(version, ["document", "seal"], None)
        return [(point.payload["document"], point.payload["seal"]) for point in points]

    def _scrolled(self, version: int, fields: list[str], documents: Sequence[str] | None) -> Iterator[Any]:
        from qdrant_client import models as m

        conditions = _seen(version)
        if documents is not None:
            conditions.append(m.FieldCondition(key="document", match=m.MatchAny(any=list(documents))))
        offset = None
        while True:
            page, offset = self._client.scroll(
                self._name, scroll_filter=m.Filter(must=conditions), limit=_PAGE, offset=offset, with_payload=fields
            )
            yield from page
            if offset is None:
                return

    def vectors(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The vectors of these rows, shape (rows, dimension)."""
        # by key, since the points may come in any order
        by_key: dict[str, Any] = {}
        for start in range(0, len(rows), _PUT):
            keys = [row.key for row in rows[start : start + _PUT]]
            for point in self._client.retrieve(self._name, keys, with_payload=False, with_vectors=["dense"]):
                by_key[str(point.id)] = point.vector["dense"]
        return np.array([by_key[row.key] for row in rows], dtype=np.float32)

    def near(self, vectors: NDArray[Any], k: int, version: int, *, which: Filter | None) -> list[list[Scored]]:
        """Nearest rows by cosine."""
        from qdrant_client import models as m

        # the stand-in compares everything
        params = None if self._local else m.SearchParams(hnsw_ef=max(_EF, 2 * k))
        return self._queried("dense", [vector.tolist() for vector in vectors], k, (version, which), params)

    def matching(
        self, queries: Sequence[Sequence[str]], k: int, version: int, *, which: Filter | None
    ) -> list[list[Scored]]:
        """Best rows by BM25."""
        from qdrant_client import models as m

        corpus = m.Filter(must=_seen(version))
        # over the rows of this version, not all that are stored
        params = m.SearchParams(idf=m.IdfCorpusParams(corpus=corpus))
        matches = self._queried("words", [_sparse(Counter(query)) for query in queries], k, (version, which), params)
        return [_matching(scored) for scored in matches]

    def _queried(
        self, leg: str, queries: Sequence[Any], k: int, seen: tuple[int, Filter | None], params: Any
    ) -> list[list[Scored]]:
        from qdrant_client import models as m

        conditions = _seen(seen[0])
        for field, values in required(seen[1]):
            if not values:
                return [[] for _ in queries]
            conditions.append(m.FieldCondition(key=field, match=m.MatchAny(any=values)))
        never = {"document": unwanted(seen[1]), "facets": barred(seen[1])}
        allowed = m.Filter(
            must=conditions,
            must_not=[m.FieldCondition(key=key, match=m.MatchAny(any=some)) for key, some in never.items() if some],
        )
        requests = [
            m.QueryRequest(query=query, using=leg, limit=k, filter=allowed, params=params, with_payload=["chunk"])
            for query in queries
        ]
        answers = self._client.query_batch_points(self._name, requests)
        return [_scored(answer.points) for answer in answers]

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Qdrant builds no graph meanwhile, which would be thrown away as segments are merged, and then one of all."""
        before = self._threshold()
        # Noted first: after a kill the next change sets it back.
        self.put_note(_LOADING, {"threshold": before})
        self._set_threshold(0)
        self._loading = True
        try:
            yield
        finally:
            self._loading = False
            self._end_load()

    def settle(self, chunks: int) -> None:  # noqa: ARG002
        """Qdrant builds its graph by itself, unless a load that was killed has left it switched off."""
        if not self._loading and self._unfinished:
            self._end_load()

    def _end_load(self) -> None:
        note = self.note(_LOADING)
        self._unfinished = False
        if note is None or note["threshold"] is None:
            return
        self._set_threshold(int(note["threshold"]))
        self.put_note(_LOADING, {"threshold": None})

    def _threshold(self) -> int:
        """Kilobytes of vectors of a segment from which Qdrant builds a graph, as set before any load."""
        note = self.note(_LOADING)
        if note is not None and note["threshold"] is not None:
            return int(note["threshold"])
        with self.calling():
            stored = self._client.get_collection(self._name).config.optimizer_config
        return int(stored.indexing_threshold or _THRESHOLD)

    def _set_threshold(self, kilobytes: int) -> None:
        from qdrant_client import models as m

        with self.calling():
            self._client.update_collection(
                self._name, optimizers_config=m.OptimizersConfigDiff(indexing_threshold=kilobytes)
            )

    def scrub(self) -> None:
        """Qdrant's optimiser rewrites segments by itself once enough of them is deleted."""

    def discard(self) -> None:
        """Drop both collections."""
        with self.calling():
            self._client.delete_collection(self._name)
            self._client.delete_collection(self._notes)


def _scored(points: Sequence[Any]) -> list[Scored]:
    return [(unpack(point.payload["chunk"]), float(point.score)) for point in points]


def _matching(scored: Sequence[Scored]) -> list[Scored]:
    """The rows with a positive score: a row with 0 has no term in common with the query."""
    return [(chunk, score) for chunk, score in scored if score > 0]


def _id(name: str) -> str:
    return str(uuid.uuid5(_SPACE, name))


def _sparse(terms: Mapping[str, float]) -> Any:
    """Weighted terms as a sparse vector: a term's number is a digest of 32 bits."""
    from qdrant_client import models as m

    weights: dict[int, float] = {}
    for term, weight in terms.items():
        number = int.from_bytes(blake2b(term.encode(), digest_size=4).digest(), "big")
        # two terms may share a number, and a sparse vector has each number once
        weights[number] = weights.get(number, 0.0) + weight
    return m.SparseVector(indices=list(weights), values=list(weights.values()))


def _range(field: str, **limits: int) -> Any:
    from qdrant_client import models as m

    return m.FieldCondition(key=field, range=m.Range(**{name: float(limit) for name, limit in limits.items()}))


def _seen(version: int) -> list[Any]:
    return [_range("born", lte=version), _range("died", gt=version)]
