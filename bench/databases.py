"""Search in a database beside the embedded index: same passages, same vectors. Prints a table, or JSON lines.

    python bench/databases.py --data ../shared/data --chunks 10000 --index pgvector \
        --option url=postgresql://postgres@localhost/postgres --option name=bench --option api_key_env=PGPASSWORD

Texts are the data's documents cut at 600 characters, vectors those of the embedder ``hashing`` at 384 numbers: times
depend on neither. Overlap is the share of the embedded index's exact top 10 that the database finds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from twofold.plugins import loading
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Filter, Span

DIMENSION = 384
K = 10


def passages(data: Path, count: int) -> list[Chunk]:
    made: list[Chunk] = []
    for path in sorted(data.glob("*/documents*.jsonl*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for line in file:
                record = json.loads(line)
                text, name = record["text"], f"{path.parent.name}/{record['id']}"
                for number, start in enumerate(range(0, len(text), 600)):
                    span = Span(document=name, start=start, end=min(start + 600, len(text)))
                    made.append(
                        Chunk(
                            id=f"chunk:{name}:{number}", span=span, text=text[span.start : span.end], ordinal=number,
                            collection="rare" if len(made) % 100 == 0 else path.parent.name,
                        )
                    )  # fmt: skip
                    if len(made) == count:
                        return made
    return made


def questions(data: Path, count: int) -> list[str]:
    found = []
    for name in ("agxqa", "pubmedqa", "covidqa"):
        found += [json.loads(line)["question"] for line in (data / name / "examples.jsonl").open()][: count // 3 + 1]
    return found[:count]


def measure(index: Any, asked: list[str], vectors: Any, leg: str, which: Filter | None) -> tuple[list[float], Any]:
    times, found = [], []
    for text, vector in zip(asked, vectors, strict=True):
        start = time.perf_counter()
        found.append(index.search([text], vector[None], K, leg=leg, filter=which)[0])
        times.append(1000 * (time.perf_counter() - start))
    return times, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--index", required=True)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    chunks, asked = passages(args.data, args.chunks), questions(args.data, args.queries)
    embedder = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
    vectors, queries = embedder.embed([c.text for c in chunks]), embedder.embed(asked)
    given = dict(one.split("=", 1) for one in args.option)
    same: dict[str, Any] = {"fingerprint": "bench", "dimension": DIMENSION}
    with tempfile.TemporaryDirectory() as folder:
        indexes = {
            "lancedb": loading.make("indexes", "lancedb", {}, directory=Path(folder), **same),
            args.index: loading.make("indexes", args.index, given, directory=Path(folder), **same),
        }
        written = {}
        for name, index in indexes.items():
            start = time.perf_counter()
            for first in range(0, len(chunks), 500):
                index.upsert(chunks[first : first + 500], vectors[first : first + 500])
            written[name] = len(chunks) / (time.perf_counter() - start)
        for leg in ("dense", "lexical", "hybrid"):
            for label, which in (("all", None), ("1 %", Filter(collections=("rare",)))):
                truth: Any = None
                for name, index in indexes.items():
                    index.search(asked[:3], queries[:3], K, leg=leg, filter=which)
                    times, found = measure(index, asked, queries, leg, which)
                    ids = [{hit.chunk.id for hit in hits} for hits in found]
                    truth = truth or ids
                    overlap = np.mean([len(a & b) / len(a) for a, b in zip(truth, ids, strict=True) if a])
                    row = {
                        "index": name, "leg": leg, "filter": label, "chunks": len(chunks), "n": len(asked),
                        "p50_ms": round(float(np.percentile(times, 50)), 2),
                        "p95_ms": round(float(np.percentile(times, 95)), 2),
                        "overlap": round(float(overlap), 4), "written_per_s": round(written[name]),
                    }  # fmt: skip
                    print(json.dumps(row) if args.json else "  ".join(f"{value!s:>9}" for value in row.values()))


if __name__ == "__main__":
    main()
