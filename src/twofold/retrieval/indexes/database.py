"""An index in somebody's database: versions, atomic changes and checks, the same for every database.

A row is never changed in place. A row is *born* at one version and *dies* at a later one; the note ``head`` names the
version that readers see, and a change happens at the moment when that note is written. So a killed writer leaves the
old version, a reader never sees half a change, and older versions stay searchable until `prune`. Where a database has
transactions, a change is a single transaction; elsewhere the next writer reverts an unfinished change.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SecretStr, field_validator

from twofold.errors import ConfigError, IndexMismatch
from twofold.plugins import protocols
from twofold.plugins.results import ErasedChunks
from twofold.retrieval.analysis import ANALYSIS, Language, query_terms, searched_text, terms
from twofold.retrieval.fusion import blend, fetch_size
from twofold.retrieval.indexes.database_rows import NEVER, Row, Rows, ranked
from twofold.types import Chunk, Filter, Hit, IndexState, IndexVersion, Json, sealed

_FORMAT = 2
"""Raised when the stored rows change: an index of another format is refused as a mismatch."""
_HEAD, _LOG, _TAGS, _START = "head", "log", "tags", "start"
_LISTED = 250
"""Versions that stay readable without a tag, at most."""
_LOGIN = re.compile(r"://[^/@]*:[^/@]*@|password\s*=", re.IGNORECASE)


class DatabaseOptions(protocols.Options):
    """The options that all databases share."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Name of this index within the database; projects that share a database need different names."""
    url: str
    """Address of the database."""
    api_key_env: str = ""
    """Environment variable that holds the password or API key; empty for none."""
    timeout: float = Field(default=30.0, gt=0)
    """Longest time for one request, in seconds."""
    language: Language = "english"
    """``english``: stop words dropped and words stemmed; ``none``: words as they stand."""
    keep_days: float = Field(default=7.0, ge=0)
    """Older versions are dropped by `prune`, tagged ones excepted (studies tag theirs)."""

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        if _LOGIN.search(url):
            raise ValueError("leave the password out of the file: name an environment variable in api_key_env")
        return url

    def secret(self) -> SecretStr | None:
        """The password or API key.

        Raises:
            ConfigError: the environment variable is not set.
        """
        if not self.api_key_env:
            return None
        value = os.environ.get(self.api_key_env, "")
        if not value:
            raise ConfigError(
                f"the environment variable {self.api_key_env} (retrieval.index api_key_env) is not set",
                cure=f"Run `export {self.api_key_env}=…`, then the command again.",
            )
        return SecretStr(value)


