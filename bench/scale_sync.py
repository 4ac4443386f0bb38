"""What Ray costs a sync, and what a second worker brings.

    python bench/scale_sync.py --data ../shared/data [--documents 300] [--rounds 3] [--embedder minilm] [--json FILE]

The same documents are synced into a new project in turns, so that what else the machine does falls on all alike: in one
process, on Ray with one worker, and on Ray with two. Embedders and workers have one thread each. Ray runs already, as a
cluster does; its start is timed apart. Prints medians of wall seconds, chunks/s, and each round's ratios; every sync's
index must have the same content.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

# Before any library that starts a pool of threads is imported; worker processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

from twofold.project import Project

CONFIG = """
[documents]
paths = ["documents"]

[retrieval.embedder]
name = "{embedder}"
{options}
"""
WAYS = {"here": {}, "ray, 1 worker": {"workers": 1}, "ray, 2 workers": {"workers": 2}}


def texts(data: Path, count: int) -> list[str]:
    """Documents of a real set, in its order."""
    with gzip.open(data / "covidqa" / "documents.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"][:6000] for line in islice(lines, count)]


def write(directory: Path, documents: list[str], embedder: str) -> None:
    """A project with the documents."""
    (directory / "documents").mkdir(parents=True)
    for number, text in enumerate(documents):
        (directory / "documents" / f"d{number:05}.txt").write_text(text, encoding="utf-8")
    options = "options = {threads = 1}" if embedder == "minilm" else ""
    (directory / "twofold.toml").write_text(CONFIG.format(embedder=embedder, options=options), encoding="utf-8")


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    import ray

    began = time.perf_counter()
    ray.init(address="local", num_cpus=2, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False)
    start = time.perf_counter() - began
    documents = texts(given.data, given.documents)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    contents, chunks = set[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        # Round 0 is for what is loaded once: modules in workers, the model in the file cache.
        for number in range(given.rounds + 1):
            for way, scale in WAYS.items():
                directory = Path(folder) / f"{number}-{way.replace(' ', '')}"
                write(directory, documents, given.embedder)
                settings: dict[str, Any] = {"scale": {"on": "ray", **scale} if scale else {}}
                began = time.perf_counter()
                with Project.open(directory, settings) as project:
                    report = project.sync()
                took = time.perf_counter() - began
                contents.add(report["index"]["content"])
                chunks = report["chunks"]
                if number:
                    seconds[way].append(took)
                print(f"round {number}  {way:15} {took:7.2f} s  {chunks / took:6.1f} chunks/s", flush=True)
    assert len(contents) == 1, "the same documents make the same index"
    ray.shutdown()
    median = {way: statistics.median(values) for way, values in seconds.items()}
    rows = list(zip(*seconds.values(), strict=True))
    figures = {
        "documents": len(documents),
        "chunks": chunks,
        "start of Ray, s": round(start, 2),
        "medians, s": {way: round(value, 2) for way, value in median.items()},
        "one worker to here, each round": [round(one / here, 3) for here, one, _ in rows],
        "one worker to two, each round": [round(one / two, 3) for _, one, two in rows],
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
