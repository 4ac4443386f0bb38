"""Filling an empty index in a database, batch by batch as edits are, and as a load. Prints a table, or JSON lines.

    python bench/bulk_load.py --data ../shared/data --chunks 20000 --index pgvector --rounds 3 \
        --option url=postgresql://postgres@localhost/postgres --option name=bench --option api_key_env=PGPASSWORD

Texts and vectors are those of `bench/databases.py`. The two ways take turns, so that a busy machine slows both. After
each, the same queries must find the same passages.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from databases import DIMENSION, K, passages, questions

from twofold.plugins import loading
from twofold.testing.hashing_embedder import HashingEmbedder


def filled(kind: str, given: dict[str, Any], chunks: list[Any], vectors: Any, *, load: bool, batch: int) -> Any:
    """A new index with the chunks, and the seconds that filling it took."""
    cls = loading.find("indexes", kind)
    cls.discard(loading.options("indexes", kind, given), dimension=DIMENSION)
    index = loading.make("indexes", kind, given, directory=Path("unused"), fingerprint="bench", dimension=DIMENSION)
    began = time.perf_counter()
    with index.loading() if load else nullcontext():
        for first in range(0, len(chunks), batch):
            index.upsert(chunks[first : first + batch], vectors[first : first + batch])
    return index, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=2000, help="chunks of an upsert; a sync has 2000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--index", required=True)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    chunks, asked = passages(args.data, args.chunks), questions(args.data, args.queries)
    embedder = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
    vectors, queries = embedder.embed([c.text for c in chunks]), embedder.embed(asked)
    given = dict(one.split("=", 1) for one in args.option)
    seconds: dict[str, list[float]] = {"batches": [], "load": []}
    overlaps: list[float] = []
    for _ in range(args.rounds):
        hits: dict[str, Any] = {}
        for way, times in seconds.items():
            index, took = filled(args.index, given, chunks, vectors, load=way == "load", batch=args.batch)
            times.append(took)
            answers = index.search(asked, queries, K)
            hits[way] = [{hit.chunk.id for hit in answer} for answer in answers]
        for one, other in zip(hits["batches"], hits["load"], strict=True):
            overlaps.append(len(one & other) / max(1, len(one)))
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    row = {
        "index": args.index, "chunks": len(chunks), "batch": args.batch, "seconds": seconds,
        "ratio": medians["batches"] / medians["load"], "same hits": statistics.mean(overlaps),
    }  # fmt: skip
    if args.json:
        print(json.dumps(row))
        return
    print(f"{args.index}, {len(chunks)} chunks in batches of {args.batch}, medians of {args.rounds}")
    for way, median in medians.items():
        print(f"  {way:<8} {median:8.1f} s  {len(chunks) / median:8.0f} chunks/s")
    print(f"  ratio {row['ratio']:.2f}; share of the same hits {row['same hits']:.3f}")


if __name__ == "__main__":
    main()