class DatabaseIndex(ABC):
    """See the module; a plugin for one database adds `Options` and `connect`.

    Args:
        options: The plugin's `DatabaseOptions`.
        directory: Not used: everything is in the database.
        fingerprint: Fingerprint of the embedder that makes the vectors.
        dimension: Length of a vector.

    Raises:
        IndexMismatch: the index of this name has another embedder, dimension or analysis.
        DatabaseUnreachable: the database does not respond at the url.
        DatabaseRefused: the password or key is wrong.
    """

    version: ClassVar[int] = 1

    def __init__(self, options: Any, *, directory: Path, fingerprint: str, dimension: int) -> None:  # noqa: ARG002
        self._options = options
        self._fingerprint = fingerprint
        self._dimension = dimension
        self._last: tuple[int, Counter[tuple[str, str]]] = (-1, Counter())
        self._rows = self.connect(options, dimension)
        settings = {
            "format": _FORMAT,
            "fingerprint": fingerprint,
            "dimension": dimension,
            "language": options.language,
            "analysis": ANALYSIS,
        }
        stored = self._rows.note(_HEAD)
        if stored is None:
            with self._rows.writing() as rows:
                if rows.note(_HEAD) is None:  # once more: another process may have made it meanwhile
                    rows.put_note(_HEAD, {**settings, **_EMPTY, **(rows.note(_START) or {})})
            stored = settings
        for key, value in settings.items():
            if stored.get(key) != value:
                raise IndexMismatch(
                    f"the index was made with {key} {stored.get(key)!r}, and {value!r} is needed now", file=self.place
                )

    @classmethod
    @abstractmethod
    def connect(cls, options: Any, dimension: int) -> Rows:
        """Open the rows of the index named in the options; create them when missing."""

    @classmethod
    def discard(cls, options: Any, *, dimension: int) -> None:
        """Remove the index of this name from the database, whichever embedder made it: a rebuild starts with this.

        The numbers of versions go on, so that a process which reads meanwhile takes no old version for a new one.
        """
        rows = cls.connect(options, dimension)
        head = rows.note(_HEAD)
        rows.discard()
        if head is not None:
            with cls.connect(options, dimension).writing() as rows:
                rows.put_note(_START, {"version": head["version"] + 1})

    @property
    def place(self) -> str:
        """Url and name, for messages."""
        return f"{self._options.url} ({self._options.name})"

    # ------------------------------------------------------------ reading

    def state(self) -> IndexState:
        """The current version, its counts and its digest."""
        with self._rows.reading() as rows:
            version = self._at(rows, None)
            seal_counts = self._seal_counts(rows, version)
        return IndexState(
            version=version,
            chunks=seal_counts.total(),
            documents=len({document for document, _ in seal_counts}),
            content=sealed(seal for _, seal in seal_counts.elements()),
            fingerprint=self._fingerprint,
        )

    def documents(self) -> dict[str, int]:
        """Document id → number of its chunks, by id."""
        with self._rows.reading() as rows:
            seal_counts = self._seal_counts(rows, self._at(rows, None))
        chunk_counts: dict[str, int] = {}
        for (document, _), count in sorted(seal_counts.items()):
            chunk_counts[document] = chunk_counts.get(document, 0) + count
        return chunk_counts

    def contents(self, version: int | None = None) -> dict[str, str]:
        """Document id → digest of its chunks, at a version; None for the newest.

        Raises:
            IndexMismatch: the version no longer exists.
        """
        with self._rows.reading() as rows:
            seal_counts = self._seal_counts(rows, self._at(rows, version))
        seals: dict[str, list[str]] = {}
        for document, seal in seal_counts.elements():
            seals.setdefault(document, []).append(seal)
        return {document: sealed(chunk_seals) for document, chunk_seals in sorted(seals.items())}

    def _seal_counts(self, rows: Rows, version: int) -> Counter[tuple[str, str]]:
        """Document and seal of every chunk; cached for the version that was read last."""
        known, seal_counts = self._last
        if known != version:
            seal_counts = Counter(rows.seals(version))
            self._last = (version, seal_counts)
        return seal_counts

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, in the order of `documents` and then by place."""
        order = {name: place for place, name in enumerate(dict.fromkeys(documents))}
        with self._rows.reading() as rows:
            chunks = [row.chunk for row in rows.live(self._at(rows, None), list(order))]
        return sorted(chunks, key=lambda c: (order[c.span.document], c.ordinal, c.span.start, c.id))

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], NDArray[np.float32]]:
        """All chunks of these documents, and their vectors, shape (chunks, dimension)."""
        with self._rows.reading() as rows:
            live = rows.live(self._at(rows, None), list(dict.fromkeys(documents)))
            vectors = rows.vectors(live) if live else np.zeros((0, self._dimension), dtype=np.float32)
        return [row.chunk for row in live], vectors

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
        places = None if leg == "lexical" else self._checked(vectors, len(texts))
        fetch = fetch_size(k) if leg == "hybrid" else k
        with self._rows.reading() as rows:
            at = self._at(rows, version)
            if places is not None:
                nearest = rows.near(places, fetch, at, which=filter)
                near = [ranked(scored, fetch, "dense") for scored in nearest]
            if leg == "dense":
                return near
            queries = [query_terms(text, self._options.language) for text in texts]
            # a query without terms finds nothing; `Rows.matching` takes none
            numbers = [number for number, query in enumerate(queries) if query]
            matches = rows.matching([queries[number] for number in numbers], fetch, at, which=filter) if numbers else []
        words: list[list[Hit]] = [[] for _ in texts]
        for number, scored in zip(numbers, matches, strict=True):
            words[number] = ranked(scored, fetch, "lexical")
        if leg == "lexical":
            return words
        return [blend(d, w, k) for d, w in zip(near, words, strict=True)]

    def _checked(self, vectors: Any, count: int) -> NDArray[np.float32]:
        places = np.ascontiguousarray(vectors, dtype=np.float32)
        if places.shape != (count, self._dimension):
            raise ValueError(f"the vectors have the shape {places.shape}; expected ({count}, {self._dimension})")
        if not np.isfinite(places).all():
            raise ValueError("the vectors contain infinity or NaN")
        return places

    def _head(self, rows: Rows) -> Json:
        head = rows.note(_HEAD)
        if head is None:
            raise IndexMismatch("another process erased the index", file=self.place, cure="Run `twofold sync`.")
        return head

    def _at(self, rows: Rows, version: int | None) -> int:
        newest = int(self._head(rows)["version"])
        if version is None or version == newest:
            return newest
        if not any(entry["version"] == version for entry in _entries(rows)):
            raise IndexMismatch(
                f"version {version} of the index no longer exists (newest: {newest})",
                file=self.place,
                cure="Choose a version listed by `twofold index log --all`.",
            )
        return version

    # ------------------------------------------------------------ writing

    def upsert(self, chunks: Sequence[Chunk], vectors: Any) -> None:
        """Replace all chunks of every document named in `chunks` by these, in one index version.

        Raises:
            StoreError: the database refuses; the version before stays.
        """
        if not len(chunks):
            return
        places = self._checked(vectors, len(chunks))
        # of chunks with the same id the first counts: reversed, the first one is written last
        first = {chunk.id: number for number, chunk in reversed(list(enumerate(chunks)))}
        numbers = sorted(first.values())
        self._change(
            [chunks[number].span.document for number in numbers],
            [chunks[number] for number in numbers],
            places[numbers],
        )

    def delete(self, documents: Iterable[str]) -> int:
        """Remove documents; returns the number of chunks removed."""
        return self._change(list(documents), [], np.zeros((0, self._dimension), dtype=np.float32))

    def _change(self, documents: Sequence[str], chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> int:
        """Make one version: all rows of `documents` die, `chunks` are born. Return the number of rows that died."""
        with self._rows.writing() as rows:
            head = self._cleared(rows)
            version = head["version"] + 1
            old = rows.live(head["version"], list(dict.fromkeys(documents)))
            if not old and not chunks:
                return 0
            self._commit(rows, head, old, [self._row(chunk, version) for chunk in chunks], vectors)
        known, seal_counts = self._last
        if known == head["version"]:
            # the counts follow the change, so that the next `state` need not read every seal
            now = seal_counts + Counter((chunk.span.document, chunk.seal) for chunk in chunks)
            self._last = (version, now - Counter((row.chunk.span.document, row.chunk.seal) for row in old))
        self._rows.settle(head["chunks"] - len(old) + len(chunks))
        return len(old)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """See `plugins.indexes.Loads.loading`."""
        with self._rows.loading():
            yield
        with self._rows.reading() as rows:
            count = int(self._head(rows)["chunks"])
        self._rows.settle(count)

    def _row(self, chunk: Chunk, version: int) -> Row:
        return Row(key=f"{chunk.id}@{version}", chunk=chunk, born=version, terms=self._terms(chunk))

    def _terms(self, chunk: Chunk) -> tuple[str, ...]:
        return tuple(terms(searched_text(chunk), self._options.language))

    def _commit(
        self, rows: Rows, head: Json, old: Sequence[Row], new: Sequence[Row], vectors: NDArray[np.float32]
    ) -> None:
        version = head["version"] + 1
        if not rows.transactional:  # a writer killed from here on leaves the mark, and `_cleared` reverts its rows
            rows.put_note(_HEAD, {**head, "unfinished": True})
        old = [replace(row, terms=self._terms(row.chunk)) for row in old]
        tokens = head["tokens"] + sum(len(row.terms) for row in new) - sum(len(row.terms) for row in old)
        count = head["chunks"] + len(new) - len(old)
        if new:
            rows.put(new, vectors, max(1.0, tokens / max(1, count)))
        if old:
            rows.end(old, version)
        named = set((rows.note(_TAGS) or {}).values())
        entries = [*_entries(rows), {key: head[key] for key in ("version", "at", "chunks", "tokens")}]
        tagged = [entry for entry in entries[:-_LISTED] if entry["version"] in named]
        rows.put_note(_LOG, {"versions": tagged + entries[-_LISTED:]})
        # last: this one note is the change that readers see
        after = {"version": version, "chunks": count, "tokens": tokens, "at": _now(), "unfinished": False}
        rows.put_note(_HEAD, {**head, **after})

    def _cleared(self, rows: Rows) -> Json:
        """The head, after reverting the unfinished change of a killed writer."""
        head = self._head(rows)
        if head["unfinished"]:
            version = int(head["version"])
            rows.drop(after=version, until=NEVER)
            rows.revive(version)
            head = {**head, "unfinished": False}  # after both: killed in between, they are done again
            rows.put_note(_HEAD, head)
        return head

    # ------------------------------------------------------------ versions

    def tag(self, name: str, version: int | None = None) -> None:
        """Name a version (the newest when None) so that `prune` keeps it; an existing tag moves."""
        with self._rows.writing() as rows:
            self._cleared(rows)
            rows.put_note(_TAGS, {**(rows.note(_TAGS) or {}), name: self._at(rows, version)})

    def tags(self) -> dict[str, int]:
        """Name → version."""
        return {name: int(version) for name, version in (self._rows.note(_TAGS) or {}).items()}

    def log(self) -> list[IndexVersion]:
        """Versions that can still be read, oldest first."""
        with self._rows.reading() as rows:
            head = self._head(rows)
            versions = [*_entries(rows), head]
            tags = rows.note(_TAGS) or {}
        names: dict[int, list[str]] = {}
        for name, version in sorted(tags.items()):
            names.setdefault(version, []).append(name)
        return [
            IndexVersion(
                version=entry["version"],
                at=entry["at"],
                chunks=entry["chunks"],
                tags=tuple(names.get(entry["version"], ())),
            )
            for entry in versions
        ]

    def restore(self, version: int) -> None:
        """Make the content of a version the newest version.

        Raises:
            IndexMismatch: the version no longer exists.
        """
        with self._rows.writing() as rows:
            head = self._cleared(rows)
            self._at(rows, version)
            before = {row.key: row for row in rows.live(version)}
            now = {row.key: row for row in rows.live(head["version"])}
            back = [row for key, row in before.items() if key not in now]
            ended = [row for key, row in now.items() if key not in before]
            vectors = rows.vectors(back) if back else np.zeros((0, self._dimension), dtype=np.float32)
            self._commit(rows, head, ended, [self._row(row.chunk, head["version"] + 1) for row in back], vectors)

    def prune(self, *, keep_days: float | None = None) -> int:
        """Drop versions older than `keep_days` without a tag, and the rows that no remaining version contains.

        Returns:
            The number of dropped versions.
        """
        days = self._options.keep_days if keep_days is None else keep_days
        since = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        with self._rows.writing() as rows:
            head = self._cleared(rows)
            named = set((rows.note(_TAGS) or {}).values())
            entries = _entries(rows)
            # a version is as old as the moment at which the next one took its place
            ends = [entry["at"] for entry in entries[1:]] + [head["at"]]
            aged = zip(entries, ends, strict=True)
            listed = [entry for entry, end in aged if entry["version"] in named or end > since]
            rows.put_note(_LOG, {"versions": listed})
            last = -1  # between two versions that stay, a row that was born and died there is seen by none
            for version in [*(entry["version"] for entry in listed), head["version"]]:
                rows.drop(after=last, until=version)
                last = version
        return len(entries) - len(listed)

    def erase(self, documents: Iterable[str]) -> ErasedChunks:
        """Remove documents from every version: all older versions and all tags go."""
        chunks = self.delete(documents)
        with self._rows.writing() as rows:
            head = self._cleared(rows)
            tags = rows.note(_TAGS) or {}
            versions = len(_entries(rows))
            rows.put_note(_TAGS, {})
            rows.put_note(_LOG, {"versions": []})
            rows.drop(after=-1, until=head["version"])
        self._rows.scrub()
        return {"chunks": chunks, "versions": versions, "tags": tags}


_EMPTY: Json = {"version": 0, "chunks": 0, "tokens": 0, "at": "", "unfinished": False}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _entries(rows: Rows) -> list[Json]:
    """Older versions that can still be read, oldest first."""
    return list((rows.note(_LOG) or {}).get("versions", []))
