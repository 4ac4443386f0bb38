"""Graph and word index built by one process and by workers of Ray in parts: time, recall, searches.

    python bench/index_parts.py [--rows 100000] [--parts 1,2,4]

Vectors lie as in `bench/million.py` (one of 4,000 seeds plus half the difference of two others), words are drawn as
often as ranks of a language are. ``here`` is one process with all its threads; ``--parts N`` are N workers of one core
each, of which two cores do two at a time. Prints wall and processor seconds of the build, recall of the nearest 10 and
50 against an exact search, and milliseconds of a search of each kind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from processes import family

from twofold.retrieval.indexes.lancedb import parts
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.settings.scale import ScaleSection
from twofold.types import Chunk, Span

DIMENSION, QUERIES, PIECE = 384, 100, 5000


def vectors(rows: int) -> NDArray[np.float32]:
    chance = np.random.default_rng(0)
    seeds = chance.normal(size=(4000, DIMENSION)).astype(np.float32)
    drawn = chance.integers(0, 4000, (3, rows))
    values = seeds[drawn[0]] + 0.5 * (seeds[drawn[1]] - seeds[drawn[2]])
    return np.ascontiguousarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def chunks(rows: int) -> Iterator[Chunk]:
    chance, ranks = np.random.default_rng(1), 1 / np.arange(1, 30_001)
    for first in range(0, rows, PIECE):
        drawn = chance.choice(30_000, size=(min(PIECE, rows - first), 80), p=ranks / ranks.sum())
        for number, row in enumerate(drawn.tolist(), first):
            text = " ".join(f"word{word}" for word in row)
            span = Span(document=f"{number // 10:07}", start=number % 10, end=len(text))
            yield Chunk(id=f"{number:08}", span=span, text=text, ordinal=number % 10)


class Some:
    """As many workers of Ray as parts are wanted: the cluster has two cores, and does two at a time."""

    def __init__(self, workers: int) -> None:
        import ray

        from twofold.execution.cluster import RayCluster

        # By value: workers do not find this file as a module.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        self._cluster = RayCluster(ScaleSection(on="ray"))
        self.workers = workers

    def run(self, work: Any, batches: Any) -> Iterator[tuple[int, Any]]:
        return self._cluster.run(work, batches)


@dataclass(frozen=True)
class Nothing:
    """Work after which the workers' processes are there."""

    label: str = "nothing"

    def open(self) -> Any:
        return time.sleep


def busy() -> float:
    """Processor seconds of this process and of Ray's."""
    return sum(seconds for _, seconds, _ in family().values())


def measured(index: LanceIndex, texts: Sequence[str], queries: NDArray[np.float32], exact: Any) -> dict[str, float]:
    figures = {}
    for leg in ("dense", "lexical"):
        index.search(texts[:5], queries[:5], 50, leg=leg)
        began, hits = time.perf_counter(), []
        for text, query in zip(texts, queries, strict=True):
            hits += index.search([text], query[None], 50, leg=leg)
        figures[f"{leg} ms"] = round((time.perf_counter() - began) / len(texts) * 1000, 1)
        if leg == "dense":
            for k in (10, 50):
                shares = [
                    len({hit.chunk.id for hit in row[:k]} & set(near[:k])) / k
                    for row, near in zip(hits, exact, strict=True)
                ]
                figures[f"recall@{k}"] = round(float(np.mean(shares)), 4)
    return figures


def main() -> None:
    """Build and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--parts", default="1,2,4")
    given = parser.parse_args()
    values, passages = vectors(given.rows), list(chunks(given.rows))
    chance = np.random.default_rng(2)
    near = chance.integers(0, given.rows, QUERIES)
    queries = values[near] + chance.normal(size=(QUERIES, DIMENSION)).astype(np.float32) * (0.5 / DIMENSION**0.5)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    ranked = np.argsort(-(queries @ values.T), axis=1)[:, :50]
    exact = [[f"{row:08}" for row in rows] for rows in ranked.tolist()]
    texts = [" ".join(passages[row].text.split()[:8]) for row in near.tolist()]
    parts.LEAST = 1
    with tempfile.TemporaryDirectory() as folder:
        for count in [int(number) for number in given.parts.split(",")]:
            # Rows without indices first, so that the build alone is timed.
            place = Path(folder) / str(count)
            options = {"directory": place, "fingerprint": "bench", "dimension": DIMENSION}
            index = LanceIndex(LanceIndex.Options(flat_limit=10**9, language="none"), **options)  # type: ignore[arg-type]
            cuts = range(0, given.rows, PIECE)
            index.assemble([index.pieces().write(passages[at : at + PIECE], values[at : at + PIECE]) for at in cuts])
            index = LanceIndex(LanceIndex.Options(flat_limit=0, language="none"), **options)  # type: ignore[arg-type]
            workers = Some(count) if count > 1 else None
            if workers:
                dict(workers.run(Nothing(), [0.5] * 4))
            before, began = busy(), time.perf_counter()
            index.assemble([], workers)
            took = {"wall s": round(time.perf_counter() - began, 1), "cpu s": round(busy() - before, 1)}
            name = f"{count} parts" if count > 1 else "here"
            load = round(os.getloadavg()[0], 1)
            figures = {"rows": given.rows, **took, **measured(index, texts, queries, exact), "load": load}
            print(f"{name:8} {json.dumps(figures)}", flush=True)


if __name__ == "__main__":
    main()
