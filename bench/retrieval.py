"""Hybrid search at 100k chunks and embedding throughput, each beside its plain alternative, in one run.

    python bench/retrieval.py --data ../shared/data [--quick] [--json FILE]

Search: windows of real documents, hashed vectors of 384 numbers with noise, real questions asked one at a time (the
question's vector is given; what embedding it costs is a line of its own). Ours is `LanceIndex` above its `flat_limit`;
beside it the same index kept exact in memory, and the plain alternative: a matrix product over all vectors, BM25 by a
Python loop over all chunks, and rank fusion. Embedding: ours against fp32 torch batches of 16 in the order given.
Rounds of the alternatives are interleaved; the median round is reported.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twofold.errors import TwofoldError
from twofold.hashing import digest
from twofold.retrieval.analysis import terms
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Span

SETS = ("medquad", "covidqa", "pubmedqa", "mtrag", "clapnq", "xquad", "agvaluate")
WINDOW = 450
K = 5


def lines(path: Path) -> Iterator[dict[str, Any]]:
    for found in (path, path.with_name(path.name + ".gz")):
        if found.is_file():
            with gzip.open(found, "rt", encoding="utf-8") if found.suffix == ".gz" else found.open() as stream:
                yield from map(json.loads, stream)


def corpus(data: Path, wanted: int) -> list[Chunk]:
    """`wanted` windows of real documents, cut at blanks, with a stride that makes enough of them."""
    documents = [row for name in SETS for row in lines(data / name / "documents.jsonl")]
    stride = max(20, min(WINDOW, sum(len(d["text"]) for d in documents) // (wanted + wanted // 10)))
    out: list[Chunk] = []
    for number, document in enumerate(documents):
        text = document["text"]
        for ordinal, start in enumerate(range(0, max(1, len(text) - WINDOW // 2), stride)):
            cut = text[start : start + WINDOW]
            span = Span(document=f"{number}", start=start, end=start + len(cut))
            name = digest("chunk", {"span": span, "text": cut})
            out.append(Chunk(id=name, span=span, text=cut, title=document.get("title") or "", ordinal=ordinal))
    chosen = np.random.default_rng(0).permutation(len(out))[:wanted]
    return [out[row] for row in chosen]


def questions(data: Path, count: int) -> list[str]:
    found = [row["question"] for name in SETS for row in lines(data / name / "examples.jsonl") if "question" in row]
    return [found[row] for row in np.random.default_rng(1).permutation(len(found))[:count]]


def spread(vectors: np.ndarray) -> np.ndarray:
    """Hashed vectors of overlapping windows are near copies, as no model's are: noise moves them apart."""
    noise = np.random.default_rng(3).normal(0, 0.5 / np.sqrt(vectors.shape[1]), vectors.shape)
    moved = vectors + noise.astype(np.float32)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


class Plain:
    """What one writes in an afternoon: exact vectors, BM25 over a list of counters, rank fusion."""

    def __init__(self, chunks: Sequence[Chunk], vectors: np.ndarray) -> None:
        self.matrix = vectors
        self.counts = [Counter(terms(f"{c.title}\n{c.text}")) for c in chunks]
        self.lengths = [count.total() for count in self.counts]
        self.mean = sum(self.lengths) / len(self.lengths)
        self.having = Counter(term for count in self.counts for term in count)

    def search(self, text: str, vector: np.ndarray, k: int) -> list[int]:
        near = np.argsort(-(self.matrix @ vector))[:50]
        scores = np.zeros(len(self.counts))
        for term in terms(text):
            idf = math.log1p((len(self.counts) - self.having[term] + 0.5) / (self.having[term] + 0.5))
            scores += [
                idf * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * length / self.mean)) if (n := count.get(term, 0)) else 0.0
                for count, length in zip(self.counts, self.lengths, strict=True)
            ]
        words = np.argsort(-scores)[:50]
        fused: Counter[int] = Counter()
        for ranking in (near, words):
            for rank, row in enumerate(ranking.tolist(), 1):
                fused[row] += 1 / (60 + rank)  # type: ignore[assignment]
        return [row for row, _ in fused.most_common(k)]


def timed(call: Callable[[int], Any], count: int) -> list[float]:
    out = []
    for number in range(count):
        started = time.perf_counter()
        call(number)
        out.append((time.perf_counter() - started) * 1000)
    return out


