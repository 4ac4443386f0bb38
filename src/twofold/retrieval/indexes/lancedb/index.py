"""The living index on LanceDB: one directory, versioned, read by many processes while one writes.

A change is one commit of the table: a reader sees all of it or none, and a killed writer leaves the previous version.
Up to `flat_limit` chunks, each process that searches has them in memory, so that the same content gives the same hits
whatever its history, and a change costs reading the changed rows (`in_memory`). Above, an HNSW graph with scalar
quantisation and an inverted index take over, built on upsert.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from twofold.errors import IndexDamaged, IndexMismatch, refused
from twofold.files.remote import RemoteFolder
from twofold.plugins import protocols
from twofold.plugins.pieces import Workers
from twofold.plugins.results import ErasedChunks
from twofold.retrieval.analysis import ANALYSIS, Language, query_terms
from twofold.retrieval.fusion import blend, fetch_size
from twofold.retrieval.indexes.lancedb import parts
from twofold.retrieval.indexes.lancedb.fragments import Fragments, files_of
from twofold.retrieval.indexes.lancedb.in_memory import RowsInMemory
from twofold.retrieval.indexes.lancedb.joining import scattered
from twofold.retrieval.indexes.lancedb.places import TABLE, IndexPlace, RemotePlace, place_of
from twofold.retrieval.indexes.lancedb.rows import any_of, in_pieces, rows, schema
from twofold.retrieval.indexes.lancedb.view import FTS_INDEX, VECTOR_INDEX, LanceView
from twofold.types import Chunk, Filter, Hit, IndexState, IndexVersion

_LOG = logging.getLogger(__name__)
_FORMAT = 4
"""Raised when the table's columns change: an index of another format is refused as a mismatch."""
_VIEWS = 3
"""Versions open at a time; their common rows are in memory once."""
_NEVER = timedelta(days=365_000)
"""An age that no version reaches: compacting drops no version, only `prune` does."""
_PLACE = re.compile(r",? ?(?<![^\s,])[^\s,]{1,200}\.rs:\d+(?::\d+)?")
"""A path in the library's Rust sources, which error messages quote."""


