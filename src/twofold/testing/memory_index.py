"""An index that is gone with the process: exact, short, versioned by copy; the reference for other indexes' tests.

Opened twice on one directory in one process, it is the same index; the directory holds only the embedder's name.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from twofold.errors import IndexMismatch
from twofold.plugins import protocols
from twofold.plugins.results import ErasedChunks
from twofold.retrieval.analysis import Language, query_terms, searched_text, terms
from twofold.retrieval.bm25 import K1, B
from twofold.retrieval.fusion import blend, fetch_size
from twofold.types import Chunk, Filter, Hit, IndexState, IndexVersion, sealed

_Content = dict[str, tuple[Chunk, NDArray[np.float32]]]


@dataclass(slots=True)
class _Versions:
    all: list[_Content | None] = field(default_factory=lambda: [{}])


# By the token in the marker file: a directory that is deleted and made again is another index.
_OPEN: dict[str, _Versions] = {}


class MemoryIndex:
    """See the module.

    Args:
        options: See `Options`.
        directory: Its place (for a marker file only).
        fingerprint: Of the embedder whose vectors it holds.
        dimension: Length of a vector.

    Raises:
        IndexMismatch: the directory was opened with another embedder.
    """

    version: ClassVar[int] = 3

    class Options(protocols.Options):
        """Options of the index ``memory``."""

        language: Language = "english"
        """``english``: stop words dropped and words stemmed; ``none``: words as they stand."""

    def __init__(self, options: Options, *, directory: Path, fingerprint: str, dimension: int) -> None:
        self._options = options
        self._fingerprint = fingerprint
        self._dimension = dimension
        marker = directory / "memory.json"
        if not marker.is_file():
            directory.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps({"fingerprint": fingerprint, "token": uuid.uuid4().hex}), encoding="utf-8")
        marked = json.loads(marker.read_text(encoding="utf-8"))
        if marked["fingerprint"] != fingerprint:
            raise IndexMismatch(
                f"the index was made with fingerprint {marked['fingerprint']!r}, and {fingerprint!r} is needed now",
                file=marker,
            )
        self.tags: dict[str, int] = {}
        self._versions = _OPEN.setdefault(marked["token"], _Versions())

    def state(self) -> IndexState:
        """Counts and digest of the newest version."""
        pairs = self._at(None)
        return IndexState(
            version=len(self._versions.all),
            chunks=len(pairs),
            documents=len(self.documents()),
            content=sealed(chunk.seal for chunk, _ in pairs.values()),
            fingerprint=self._fingerprint,
        )

    def upsert(self, chunks: Sequence[Chunk], vectors: Any) -> None:
        """Replace all chunks of every document named in `chunks` by these, in one index version."""
        if not len(chunks):
            return
        named = {chunk.span.document for chunk in chunks}
        new = {n: pair for n, pair in self._at(None).items() if pair[0].span.document not in named}
        for chunk, vector in zip(chunks, np.asarray(vectors, dtype=np.float32), strict=True):
            # A copy: the caller may fill its array anew.
            new.setdefault(chunk.id, (chunk, vector.copy()))
        self._versions.all.append(new)

    def delete(self, documents: Iterable[str]) -> int:
        """Remove documents; returns the number of chunks removed."""
        deleted = set(documents)
        pairs = self._at(None)
        new = {n: pair for n, pair in pairs.items() if pair[0].span.document not in deleted}
        if len(new) != len(pairs):
            self._versions.all.append(new)
        return len(pairs) - len(new)

    def tag(self, name: str) -> None:
        """Note the present version under a name, so that `prune` keeps it."""
        self.tags[name] = self.state().version

    def documents(self) -> dict[str, int]:
        """Document id → number of its chunks."""
        return dict(sorted(Counter(chunk.span.document for chunk, _ in self._at(None).values()).items()))

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, in the order given and then by place."""
        order = {name: place for place, name in enumerate(dict.fromkeys(documents))}
        chunks = [chunk for chunk, _ in self._at(None).values() if chunk.span.document in order]
        return sorted(chunks, key=lambda c: (order[c.span.document], c.ordinal, c.span.start, c.id))

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], Any]:
        """All chunks of these documents, and their vectors, shape (chunks, dimension)."""
        chunks = self.chunks_of(documents)
        pairs = self._at(None)
        return chunks, np.array([pairs[c.id][1] for c in chunks], dtype=np.float32).reshape(-1, self._dimension)

    def contents(self, version: int | None = None) -> dict[str, str]:
        """Document id → digest of its chunks, at that version."""
        seals: dict[str, list[str]] = {}
        for chunk, _ in self._at(version).values():
            seals.setdefault(chunk.span.document, []).append(chunk.seal)
        return {name: sealed(own) for name, own in sorted(seals.items())}

    def log(self) -> list[IndexVersion]:
        """Versions that can still be read, oldest first; when they were made is not kept."""
        entries = []
        for number, pairs in enumerate(self._versions.all, 1):
            if pairs is None:
                continue
            tags = sorted(name for name, version in self.tags.items() if version == number)
            entries.append(IndexVersion(version=number, at="", chunks=len(pairs), tags=tuple(tags)))
        return entries

    def restore(self, version: int) -> None:
        """Make what that version held the newest version."""
        self._versions.all.append(dict(self._at(version)))

    def prune(self, *, keep_days: float | None = None) -> int:
        """Drop every version but the newest and the tagged ones when `keep_days` is 0, else none."""
        if keep_days != 0:
            return 0
        every = self._versions.all
        retained = {len(self._versions.all), *self.tags.values()}
        dropped = [n for n, held in enumerate(every, 1) if held is not None and n not in retained]
        for number in dropped:
            # The place stays, so that numbers of later versions do not move.
            every[number - 1] = None
        return len(dropped)

    def erase(self, documents: Iterable[str]) -> ErasedChunks:
        """Remove documents, and every older version with all tags."""
        deleted = set(documents)
        pairs = self._at(None)
        new = {n: pair for n, pair in pairs.items() if pair[0].span.document not in deleted}
        lost: ErasedChunks = {
            "chunks": len(pairs) - len(new),
            "versions": len(self.log()),
            "tags": dict(self.tags),
        }
        self._versions.all[:] = [None] * len(self._versions.all)
        self._versions.all.append(new)
        self.tags.clear()
        return lost

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
        """Top `k` per query; see the `Index` protocol.

        Raises:
            IndexMismatch: there is no such version.
        """
        pairs = self._at(version)
        if filter is not None:
            pairs = {name: pair for name, pair in pairs.items() if filter.allows(pair[0])}
        if leg == "lexical":
            return [self._lexical(pairs, text, k) for text in texts]
        if leg == "dense":
            return [self._dense(pairs, vector, k) for vector in vectors]
        if leg != "hybrid":
            raise ValueError(f"unknown search mode {leg!r}; expected dense, lexical or hybrid")
        fetch = fetch_size(k)
        hit_lists: list[list[Hit]] = []
        for text, vector in zip(texts, vectors, strict=True):
            hit_lists.append(blend(self._dense(pairs, vector, fetch), self._lexical(pairs, text, fetch), k))
        return hit_lists

    def _at(self, version: int | None) -> _Content:
        every = self._versions.all
        number = len(every) if version is None else version
        pairs = every[number - 1] if 1 <= number <= len(every) else None
        if pairs is None:
            raise IndexMismatch(f"there is no version {version} of the index")
        return pairs

    def _dense(self, pairs: _Content, vector: NDArray[np.float32], k: int) -> list[Hit]:
        return _top({name: float(own @ vector) for name, (_, own) in pairs.items()}, pairs, k, "dense")

    def _lexical(self, pairs: _Content, text: str, k: int) -> list[Hit]:
        counts = {n: _counted(searched_text(c), self._options.language) for n, (c, _) in pairs.items()}
        mean = sum(count.total() for count in counts.values()) / max(1, len(counts))
        scores: dict[str, float] = dict.fromkeys(sorted(pairs), 0.0)
        for term in query_terms(text, self._options.language):
            having = [name for name, count in counts.items() if term in count]
            # BM25 as in `retrieval.bm25`, document by document.
            idf = math.log1p((len(counts) - len(having) + 0.5) / (len(having) + 0.5))
            for name in having:
                often = counts[name][term]
                norm = K1 * (1 - B + B * counts[name].total() / mean)
                scores[name] += idf * often * (K1 + 1) / (often + norm)
        return _top({name: score for name, score in scores.items() if score > 0}, pairs, k, "lexical")


@lru_cache(maxsize=4096)
def _counted(text: str, language: Language) -> Counter[str]:
    """How often a text has each of its terms; a suite asks the same few hundred passages thousands of times."""
    return Counter(terms(text, language))


def _top(scores: dict[str, float], pairs: _Content, k: int, leg: str) -> list[Hit]:
    # Rounded, so that ties are ties whatever the order of additions; the id breaks them.
    best = sorted(scores, key=lambda name: (-round(scores[name], 4), name))[:k]
    hits: list[Hit] = []
    for rank, best_name in enumerate(best, 1):
        hits.append(Hit(chunk=pairs[best_name][0], score=scores[best_name], rank=rank, legs={leg: rank}))
    return hits
