"""The same passages and vectors: every database finds what the embedded index finds, within its tolerance."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Database

from data_sets import folder
from twofold.plugins import loading
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Filter, Span

K = 10
LEAST = {
    "pgvector": {"dense": 1.0, "lexical": 1.0, "hybrid": 1.0},
    "qdrant": {"dense": 0.99, "lexical": 0.93, "hybrid": 0.95},
    "chroma": {"dense": 0.98, "lexical": 1.0, "hybrid": 0.98},
    "weaviate": {"dense": 0.99, "lexical": 0.99, "hybrid": 0.99},
    "pinecone": {"dense": 0.99, "lexical": 1.0, "hybrid": 0.99},
}
"""Mean share of the embedded index's top 10 that a database must find; Qdrant's word weights know the mean passage
length of the moment they were written only."""


def _lines(path: Path) -> list[Any]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _chunk(collection: str, number: int, record: Any) -> Chunk:
    text = record["text"][:1200]
    name = f"{collection}/{record['id']}"
    return Chunk(
        id=f"chunk:{name}", span=Span(document=name, start=0, end=len(text)), text=text, title=record.get("title", ""),
        collection=collection, readers=("ann",) if number % 7 == 0 else ("bob", "staff"),
        metadata={"shelf": str(number % 5)},
    )  # fmt: skip


def _windows(records: list[Any]) -> list[Any]:
    """One record for every three sentences in a row, of records with at least four."""
    found = []
    for record in records:
        parts = re.split(r"(?<=[.?!])\s+", record["text"])
        starts = range(len(parts) - 2) if len(parts) > 3 else ()
        found += [{"id": f"{record['id']}-{n}", "text": " ".join(parts[n : n + 3])} for n in starts]
    return found


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Chunk], list[str]]:
    """Passages on farming, and pieces of medical abstracts and of those passages."""
    farm = _lines(folder("agxqa") / "documents.jsonl")
    other = _windows(_lines(folder("samples/pubmedqa") / "documents.jsonl")) + _windows(farm)
    chunks = [_chunk("farm", n, r) for n, r in enumerate(farm)] + [_chunk("pieces", n, r) for n, r in enumerate(other)]
    assert len(chunks) > 500
    asked = [r["question"] for r in _lines(folder("agxqa") / "examples.jsonl")[:8]]
    asked += [r["question"] for r in _lines(folder("samples/pubmedqa") / "examples.jsonl")[:3]]
    return chunks, asked


FILTERS = [
    None,
    Filter(collections=("farm",)),
    Filter(principal=("ann",)),
    Filter(where={"shelf": ("1", "2")}, principal=("staff", "ann"), collections=("farm", "pieces")),
]


@dataclass(frozen=True)
class Reference:
    """What the embedded index finds."""

    chunks: list[Chunk]
    asked: list[str]
    vectors: Any
    queries: Any
    content: str
    hits: dict[str, list[Any]]
    """Leg → for each of `FILTERS`, the hits of every question."""


@pytest.fixture(scope="module")
def reference(corpus: tuple[list[Chunk], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The embedded index's hits, found once for all databases."""
    pytest.importorskip("lancedb")
    chunks, asked = corpus
    embedder = HashingEmbedder(HashingEmbedder.Options(dimension=64))
    vectors, queries = embedder.embed([c.text for c in chunks]), embedder.embed(asked)
    place = tmp_path_factory.mktemp("reference")
    index = loading.make("indexes", "lancedb", {}, directory=place, fingerprint="f", dimension=64)
    _fill(index, chunks, vectors)
    hits = {
        leg: [index.search(asked, queries, K, leg=leg, filter=which) for which in FILTERS]
        for leg in ("dense", "lexical", "hybrid")
    }
    return Reference(chunks, asked, vectors, queries, index.state().content, hits)


def _fill(index: Any, chunks: list[Chunk], vectors: Any) -> None:
    for start in range(0, len(chunks), 200):
        index.upsert(chunks[start : start + 200], vectors[start : start + 200])


def test_top_ten_is_the_embedded_indexs(database: Database, called: str, reference: Reference) -> None:
    asked, queries = reference.asked, reference.queries
    index = database.index(called, fingerprint="f")
    _fill(index, reference.chunks, reference.vectors)
    assert index.state().content == reference.content, "the same content has the same digest everywhere"
    for leg, least in LEAST[database.name].items():
        shares = []
        for which, wanted in zip(FILTERS, reference.hits[leg], strict=True):
            found = index.search(asked, queries, K, leg=leg, filter=which)
            for right, own in zip(wanted, found, strict=True):
                assert all(which is None or which.allows(hit.chunk) for hit in own)
                edge = right[-1].score - 1e-4 if right else 0.0
                same = {hit.chunk.id for hit in own} & {hit.chunk.id for hit in right}
                ties = sum(hit.chunk.id not in same and hit.score >= edge for hit in own) if leg == "dense" else 0
                shares.append(min(1.0, (len(same) + ties) / len(right)) if right else float(not own))
        assert float(np.mean(shares)) >= least, f"{leg}: {np.mean(shares):.4f} of the top {K}"