class LanceIndex:
    """See the module. Safe to use from several threads; one process should write at a time.

    Args:
        options: See `Options`.
        directory: The directory of the index, created when missing, or a folder in an object store.
        fingerprint: Fingerprint of the embedder that makes the vectors.
        dimension: Length of a vector.

    Raises:
        IndexMismatch: the index in the directory has another embedder, dimension or analysis.
    """

    version: ClassVar[int] = 4

    class Options(protocols.Options):
        """Options of the index ``lancedb``."""

        language: Language = "english"
        """``english``: stop words dropped and words stemmed; ``none``: words as they stand."""
        flat_limit: int = Field(default=200_000, ge=0)
        """Up to this many chunks are held in memory and searched there (5 to 8 KB each at 384 numbers a vector)."""
        max_fragments: int = Field(default=32, ge=2)
        """Small edits are compacted once there are more pieces than this; a large table waits until it has grown."""
        keep_days: float = Field(default=7.0, ge=0)
        """Older versions are dropped by `prune`, as far back as the oldest tagged one (studies tag theirs)."""

    def __init__(self, options: Options, *, directory: Path | RemoteFolder, fingerprint: str, dimension: int) -> None:
        self._options = options
        self._place = place_of(directory)
        self._fingerprint = fingerprint
        self._dimension = dimension
        self._lock = RLock()
        self._table: Any = None
        self._written: Any = None
        self._views: OrderedDict[int, LanceView] = OrderedDict()
        self._settings = {
            "format": _FORMAT,
            "fingerprint": fingerprint,
            "dimension": dimension,
            "language": options.language,
            "analysis": ANALYSIS,
        }
        name = self._check()
        with self._reading():
            self._database = self._place.connected(follows=True)
            # Apart from the one that follows: a change starts from a version that is known (`IndexPlace.writing`).
            self._writers = self._place.connected(follows=False) if self._place.shared else self._database
            there = name in self._database.table_names()
            if not there and self._place.shared:
                try:
                    self._writers.create_table(name, schema=schema(dimension), exist_ok=True)
                except (OSError, RuntimeError, ValueError):
                    if name not in self._database.table_names():  # another process was not faster
                        raise
                there = True
        with self._reading():
            self._open(name, there=there)

    @classmethod
    def fence(cls, folder: RemoteFolder) -> None:
        """See `plugins.indexes.Remote.fence`."""
        RemotePlace(folder).fence()

    def _open(self, name: str, *, there: bool = True) -> None:
        self._name = name
        if there:
            self._table = self._database.open_table(name)
        else:
            self._table = self._database.create_table(name, schema=schema(self._dimension), exist_ok=True)
        self._written = self._writers.open_table(name) if self._place.shared else self._table
        self._views.clear()

    def _check(self) -> str:
        """Compare the description with what is needed, or write it; returns the table's name."""
        if (name := self._described()) is not None:
            return name
        # the description is written before the table, so a table without one may hold the vectors of any embedder
        if self._place.has_table():
            raise IndexMismatch("the index does not say which embedder made it", file=self._place.description)
        name = self._place.new_table()
        described = {**self._settings, **({"table": name} if self._place.shared else {})}
        # No lease is needed: of several that make an index, the store lets one write its description.
        with self._changing():
            self._place.write(json.dumps(described, indent=1))
        # Where many may write it, the first one's counts.
        return (self._described() if self._place.shared else None) or name

    def _described(self) -> str | None:
        """The table's name, once the description was compared with what is needed; None without a description."""
        path = self._place.description
        try:
            text = self._place.read()
            stored = None if text is None else json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise IndexDamaged(
                f"the index's description is damaged: {_reason(error, self._place)}", file=path
            ) from error
        if stored is None:
            return None
        if not isinstance(stored, dict):
            raise IndexDamaged("the index's description is damaged: it is no object", file=path)
        for key, value in self._settings.items():
            if stored.get(key) != value:
                raise IndexMismatch(
                    f"the index was made with {key} {stored.get(key)!r}, and {value!r} is needed now", file=path
                )
        return str(stored.get("table", TABLE))

    def _newest(self) -> int:
        """Number of the newest version; follows to the table of an index that was made anew elsewhere."""
        try:
            return int(self._table.version)
        except (ValueError, RuntimeError, OSError):
            # Read only: whoever clears an index to make it anew must not find a reader's description in its place.
            if not self._place.shared or (name := self._described()) in (None, self._name):
                raise
            self._open(str(name))
            return int(self._table.version)

    # ------------------------------------------------------------ reading

    def state(self) -> IndexState:
        """The current version, its counts and its digest."""
        with self._reading():
            return self._view(None).state(self._fingerprint)

    def documents(self) -> dict[str, int]:
        """Document id → number of its chunks."""
        with self._reading():
            return self._view(None).documents()

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, in the order of `documents` and then by place."""
        with self._reading():
            return self._view(None).chunks_of(documents)

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], Any]:
        """All chunks of these documents, and their vectors, shape (chunks, dimension)."""
        with self._reading():
            return self._view(None).vectors_of(documents)

    def contents(self, version: int | None = None) -> dict[str, str]:
        """Document id → digest of its chunks, at a version; None for the newest.

        Raises:
            IndexMismatch: the version no longer exists.
        """
        with self._reading():
            return self._view(version).contents()

    def search(
        self,
        texts: Sequence[str],
        vectors: Any,
        k: int,
        *,
        leg: str = "hybrid",
        version: int | None = None,
        filter: Filter | None = None,
    ) -> list[list[Hit]]:
        """Top `k` per query.

        Args:
            texts: The queries; any text is a query, no character is syntax.
            vectors: Their unit vectors, shape (queries, dimension); not used by the lexical leg (may be None).
            k: Hits per query.
            leg: ``dense``, ``lexical``, or ``hybrid`` (both, their scores blended).
            version: An older version to read; None for the newest.
            filter: Filter on the chunks that may be found.

        Raises:
            IndexMismatch: `version` no longer exists.
        """
        if leg not in ("dense", "lexical", "hybrid"):
            raise ValueError(f"unknown search mode {leg!r}; expected dense, lexical or hybrid")
        if not len(texts) or k < 1:
            return [[] for _ in texts]
        with self._reading():
            view = self._view(version)
            if not view.count:
                return [[] for _ in texts]
        fetch = fetch_size(k) if leg == "hybrid" else k
        queries = [] if leg == "dense" else [query_terms(text, self._options.language) for text in texts]
        places: Any = None if leg == "lexical" else self._checked(vectors, len(texts))
        with self._reading():
            if leg == "lexical":
                return view.lexical(queries, k, filter)
            if leg == "dense":
                return view.dense(places, k, filter)
            near = view.dense(places, fetch, filter)
            words = view.lexical(queries, fetch, filter)
        return [blend(d, w, k) for d, w in zip(near, words, strict=True)]

    def _checked(self, vectors: Any, count: int) -> Any:
        places = np.ascontiguousarray(vectors, dtype=np.float32)
        if places.shape != (count, self._dimension):
            raise ValueError(f"the vectors have the shape {places.shape}; expected ({count}, {self._dimension})")
        if not np.isfinite(places).all():
            raise ValueError("the vectors contain infinity or NaN")
        return places

    def _view(self, version: int | None) -> LanceView:
        with self._lock:
            number = self._newest() if version is None else version
            if number not in self._views:
                # a separate handle: `checkout` changes the handle that it is called on
                handle = self._database.open_table(self._name)
                try:
                    handle.checkout(number)
                except (ValueError, RuntimeError, OSError) as error:
                    if explained := self._place.explained(error):
                        raise explained from error
                    if version is None:
                        raise IndexDamaged(
                            f"the index cannot be read: {_reason(error, self._place)}", file=self._place.file
                        ) from error
                    newest = int(self._table.version)
                    raise IndexMismatch(
                        f"version {number} of the index is gone (the newest is {newest})"
                        if 0 < number < newest
                        else f"the index has no version {number} (the newest is {newest})",
                        file=self._place.file,
                        cure="Choose a version listed by `twofold index log --all`.",
                    ) from error
                self._views[number] = LanceView(handle, number, limit=self._options.flat_limit, before=self._last_rows)
                while len(self._views) > _VIEWS:
                    self._views.popitem(last=False)
            self._views.move_to_end(number)
            return self._views[number]

    def _last_rows(self) -> RowsInMemory | None:
        """The rows in memory of the version that was read last; None if there are none."""
        loaded = [view.rows_in_memory for view in self._views.values() if view.rows_in_memory is not None]
        return loaded[-1] if loaded else None

    # ------------------------------------------------------------ writing

    def upsert(self, chunks: Sequence[Chunk], vectors: Any) -> None:
        """Replace all chunks of every document named in `chunks` by these, in one index version.

        Raises:
            StoreError: the disk refuses; the previous version stays.
        """
        places = self._checked(vectors, len(chunks)) if len(chunks) else None
        if places is None:
            return
        # of chunks with the same id the first counts: reversed, the first one is written last
        first = {chunk.id: row for row, chunk in reversed(list(enumerate(chunks)))}
        row_numbers = sorted(first.values())
        distinct_chunks = [chunks[row] for row in row_numbers]
        table = rows(distinct_chunks, places[row_numbers], self._options.language)
        names = list(dict.fromkeys(chunk.span.document for chunk in distinct_chunks))
        with self._lock, self._writing():
            # one merge is one commit: a reader never sees a document without its chunks
            merge = self._written.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge = merge.when_not_matched_by_source_delete(any_of("document", names))
            merge.execute(table)
            self._tidy()

    def pieces(self) -> Fragments:
        """See `plugins.pieces.Assembles.pieces`."""
        place, settings = self._place.table(self._name)
        return Fragments(place=place, settings=settings, language=self._options.language)

    def assemble(self, pieces: Sequence[str], workers: Workers | None = None) -> None:
        """See `plugins.pieces.Assembles.assemble`."""
        with self._lock, self._writing():
            # A commit takes the names on trust, and an index that names a file that is gone cannot be read.
            if not self._place.has_files(self._name, files_of(pieces)):
                raise ValueError("files of its pieces are gone")
            if pieces:
                self.pieces().commit(pieces, int(self._written.version))
                self._written.checkout_latest()
            self._tidy(workers)

    def delete(self, documents: Iterable[str]) -> int:
        """Remove documents; returns the number of chunks removed."""
        names = list(dict.fromkeys(documents))
        with self._lock, self._writing():
            before = int(self._written.count_rows())
            for piece in in_pieces(names, 10_000):
                self._written.delete(any_of("document", piece))
            self._tidy()
            return before - int(self._written.count_rows())

    def _tidy(self, workers: Workers | None = None) -> None:
        """Build indices when the table has grown, fold new rows in, compact small pieces. The content stays."""
        count = int(self._written.count_rows())
        built = {index.name for index in self._written.list_indices()}
        if count > self._options.flat_limit and not {FTS_INDEX, VECTOR_INDEX} <= built:
            self._build(workers)
            return
        pieces = self._written.stats()["fragment_stats"]
        loose = max((self._unindexed(name) for name in built), default=0)
        if scattered(pieces, count, limit=self._options.max_fragments) or loose > max(2000, count // 20):
            self._written.optimize(cleanup_older_than=_NEVER)

    def _build(self, workers: Workers | None) -> None:
        from lancedb.index import FTS, HnswSq

        _LOG.info("building vector and word indices over %d chunks", self._written.count_rows())
        if workers is not None:
            place, settings = self._place.table(self._name)
            work = parts.PartWork(place=place, settings=settings, version=int(self._written.version))
            if parts.build(work, workers):
                self._written.checkout_latest()
                return
        self._written.create_index("terms", config=FTS(**parts.WORDS), name=FTS_INDEX)
        self._written.create_index("vector", config=HnswSq(distance_type="cosine", **parts.GRAPH), name=VECTOR_INDEX)

    def _unindexed(self, name: str) -> int:
        statistics = self._written.index_stats(name)
        return 0 if statistics is None else int(statistics.num_unindexed_rows)

    # ------------------------------------------------------------ versions

    def tag(self, name: str, version: int | None = None) -> None:
        """Name a version (the newest when None) so that `prune` keeps it; an existing tag moves."""
        with self._lock, self._writing():
            number = int(self._written.version) if version is None else version
            self._view(number)
            tags = self._written.tags
            (tags.update if name in tags.list() else tags.create)(name, number)

    def tags(self) -> dict[str, int]:
        """Name → version."""
        with self._lock, self._reading():
            return {name: int(entry["version"]) for name, entry in self._table.tags.list().items()}

    def log(self) -> list[IndexVersion]:
        """Versions that can still be read, oldest first."""
        with self._lock, self._reading():
            names: dict[int, list[str]] = {}
            for name, number in sorted(self.tags().items()):
                names.setdefault(number, []).append(name)
            versions = sorted(self._table.list_versions(), key=lambda entry: int(entry["version"]))
        return [
            IndexVersion(
                version=int(entry["version"]),
                at=entry["timestamp"].astimezone(UTC).isoformat(timespec="seconds"),
                chunks=int(entry["metadata"].get("total_rows", 0)),
                tags=tuple(names.get(int(entry["version"]), ())),
            )
            for entry in versions
        ]

    def restore(self, version: int) -> None:
        """Make the content of a version the newest version.

        Raises:
            IndexMismatch: the version no longer exists.
            StoreError: the disk refuses.
        """
        with self._lock, self._writing(final=True):
            self._view(version)
            self._written.restore(version)
            self._written.checkout_latest()

    def prune(self, *, keep_days: float | None = None) -> int:
        """Compact, and drop versions older than `keep_days`, as far back as the oldest tagged one.

        LanceDB cannot drop versions on both sides of a tag: everything from the oldest tag on stays. Another process
        that still reads a dropped version fails.
        """
        days = self._options.keep_days if keep_days is None else keep_days
        with self._lock, self._writing():
            self._written.optimize(cleanup_older_than=_NEVER)
            before = self._written.list_versions()
            age = max(timedelta(days=days), timedelta(milliseconds=1))
            tagged = self.tags().values()
            if tagged:
                times = {int(v["version"]): v["timestamp"] for v in before}
                oldest = min(times[version] for version in tagged)
                # a second more, so that the tagged version itself is not of that age yet
                age = max(age, datetime.now(oldest.tzinfo) - oldest + timedelta(seconds=1))
            # handles of versions that are about to go
            self._views.clear()
            self._written.optimize(cleanup_older_than=age)
            return max(0, len(before) - len(self._written.list_versions()))

    def erase(self, documents: Iterable[str]) -> ErasedChunks:
        """Write the table anew without these documents, and drop every older version with its files.

        Deleting alone would leave their text in data files, in the graph and in the word index.
        """
        names = set(documents)
        with self._lock, self._writing(final=True):
            before = self._written.list_versions()
            tags = self.tags()
            had = int(self._written.count_rows())
            view = self._view(None)
            remaining = view.rows_without(names)
            removed = had - len(remaining)
            for name in tags:
                self._written.tags.delete(name)
            # handles of versions that are about to go
            self._views.clear()
            self._written = self._writers.create_table(
                self._name, data=remaining, schema=remaining.schema, mode="overwrite"
            )
            self._table = self._database.open_table(self._name) if self._place.shared else self._written
            self._tidy()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # it warns that older versions go, as they should
                # unverified: else files younger than a week stay, and they may hold what is to be forgotten
                self._written.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
            self._place.forget_transactions()  # conditions of old deletions name documents
            return {"chunks": removed, "versions": len(before), "tags": tags}

    @contextmanager
    def _writing(self, *, final: bool = False) -> Iterator[None]:
        with self._changing(), self._place.writing(self._refresh, final=final):
            yield
            self._refresh(after=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            if explained := self._place.explained(error):
                raise explained from error
            raise refused(
                f"the index was not changed: {_reason(error, self._place)}", error, file=self._place.file
            ) from error

    def _refresh(self, *, after: bool = False) -> None:
        """Where many machines write, take the newest version: to change it, and to read what was changed."""
        if self._place.shared and self._written is not None:
            (self._table if after else self._written).checkout_latest()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            if explained := self._place.explained(error):
                raise explained from error
            raise IndexDamaged(
                f"the index cannot be read: {_reason(error, self._place)}", file=self._place.file
            ) from error


def _reason(error: Exception, place: IndexPlace) -> str:
    """The library's message, without paths in its own sources and without the index's own place on this machine.

    The place stands in the error's `file`, for whoever runs the command; the message also reaches callers of a server.
    """
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return _PLACE.sub("", place.without_place(text))[:300]
