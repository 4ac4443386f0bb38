"""The living index at scale: how fast a change is answerable, a search, a narrow filter, and a sync. One run.

    python bench/scale.py --data ../shared/data [--chunks 100000] [--quick] [--parts search,fresh,sync] [--json FILE]

search  Windows of real documents; some of their vectors are the embedder's, the others made from these (one of them
        plus the difference of two others). Real questions one at a time through the retriever ``hybrid``, on one core:
        with embedding the question and without, and what each step of it takes; recall against comparing everything,
        also behind filters to a part of the documents; the same from the graph on disk (``flat_limit`` 0).
fresh   A project with one file a document and the embedder ``hashing``: a file is added or deleted; how long the sync
        takes, and the first search after it, in the same process and in a reader that was open while ``twofold sync``
        ran in another.
sync    The real embedder: chunks/s of a whole sync beside embedding the same texts alone, in turns; peak memory.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from twofold.hashing import digest
from twofold.indexing.embedded_text import embedded_text
from twofold.plugins import loading
from twofold.plugins.protocols import Parts
from twofold.project import Project
from twofold.retrieval.fusion import blend, distinct, fetch_size
from twofold.types import Chunk, Filter, Query, Span

SETS = ("medquad", "qmsum", "poisonedrag", "covidqa", "pubmedqa", "mtrag", "clapnq")
WINDOW, K = 450, 10
PROJECT = """
[documents]
paths = ["data/documents"]
[retrieval.embedder]
name = "{name}"
options = {options}
[generation.generator]
name = "echo"
"""


def records(data: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in (data / name, data / f"{name}.gz"):
        if path.is_file():
            with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as stream:
                yield from map(json.loads, stream)


def texts(data: Path) -> list[tuple[str, str]]:
    """Title and text of every document, and the forged passages, which are data like any other here."""
    found = [(r.get("title") or "", r["text"]) for name in SETS for r in records(data, f"{name}/documents.jsonl")]
    forged = [p for r in records(data, "poisonedrag/examples.jsonl") for p in r["forged_passages"]]
    return [*found, *(("", passage) for passage in forged)]


def questions(data: Path, count: int) -> list[str]:
    asked = [r["question"] for name in SETS for r in records(data, f"{name}/examples.jsonl") if "question" in r]
    return [asked[row] for row in np.random.default_rng(1).permutation(len(asked))[:count]]


def passages(data: Path, wanted: int) -> list[Chunk]:
    """`wanted` windows; the stride makes enough of them. One in a hundred is of the collection ``rare``."""
    documents = texts(data)
    stride = max(15, min(WINDOW, sum(len(text) for _, text in documents) // (wanted + wanted // 5)))
    made: list[Chunk] = []
    for number, (title, text) in enumerate(documents):
        for ordinal, start in enumerate(range(0, max(1, len(text) - WINDOW // 2), stride)):
            cut = text[start : start + WINDOW]
            span = Span(document=f"{number}", start=start, end=start + len(cut))
            name = digest("chunk", {"span": span, "text": cut})
            made.append(
                Chunk(
                    id=name, span=span, text=cut, title=title, ordinal=ordinal,
                    collection="rare" if number % 100 == 0 else "", metadata={"tenth": str(number % 10)},
                )
            )  # fmt: skip
    return [made[row] for row in np.random.default_rng(0).permutation(len(made))[:wanted]]


def grown(real: np.ndarray, count: int) -> np.ndarray:
    """`count` unit vectors that lie as the real ones do: each is one of them plus half the difference of two."""
    one, two, three = np.random.default_rng(2).integers(0, len(real), (3, count))
    made = real[one] + 0.5 * (real[two] - real[three])
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return np.ascontiguousarray(made, dtype=np.float32)


def spent(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what the call gave."""
    began = time.perf_counter()
    out = call()
    return 1000 * (time.perf_counter() - began), out


def spread(times: Sequence[float]) -> dict[str, float]:
    return {"p50 ms": float(np.percentile(times, 50)), "p95 ms": float(np.percentile(times, 95)), "n": len(times)}


@contextmanager
def one_core() -> Iterator[None]:
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(here)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, here)


# ---------------------------------------------------------------- search


def search(data: Path, size: int, asked: int, *, real: int, graph: bool) -> dict[str, Any]:
    chunks, queries = passages(data, size), questions(data, asked + 5)
    embedder = loading.make("embedders", "minilm", {"threads": 1})
    vectors = grown(embedder.embed([embedded_text(c) for c in chunks[:real]]), len(chunks))
    out: dict[str, Any] = {"chunks": len(chunks)}
    ways = {"in memory": 10**9, **({"graph on disk": 0} if graph else {})}
    with tempfile.TemporaryDirectory() as folder:
        for way, limit in ways.items():
            options = {"flat_limit": limit}
            at = Path(folder) / way
            same = {"directory": at, "fingerprint": "bench", "dimension": embedder.dimension}
            writer = loading.make("indexes", "lancedb", options, **same)
            written, _ = spent(lambda: writer.upsert(chunks, vectors))  # noqa: B023
            before = resident()
            index = loading.make("indexes", "lancedb", options, **same)
            with one_core():
                out[way] = {"write s": written / 1000, **_search(embedder, index, queries)}
                out[way]["recall"] = _recall(embedder, index, queries[5:45], chunks, vectors)
            out[way]["memory MiB"] = resident() - before
    return out