def search(data: Path, size: int, rounds: int, asked: int) -> dict[str, Any]:
    chunks, queries = corpus(data, size), questions(data, asked)
    embedder = HashingEmbedder(HashingEmbedder.Options(dimension=384))
    vectors, places = spread(embedder.embed([c.text for c in chunks])), embedder.embed(queries)
    out: dict[str, Any] = {"chunks": len(chunks), "queries": len(queries), "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder:

        def made(name: str, limit: int) -> LanceIndex:
            options = LanceIndex.Options(flat_limit=limit)
            return LanceIndex(options, directory=Path(folder) / name, fingerprint="bench", dimension=384)

        started = time.perf_counter()
        ours = made("ours", min(20_000, size // 2))
        ours.upsert(chunks, vectors)
        out["write and index, s"] = time.perf_counter() - started
        exact = made("exact", 10**9)
        exact.upsert(chunks, vectors)
        plain = Plain(chunks, vectors)
        ways: dict[str, tuple[Callable[[int], Any], int]] = {
            "ours (HNSW-SQ + inverted index)": (lambda n: ours.search([queries[n]], places[n : n + 1], K), asked),
            "ours, exact in memory": (lambda n: exact.search([queries[n]], places[n : n + 1], K), asked),
            "plain (numpy + Python BM25)": (lambda n: plain.search(queries[n], places[n], K), min(asked, 20)),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for call, _ in ways.values():
            timed(call, 3)
        for _ in range(rounds):
            for name, (call, count) in ways.items():
                spent = timed(call, count)
                taken[name].append((float(np.percentile(spent, 50)), float(np.percentile(spent, 95))))
        for name, pairs in taken.items():
            out[name] = {
                "p50 ms": float(np.median([p[0] for p in pairs])),
                "p95 ms": float(np.median([p[1] for p in pairs])),
            }
        found = {leg: _overlap(ours, exact, queries, places, leg) for leg in ("dense", "lexical")}
        out["share of the exact top 10 found"] = found
        one = chunks[0]
        edits = timed(lambda _: ours.upsert([one], vectors[:1]), 5)
        out["one document replaced, ms"] = float(np.median(edits))
        started = time.perf_counter()
        ours.search([queries[0]], places[:1], K)
        out["first search after it, ms"] = (time.perf_counter() - started) * 1000
    names = list(ways)
    out["ratio"] = out[names[2]]["p50 ms"] / out[names[0]]["p50 ms"]
    return out


def _overlap(one: LanceIndex, two: LanceIndex, queries: Sequence[str], places: np.ndarray, leg: str) -> float:
    pairs = zip(one.search(queries, places, 10, leg=leg), two.search(queries, places, 10, leg=leg), strict=True)
    shares = [len({h.chunk.id for h in a} & {h.chunk.id for h in b}) / max(1, len(b)) for a, b in pairs]
    return float(np.mean(shares))


def embedding(data: Path, count: int, rounds: int, model: str) -> dict[str, Any]:
    from twofold.retrieval.embedders.openvino import OpenVinoEmbedder
    from twofold.retrieval.embedders.torch import TorchEmbedder

    ours = OpenVinoEmbedder(OpenVinoEmbedder.Options(model=model))
    torch = TorchEmbedder(TorchEmbedder.Options(model=model))
    texts = [c.text * (1 + n % 3) for n, c in enumerate(corpus(data, count // 2))] + questions(data, count - count // 2)
    order = np.random.default_rng(2).permutation(len(texts))
    texts = [texts[row] for row in order]

    def unsorted() -> None:
        for start in range(0, len(texts), 16):
            torch.embed(texts[start : start + 16])

    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.embed(texts),
        "torch fp32, sorted": lambda: torch.embed(texts),
        "torch fp32, in order": unsorted,
    }
    ours.embed(texts[:32])
    torch.embed(texts[:32])
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            taken[name].append(len(texts) / (time.perf_counter() - started))
    speeds = {name: float(np.median(values)) for name, values in taken.items()}
    asked = questions(data, 40)
    one = {
        name: float(np.median(timed(lambda n, e=e: e.embed([asked[n]]), 40)))
        for name, e in (("ours", ours), ("torch", torch))
    }
    return {
        "texts": len(texts),
        "texts/s": speeds,
        "one question, ms": one,
        "ratio": speeds["ours"] / speeds["torch fp32, in order"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TWOFOLD_DATA", "../shared/data")))
    parser.add_argument("--quick", action="store_true", help="10k chunks, fewer questions")
    parser.add_argument("--chunks", type=int, default=0, help="size of the index; 100000, or 10000 with --quick")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="all-minilm-l6-v2", help="name or source string of the embedder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    size = chosen.chunks or (10_000 if chosen.quick else 100_000)
    result: dict[str, Any] = {"search": search(chosen.data, size, chosen.rounds, 40 if chosen.quick else 150)}
    show("search", result["search"])
    try:
        result["embedding"] = embedding(chosen.data, 120 if chosen.quick else 400, chosen.rounds, chosen.model)
        show("embedding", result["embedding"])
    except (TwofoldError, ModuleNotFoundError) as error:
        print(f"embedding: not measured: {error}", file=sys.stderr)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


def show(name: str, figures: dict[str, Any]) -> None:
    print(f"\n| {name} | |\n|---|---|")
    for key, value in figures.items():
        inner = value if isinstance(value, dict) else {"": value}
        text = ", ".join(
            f"{k} {v:.2f}".strip() if isinstance(v, float) else f"{k} {v}".strip() for k, v in inner.items()
        )
        print(f"| {key} | {text} |")


if __name__ == "__main__":
    sys.exit(main())
