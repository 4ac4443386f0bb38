"""Whether the index holds what it should: a sample of its chunks is cut and embedded again and compared.

A fingerprint says which embedder an index was made by; that half of its vectors are another one's it does not say. A
sample of n chunks misses a fault in a share s of them with probability (1 − s)^n: with 64 chunks, half the index at
one look for certain, a twentieth with probability .04. Embedding is a function, so that there is no false alarm; what
rounds otherwise (bf16, another batch) stays above `ALIKE`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from twofold.errors import IndexMismatch
from twofold.indexing.embedded_text import embedded_text
from twofold.indexing.sync import synced
from twofold.monitoring.readings import in_words, percent, reading, share_of, unwatched_look
from twofold.monitoring.record import Observation, Reading
from twofold.monitoring.served import Watched
from twofold.types import Chunk, Json

SIGNALS = ("index.vectors", "index.chunks")
ALIKE = 0.98
"""Cosine from which two vectors are of one embedder. The largest difference of the runtimes of one model in
`docs/notebook.md` (OpenVINO int8 beside fp32) leaves .9971; another model's vectors are near 0."""
_DOCUMENTS, _CHUNKS = 24, 64
"""Of a look: documents cut again, and chunks embedded again, a quarter of a second of a small model."""


class StoredVectors:
    """Cuts some documents again, embeds some of their chunks again, and compares both with the index.

    Args:
        watched: The project.
    """

    name = "index"

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Compare a sample, another one each hour; see `Monitor.look`."""
        search = self._watched.workspace.search
        if not synced(search.catalogue):
            return unwatched_look(SIGNALS, moment, why="nothing is indexed yet: run `twofold sync`", before=before)
        try:
            names = sorted(search.index.documents())
        except IndexMismatch as error:
            return unwatched_look(SIGNALS, moment, why=in_words(error), before=before)
        if not names:
            return unwatched_look(SIGNALS, moment, why="the index is empty", before=before)
        # By the hour, so that a look that is repeated sees the same, and many looks see the whole index.
        chance = random.Random(int(moment.timestamp()) // 3600)
        some = sorted(chance.sample(names, min(_DOCUMENTS, len(names))))
        chunks, vectors = search.index.vectors_of(some)
        picked = sorted(chance.sample(range(len(chunks)), min(_CHUNKS, len(chunks))))
        return Observation(
            readings=(self._vectors(chunks, vectors, picked, moment), self._cuts(chunks, some, moment)), state={}
        )

    def _vectors(self, chunks: Sequence[Chunk], vectors: Any, picked: Sequence[int], moment: datetime) -> Reading:
        embedder = self._watched.workspace.search.embedder
        again = embedder.embed([embedded_text(chunks[place]) for place in picked])
        # (picked,): rows have length 1, so that a product is a cosine.
        cosines = (vectors[list(picked)] * again).sum(axis=1)
        other = [place for place, cosine in zip(picked, cosines, strict=True) if cosine < ALIKE]
        numbers = share_of(len(other), len(picked))
        if not other:
            why = f"{len(picked)} chunks embedded again: all as the index holds them"
            return reading(SIGNALS[0], moment, state="ok", why=why, baseline=0.0, **numbers)
        why = (
            f"{len(other)} of {len(picked)} chunks ({percent(len(other) / len(picked))}) are in the index with vectors "
            f"that the configured embedder does not make (lowest cosine {float(cosines.min()):.2f})"
        )
        documents = sorted({chunks[place].span.document for place in other})
        detail = {"documents": documents[:20], "lowest": float(cosines.min())}
        return reading(SIGNALS[0], moment, state="alarm", why=why, baseline=0.0, detail=detail, **numbers)

    def _cuts(self, chunks: Sequence[Chunk], names: Sequence[str], moment: datetime) -> Reading:
        search = self._watched.workspace.search
        stored: dict[str, set[str]] = {}
        for chunk in chunks:
            stored.setdefault(chunk.span.document, set()).add(chunk.id)
        documents = search.catalogue.documents.get(names)
        other: list[str] = []
        for document in documents:
            cuts = {chunk.id for chunk in search.chunker.split(document)}
            if cuts != stored.get(document.id):
                other.append(document.id)
        numbers = share_of(len(other), len(documents))
        if not other:
            why = f"{len(documents)} documents cut again: all as the index holds them"
            return reading(SIGNALS[1], moment, state="ok", why=why, baseline=0.0, **numbers)
        why = (
            f"{len(other)} of {len(documents)} documents are cut in the index otherwise than by the configured chunker"
        )
        detail: Mapping[str, Any] = {"documents": other[:20]}
        return reading(SIGNALS[1], moment, state="alarm", why=why, baseline=0.0, detail=detail, **numbers)