def _search(embedder: Any, index: Any, queries: list[str]) -> dict[str, Any]:
    retriever = loading.make("retrievers", "hybrid", {}, parts=Parts(embedder=embedder, index=index))
    first, _ = spent(lambda: retriever.retrieve([Query(text=queries[0])], K))
    fetch = fetch_size(K)
    steps: dict[str, list[float]] = {name: [] for name in ("whole", "embedding", "dense", "words", "fusion")}
    for number, text in enumerate(queries):
        whole, _ = spent(lambda: retriever.retrieve([Query(text=text)], K))  # noqa: B023
        other = queries[number - 1]  # its words and rows are not those just used
        embedding, vector = spent(lambda: embedder.embed([other]))  # noqa: B023
        dense, near = spent(lambda: index.search([other], vector, fetch, leg="dense")[0])  # noqa: B023
        words, found = spent(lambda: index.search([other], None, fetch, leg="lexical")[0])  # noqa: B023
        fusion, _ = spent(lambda: distinct(blend(near, found, fetch), K))  # noqa: B023
        if number >= 5:
            for name, value in zip(steps, (whole, embedding, dense, words, fusion), strict=True):
                steps[name].append(value)
    legs = np.array([steps[name] for name in ("dense", "words", "fusion")]).sum(axis=0).tolist()
    return {
        "first search ms": first,
        "hybrid, with embedding": spread(steps["whole"]),
        "hybrid, vector given": spread(legs),
        **{name: spread(steps[name]) for name in ("embedding", "dense", "words", "fusion")},
    }


def _recall(embedder: Any, index: Any, queries: list[str], chunks: list[Chunk], vectors: np.ndarray) -> dict[str, Any]:
    """Share of the exact nearest found, and the time of it, behind no filter, one to 10 % and one to 1 %."""
    out: dict[str, Any] = {}
    rows = {chunk.id: row for row, chunk in enumerate(chunks)}
    given = embedder.embed(queries)
    for name, which in {
        "all": Filter(),
        "10 %": Filter(where={"tenth": ("3",)}),
        "1 %": Filter(collections=("rare",)),
    }.items():
        allowed = np.flatnonzero([which.allows(chunk) for chunk in chunks])
        index.search(queries[:1], given[:1], K, leg="dense", filter=which)
        for depth in (K, 50):
            times, shares = [], []
            for text, vector in zip(queries, given, strict=True):
                took, hits = spent(lambda: index.search([text], vector[None], depth, leg="dense", filter=which)[0])  # noqa: B023
                own = {rows[hit.chunk.id] for hit in hits}
                assert own <= set(allowed.tolist()), "a chunk that the filter does not allow"
                exact = vectors[allowed] @ vector
                wanted = set(allowed[np.argsort(-exact)[:depth]].tolist())
                shares.append(len(own & wanted) / len(wanted))
                times.append(took)
            out[f"{name}, top {depth}"] = {"recall": float(np.mean(shares)), **spread(times), "rows": len(allowed)}
    return out


def resident() -> float:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


# ---------------------------------------------------------------- fresh


def project(folder: Path, documents: Sequence[tuple[str, str]], name: str, options: str) -> Path:
    data = folder / "data" / "documents"
    data.mkdir(parents=True)
    for number, (title, text) in enumerate(documents):
        (data / f"{number:06d}.md").write_text(f"# {title or number}\n\n{text}\n", encoding="utf-8")
    (folder / "twofold.toml").write_text(PROJECT.format(name=name, options=options), encoding="utf-8")
    return folder


