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
from urllib.parse import quote

import numpy as np
from pydantic import Field

from twofold.errors import IndexDamaged, IndexMismatch, refused
from twofold.files import writing
from twofold.plugins import protocols
from twofold.plugins.results import ErasedChunks
from twofold.retrieval.analysis import ANALYSIS, Language, query_terms
from twofold.retrieval.fusion import blend, fetch_size
from twofold.retrieval.indexes.lancedb.in_memory import RowsInMemory
from twofold.retrieval.indexes.lancedb.rows import any_of, in_pieces, rows, schema
from twofold.retrieval.indexes.lancedb.view import FTS_INDEX, VECTOR_INDEX, LanceView
from twofold.types import Chunk, Filter, Hit, IndexState, IndexVersion

_LOG = logging.getLogger(__name__)
_TABLE = "chunks"
_META = "index.json"
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
        directory: The directory of the index; created when missing.
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
        """Small edits are compacted once the table has more pieces than this."""
        keep_days: float = Field(default=7.0, ge=0)
        """Older versions are dropped by `prune`, as far back as the oldest tagged one (studies tag theirs)."""

    def __init__(self, options: Options, *, directory: Path, fingerprint: str, dimension: int) -> None:
        import lancedb

        self._options = options
        self._directory = directory
        self._fingerprint = fingerprint
        self._dimension = dimension
        self._lock = RLock()
        self._views: OrderedDict[int, LanceView] = OrderedDict()
        self._check()
        with self._reading():
            # at each read the newest version is looked for: another process may have written it
            self._database = lancedb.connect(str(directory), read_consistency_interval=timedelta(0))
            if _TABLE in self._database.table_names():
                self._table = self._database.open_table(_TABLE)
            else:
                self._table = self._database.create_table(_TABLE, schema=schema(dimension), exist_ok=True)

    def _check(self) -> None:
        path = self._directory / _META
        settings = {
            "format": _FORMAT,
            "fingerprint": self._fingerprint,
            "dimension": self._dimension,
            "language": self._options.language,
            "analysis": ANALYSIS,
        }
        if path.is_file():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise IndexDamaged(
                    f"the index's description is damaged: {_reason(error, self._directory)}", file=path
                ) from error
            if not isinstance(stored, dict):
                raise IndexDamaged("the index's description is damaged: it is no object", file=path)
            for key, value in settings.items():
                if stored.get(key) != value:
                    raise IndexMismatch(
                        f"the index was made with {key} {stored.get(key)!r}, and {value!r} is needed now", file=path
                    )
            return
        # the description is written before the table, so a table without one may hold the vectors of any embedder
        if (self._directory / f"{_TABLE}.lance").exists():
            raise IndexMismatch("the index does not say which embedder made it", file=path)
        with self._writing():
            self._directory.mkdir(parents=True, exist_ok=True)
            writing.write(path, json.dumps(settings, indent=1), shared=True)

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
            number = int(self._table.version) if version is None else version
            if number not in self._views:
                # a separate handle: `checkout` changes the handle that it is called on
                handle = self._database.open_table(_TABLE)
                try:
                    handle.checkout(number)
                except (ValueError, RuntimeError, OSError) as error:
                    if version is None:
                        raise IndexDamaged(
                            f"the index cannot be read: {_reason(error, self._directory)}", file=self._directory
                        ) from error
                    newest = int(self._table.version)
                    raise IndexMismatch(
                        f"version {number} of the index is gone (the newest is {newest})"
                        if 0 < number < newest
                        else f"the index has no version {number} (the newest is {newest})",
                        file=self._directory,
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
        with self._lock:
            # one merge is one commit: a reader never sees a document without its chunks
            merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge = merge.when_not_matched_by_source_delete(any_of("document", names))
            with self._writing():
                merge.execute(table)
                self._tidy()

    def delete(self, documents: Iterable[str]) -> int:
        """Remove documents; returns the number of chunks removed."""
        names = list(dict.fromkeys(documents))
        with self._lock, self._writing():
            before = int(self._table.count_rows())
            for piece in in_pieces(names, 10_000):
                self._table.delete(any_of("document", piece))
            self._tidy()
            return before - int(self._table.count_rows())

    def _tidy(self) -> None:
        """Build indices when the table has grown, fold new rows in, compact small pieces. The content stays."""
        count = int(self._table.count_rows())
        built = {index.name for index in self._table.list_indices()}
        if count > self._options.flat_limit and not {FTS_INDEX, VECTOR_INDEX} <= built:
            self._build()
            return
        fragments = int(self._table.stats()["fragment_stats"]["num_fragments"])
        loose = max((self._unindexed(name) for name in built), default=0)
        if fragments > self._options.max_fragments or loose > max(2000, count // 20):
            self._table.optimize(cleanup_older_than=_NEVER)

    def _build(self) -> None:
        from lancedb.index import FTS, HnswSq

        # the column holds analysed words already: the library must neither cut nor change them
        words = FTS(
            base_tokenizer="whitespace", with_position=False, lower_case=False, stem=False, remove_stop_words=False,
            ascii_folding=False, max_token_length=None,
        )  # fmt: skip
        _LOG.info("building vector and word indices over %d chunks", self._table.count_rows())
        self._table.create_index("terms", config=words, name=FTS_INDEX)
        self._table.create_index("vector", config=HnswSq(distance_type="cosine"), name=VECTOR_INDEX)

    def _unindexed(self, name: str) -> int:
        statistics = self._table.index_stats(name)
        return 0 if statistics is None else int(statistics.num_unindexed_rows)

    # ------------------------------------------------------------ versions

    def tag(self, name: str, version: int | None = None) -> None:
        """Name a version (the newest when None) so that `prune` keeps it; an existing tag moves."""
        with self._lock, self._writing():
            number = int(self._table.version) if version is None else version
            self._view(number)
            tags = self._table.tags
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
        with self._lock, self._writing():
            self._view(version)
            self._table.restore(version)
            self._table.checkout_latest()

    def prune(self, *, keep_days: float | None = None) -> int:
        """Compact, and drop versions older than `keep_days`, as far back as the oldest tagged one.

        LanceDB cannot drop versions on both sides of a tag: everything from the oldest tag on stays. Another process
        that still reads a dropped version fails.
        """
        days = self._options.keep_days if keep_days is None else keep_days
        with self._lock, self._writing():
            self._table.optimize(cleanup_older_than=_NEVER)
            before = self._table.list_versions()
            age = max(timedelta(days=days), timedelta(milliseconds=1))
            tagged = self.tags().values()
            if tagged:
                times = {int(v["version"]): v["timestamp"] for v in before}
                oldest = min(times[version] for version in tagged)
                # a second more, so that the tagged version itself is not of that age yet
                age = max(age, datetime.now(oldest.tzinfo) - oldest + timedelta(seconds=1))
            # handles of versions that are about to go
            self._views.clear()
            self._table.optimize(cleanup_older_than=age)
            return max(0, len(before) - len(self._table.list_versions()))

    def erase(self, documents: Iterable[str]) -> ErasedChunks:
        """Write the table anew without these documents, and drop every older version with its files.

        Deleting alone would leave their text in data files, in the graph and in the word index.
        """
        names = set(documents)
        with self._lock, self._writing():
            before = self._table.list_versions()
            tags = self.tags()
            had = int(self._table.count_rows())
            view = self._view(None)
            remaining = view.rows_without(names)
            removed = had - len(remaining)
            for name in tags:
                self._table.tags.delete(name)
            # handles of versions that are about to go
            self._views.clear()
            self._table = self._database.create_table(_TABLE, data=remaining, schema=remaining.schema, mode="overwrite")
            self._tidy()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # it warns that older versions go, as they should
                # unverified: else files younger than a week stay, and they may hold what is to be forgotten
                self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
            for path in (self._directory / f"{_TABLE}.lance" / "_transactions").glob("*.txn"):
                path.unlink(missing_ok=True)  # conditions of old deletions name documents
            return {"chunks": removed, "versions": len(before), "tags": tags}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise refused(
                f"the index was not changed: {_reason(error, self._directory)}", error, file=self._directory
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            raise IndexDamaged(
                f"the index cannot be read: {_reason(error, self._directory)}", file=self._directory
            ) from error


def _reason(error: Exception, directory: Path) -> str:
    """The library's message, without paths in its own sources and without the index's own place on this machine.

    The place stands in the error's `file`, for whoever runs the command; the message also reaches callers of a server.
    """
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    for place in (str(directory.resolve()), str(directory.absolute())):
        # The library writes it without the first slash as well, and in places quoted as in an address.
        for form in (place, quote(place), place.lstrip("/"), quote(place.lstrip("/"))):
            text = text.replace(form, directory.name)
    return _PLACE.sub("", text)[:300]