def fresh(data: Path, size: int, rounds: int) -> dict[str, Any]:
    """Documents of some ten chunks or more, cut from the texts at a stride that makes enough of them."""
    whole = texts(data)
    long, total = 8000, sum(len(text) for _, text in whole)
    stride = max(100, min(long, total * 6 // size))
    documents = [
        (title, text[start : start + long]) for title, text in whole for start in range(0, max(1, len(text)), stride)
    ]
    with tempfile.TemporaryDirectory() as folder:
        at = project(Path(folder) / "p", [], "hashing", "{dimension = 384}")
        times: dict[str, list[float]] = {}
        with Project.open(at) as here, Project.open(at) as reader:
            place = at / "data" / "documents"
            written = 0
            while True:
                for title, text in documents[written : written + 1000]:
                    (place / f"{written:06d}.md").write_text(f"# {title or written}\n\n{text}\n", encoding="utf-8")
                    written += 1
                report = here.sync()
                if report["index"]["chunks"] >= size or written >= len(documents):
                    break
            for one in (here, reader):
                one.workspace.search.retriever.retrieve([Query(text="before the change")], K)

            def found(one: Project, word: str) -> list[str]:
                hits = one.workspace.search.retriever.retrieve([Query(text=f"the {word} valve")], K)[0].hits
                return [hit.chunk.span.document for hit in hits if word in hit.chunk.text]

            def note(name: str, value: float) -> None:
                times.setdefault(name, []).append(value)

            def outside() -> None:
                command = [sys.executable, "-m", "twofold", "sync", "-C", str(at), "--json"]
                subprocess.run(command, check=True, capture_output=True)

            def inside() -> None:
                here.sync()

            for number in range(rounds):
                for where, run, one in (("same process", inside, here), ("open reader", outside, reader)):
                    word = f"zyxo{number}{where[0]}"
                    file = place / f"new-{word}.md"
                    file.write_text(f"# New\n\nThe {word} valve opens at forty bar.\n", encoding="utf-8")
                    time.sleep(0.15)  # a file changed just now is read again next time
                    took, _ = spent(run)
                    note(f"{where}: sync of one new document, ms", took)
                    took, names = spent(lambda: found(one, word))  # noqa: B023
                    note(f"{where}: first search after it, ms", took)
                    assert names, "the new document is not found"
                    file.unlink()
                    took, _ = spent(run)
                    note(f"{where}: sync of its deletion, ms", took)
                    took, names = spent(lambda: found(one, word))  # noqa: B023
                    note(f"{where}: first search after that, ms", took)
                    assert not names, "a deleted document is found"
            state = here.workspace.search.index.state()
    medians = {name: {"median": float(np.median(own)), "most": max(own), "n": len(own)} for name, own in times.items()}
    return {"chunks": state.chunks, "documents": state.documents, **medians}


# ---------------------------------------------------------------- sync


def sync(data: Path, wanted: int, rounds: int) -> dict[str, Any]:
    """In turns: a new project synced, and the texts of its chunks embedded alone."""
    documents: list[tuple[str, str]] = []
    for row in np.random.default_rng(3).permutation(len(found := texts(data))):
        documents.append((found[row][0], found[row][1][:20_000]))
        if sum(len(text) for _, text in documents) > wanted * 700:
            break
    ours, bare, counts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            with Project.open(project(Path(folder) / f"{number}", documents, "minilm", "{}")) as one:
                one.workspace.search.embedder.embed(["loaded before the clock starts"])
                took, report = spent(one.sync)
                index = one.workspace.search.index
                alone = [embedded_text(chunk) for chunk in index.chunks_of(list(index.documents()))]
                ours.append(report["embedded"] / took * 1000)
                counts.append(report["embedded"])
                alone = list(dict.fromkeys(alone))
                took, _ = spent(lambda: one.workspace.search.embedder.embed(alone))  # noqa: B023
                bare.append(len(alone) / took * 1000)
    return {
        "chunks": counts[0],
        "documents": len(documents),
        "sync, chunks/s": float(np.median(ours)),
        "embedder alone, chunks/s": float(np.median(bare)),
        "ratio": float(np.median(np.array(ours) / np.array(bare))),
        "rounds": rounds,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def show(figures: Any, indent: str = "") -> None:
    for key, value in figures.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            print(f"{indent}{key}")
            show(value, indent + "  ")
        elif isinstance(value, dict):
            print(f"{indent}{key}: " + ", ".join(f"{k} {v:.4g}" for k, v in value.items()))
        else:
            print(f"{indent}{key}: {value:.5g}" if isinstance(value, float) else f"{indent}{key}: {value}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TWOFOLD_DATA", "../shared/data")))
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--real", type=int, default=4000, help="vectors that the embedder makes, of the search part")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sync-chunks", type=int, default=3000)
    parser.add_argument("--parts", default="search,fresh,sync")
    parser.add_argument("--graph", action="store_true", help="measure the graph on disk too")
    parser.add_argument("--quick", action="store_true", help="10,000 chunks, few questions")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.chunks, given.queries, given.real, given.sync_chunks, given.rounds = 10_000, 40, 500, 500, 1
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "search": lambda: search(given.data, given.chunks, given.queries, real=given.real, graph=given.graph),
        "fresh": lambda: fresh(given.data, given.chunks, given.rounds),
        "sync": lambda: sync(given.data, given.sync_chunks, given.rounds),
    }
    out: dict[str, Any] = {"load": os.getloadavg()[0]}
    for name in given.parts.split(","):
        out[name] = runs[name]()
        print(f"\n{name}")
        show(out[name], "  ")
    if given.json:
        given.json.write_text(json.dumps(out, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
