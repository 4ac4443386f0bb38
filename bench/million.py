"""One project grown to a million chunks by `sync`: time, disk, memory, search and recall at each size on the way.

    python bench/million.py --folder /var/tmp/million [--data ../shared/data] [--sizes 10000,100000,1000000]

Documents of 8,000 letters are windows of real ones, shifted so that there are enough of them: the words are real, many
passages overlap. Their vectors are not made from them (a model would need hours): each is one of 4,000 real vectors of
all-MiniLM-L6-v2 plus half the difference of two others, drawn by the passage's digest. Questions are real ones with
their real vectors. All else is what `twofold sync` does: reading, cutting, catalogue, index, self-questions.

Each step is a process of its own, whose peak memory the kernel counts: ``sync`` up to a size, ``look`` (what commands
do before they start: state, contents, documents, the catalogue's own list), ``search`` (200 questions one at a time,
and the share of the exact ten and fifty nearest). What has been measured stands in FOLDER/measured.json and is not
measured again; a killed sync goes on where it was. Each size in a folder of its own: `--apart`.

`--index-only` writes the index alone, in the batches of a sync (cutting a million passages and recording them takes as
long again, and is the same at every size): windows of 1,000 letters that do not overlap, repeated under new names,
whose words are analysed once. For a machine that is busy, or a look at the index alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scale
from numpy.typing import NDArray

from twofold.hashing import digest
from twofold.host.meter import Meter
from twofold.indexing.sync import BATCH_CHUNKS
from twofold.plugins import loading, protocols
from twofold.project import Project
from twofold.retrieval.indexes.lancedb import rows as lance_rows
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Span

LONG, A_FILE, REAL, K, DIMENSION = 8000, 500, 4000, 10, 384
QUESTIONS, COMPARED = 200, 40
TOML = """
[documents]
paths = ["data/documents"]
[retrieval.embedder]
name = "grown"
[retrieval.index]
options = {{flat_limit = {limit}}}
[generation.generator]
name = "echo"
"""
STEPS = ("sync", "look", "search")


class GrownEmbedder:
    """Vectors that lie as MiniLM's do, in no time: see the module. `seeds` must be set before the first."""

    version: ClassVar[int] = 1
    seeds: ClassVar[NDArray[np.float32]]

    class Options(protocols.Options):
        """None."""

    def __init__(self, _options: Options) -> None:
        self._words = HashingEmbedder(HashingEmbedder.Options())

    fingerprint = digest("embedder", {"embedder": "grown", "version": 1})
    dimension = DIMENSION

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        return self._words.offsets(text)

    def embed(self, texts: Sequence[str], *, progress: protocols.Progress | None = None) -> NDArray[np.float32]:  # noqa: ARG002
        # Three numbers of a seed from each text's digest: the same text has the same vector.
        drawn = [int(digest("grown", text).rpartition(":")[2][:24], 16) for text in texts]
        places = np.array([[number >> (32 * part) & 0xFFFFFFFF for part in range(3)] for number in drawn])
        one, two, three = (places % len(self.seeds)).reshape(-1, 3).T
        made = self.seeds[one] + 0.5 * (self.seeds[two] - self.seeds[three])
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return np.ascontiguousarray(made, dtype=np.float32)


def grown(folder: Path) -> AbstractContextManager[None]:
    GrownEmbedder.seeds = np.load(folder / "seeds.npy")
    return loading.registered("embedders", "grown", GrownEmbedder)


def prepare(folder: Path, data: Path, limit: int) -> None:
    """The project without documents, the seeds, and the questions with their vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "project"
    (place / "data" / "documents").mkdir(parents=True, exist_ok=True)
    (place / "twofold.toml").write_text(TOML.format(limit=limit), encoding="utf-8")
    if not (folder / "seeds.npy").is_file():
        embedder = loading.make("embedders", "minilm", {})
        windows = [text[:1000] for _, text in scale.texts(data)]
        some = np.random.default_rng(3).permutation(len(windows))[:REAL]
        np.save(folder / "seeds.npy", embedder.embed([windows[row] for row in some]))
        asked = scale.questions(data, QUESTIONS)
        (folder / "questions.json").write_text(json.dumps(asked), encoding="utf-8")
        np.save(folder / "questions.npy", embedder.embed(asked))


def documents_of(data: Path, most: int) -> Iterator[list[str]]:
    """Lines of one file of `A_FILE` documents after the other, enough for `most` chunks, in an order by chance."""
    whole = scale.texts(data)
    # Some six chunks in a document of 8,000 letters, and a fifth more documents than are needed.
    stride = max(40, sum(len(text) for _, text in whole) * 6 // most)
    starts = [(row, start) for row, (_, text) in enumerate(whole) for start in range(0, max(1, len(text)), stride)]
    order = np.random.default_rng(4).permutation(len(starts)).tolist()
    for first in range(0, len(order), A_FILE):
        lines = []
        for number in range(first, min(first + A_FILE, len(order))):
            row, start = starts[order[number]]
            title, text = whole[row]
            lines.append(json.dumps({"id": f"{number:07d}", "title": title, "text": text[start : start + LONG]}))
        yield lines


# ---------------------------------------------------------------- steps, each in a process of its own


def sync(folder: Path, data: Path, size: int, most: int) -> dict[str, Any]:
    """Add files until the index has `size` chunks: all that are surely needed at once, then file by file."""
    place = folder / "project"
    documents = place / "data" / "documents"
    there = len(list(documents.glob("*.jsonl")))
    files = islice(documents_of(data, most), there, None)
    busy = time.process_time()
    with grown(folder), Project.open(place) as project, Meter() as meter:
        seconds, chunks = 0.0, int(project.workspace.search.index.state().chunks)
        began = chunks
        while chunks < size:
            a_file = chunks / there if there else 6 * A_FILE
            for lines in islice(files, max(1, int((size - chunks) / a_file))):
                name = documents / f"{there:05d}.jsonl"
                name.write_text("\n".join(lines) + "\n", encoding="utf-8")
                there += 1
            time.sleep(0.2)  # a file changed just now would be read again next time
            took, report = scale.spent(project.sync)
            seconds += took / 1000
            if report["index"]["chunks"] == chunks:
                raise SystemExit(f"the texts are used up at {chunks} chunks")
            chunks = report["index"]["chunks"]
    return {
        "chunks": chunks, "added": chunks - began, "seconds": seconds, "peak MiB": meter.peak_mib,
        "cpu s": time.process_time() - busy,
        "documents": report["index"]["documents"] if chunks > began else 0,
        **{f"{name} bytes": used(place / ".twofold" / name) for name in ("index", "catalogue.sqlite")},
    }  # fmt: skip


def used(path: Path) -> int:
    """Bytes on disk of a file with its side files, or of a folder."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    return sum(file.stat().st_size for file in files if file.is_file())


def passages(data: Path) -> Callable[[int], Chunk]:
    """Number → passage: ten a document, each text many times under other names."""
    windows = []
    for title, text in scale.texts(data):
        windows += [(title, text[start : start + 1000]) for start in range(0, max(1, len(text) - 500), 1000)]

    def numbered(number: int) -> Chunk:
        title, text = windows[number % len(windows)]
        start = number % 10 * 1000
        span = Span(document=f"{number // 10:07d}", start=start, end=start + len(text))
        name = digest("chunk", {"span": span, "text": text})
        return Chunk(id=name, span=span, text=text, title=title, ordinal=number % 10)

    return numbered


def build(folder: Path, data: Path, size: int) -> dict[str, Any]:
    """Write the last document again with the limit of now, at which the index builds graph and word index."""
    numbered, busy = passages(data), time.process_time()
    batch = [numbered(number) for number in range(size - 10, size)]
    with grown(folder), Project.open(folder / "project") as project, Meter() as meter:
        search = project.workspace.search
        took, _ = scale.spent(lambda: search.index.upsert(batch, search.embedder.embed([c.id for c in batch])))
    return {
        "seconds": took / 1000, "cpu s": time.process_time() - busy, "peak MiB": meter.peak_mib,
        "index bytes": used(folder / "project" / ".twofold" / "index"),
    }  # fmt: skip


def write(folder: Path, data: Path, size: int, batch_size: int) -> dict[str, Any]:
    """Bring the index to `size` chunks by upserts."""
    place = folder / "project"
    numbered = passages(data)
    # The same words are analysed once: they are a sixteenth of what a million passages would be.
    lance_rows.terms = lru_cache(maxsize=None)(lance_rows.terms)
    slowest, busy = 0.0, time.process_time()
    with grown(folder), Project.open(place) as project, Meter() as meter:
        search = project.workspace.search
        began = chunks = int(search.index.state().chunks)
        seconds = 0.0
        while chunks < size:
            batch = [numbered(number) for number in range(chunks, min(chunks + batch_size, size))]
            vectors = search.embedder.embed([chunk.id for chunk in batch])
            took, _ = scale.spent(lambda: search.index.upsert(batch, vectors))  # noqa: B023
            seconds, slowest, chunks = seconds + took / 1000, max(slowest, took / 1000), chunks + len(batch)
            if chunks % 50_000 == 0:
                print(f"{chunks} after {seconds:.0f} s, slowest {slowest:.0f} s", file=sys.stderr, flush=True)
    return {
        "chunks": chunks, "added": chunks - began, "seconds": seconds, "slowest upsert s": slowest,
        "cpu s": time.process_time() - busy,
        "peak MiB": meter.peak_mib, "index bytes": used(place / ".twofold" / "index"),
    }  # fmt: skip


def look(folder: Path, *, synced: bool) -> dict[str, Any]:
    """What commands do before their work, one after the other: seconds and the memory that the process then has."""
    out: dict[str, Any] = {}
    with grown(folder), Project.open(folder / "project") as project, Meter() as meter:
        search = project.workspace.search
        steps: dict[str, Callable[[], Any]] = {
            "open": lambda: search.index,
            "state": lambda: search.index.state().chunks,
            "documents": lambda: len(search.index.documents()),
            "contents": lambda: len(search.index.contents()),
        }
        if synced:
            steps |= {
                "known": lambda: len(search.catalogue.documents.known()),
                "weight of words": search.words,
                "sync of no change": lambda: project.sync()["unchanged"],
            }
        for name, step in steps.items():
            busy = time.process_time()
            took, _ = scale.spent(step)
            out[name] = {"s": took / 1000, "cpu s": time.process_time() - busy, "MiB": scale.resident()}
    return {**out, "peak MiB": meter.peak_mib}


def search(folder: Path) -> dict[str, Any]:
    """Questions one at a time through the index; then recall against all vectors, read once.

    Beside the clock the seconds of a processor, all threads, which say the same on a busy machine.
    """
    asked = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "questions.npy")
    with grown(folder), Project.open(folder / "project") as project:
        index = project.workspace.search.index
        with Meter() as meter:
            first, _ = scale.spent(lambda: index.search(asked[:1], vectors[:1], K))
            legs: dict[str, list[float]] = {"hybrid": [], "dense": [], "lexical": []}
            busy = {}
            for leg, times in legs.items():
                began = time.process_time()
                for text, vector in zip(asked, vectors, strict=True):
                    took, _ = scale.spent(lambda: index.search([text], vector[None], K, leg=leg))  # noqa: B023
                    times.append(took)
                busy[leg] = 1000 * (time.process_time() - began) / len(asked)
        out: dict[str, Any] = {"first ms": first, "cpu ms": busy}
        out |= {leg: scale.spread(times[5:]) for leg, times in legs.items()}
        out |= {"peak MiB": meter.peak_mib, "recall": _recall(index, folder, vectors[:COMPARED])}
    return out


def _recall(index: Any, folder: Path, vectors: NDArray[np.float32]) -> dict[str, float]:
    """Mean share of the exact `depth` nearest that a dense search finds, over `COMPARED` questions.

    By cosine, as passages with the same words are equally near and any of them will do.
    """
    import lancedb

    table = lancedb.connect(str(folder / "project" / ".twofold" / "index")).open_table("chunks")
    best = np.full((len(vectors), 50), -2.0, dtype=np.float32)
    for batch in table.search().select(["vector"]).limit(table.count_rows()).to_batches(8192):
        matrix = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, DIMENSION)
        near = np.hstack([best, vectors @ matrix.T])  # (questions, 50 + rows)
        best = -np.partition(-near, 49, axis=1)[:, :50]
    best = -np.sort(-best, axis=1)
    out = {}
    for depth in (10, 50):
        shares = []
        for vector, exact in zip(vectors, best, strict=True):
            hits = index.search([""], vector[None], depth, leg="dense")[0]
            # 1e-5: sums of 384 products in another order differ by rounding.
            shares.append(sum(hit.score >= exact[depth - 1] - 1e-5 for hit in hits) / depth)
        out[f"at {depth}"] = float(np.mean(shares))
    return out


# ---------------------------------------------------------------- the whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TWOFOLD_DATA", "../shared/data")))
    parser.add_argument("--sizes", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--flat-limit", type=int, default=200_000, help="0: the graph at every size")
    parser.add_argument("--apart", action="store_true", help="each size in a project of its own")
    parser.add_argument("--index-only", action="store_true", help="no documents: upserts alone")
    parser.add_argument("--batch", type=int, default=BATCH_CHUNKS, help="passages of an upsert, with --index-only")
    parser.add_argument("--build-last", action="store_true", help="with --index-only: no graph before the last upsert")
    parser.add_argument("--step", choices=(*STEPS, "write", "build"), help="of a child")
    given = parser.parse_args()
    sizes = sorted(int(size) for size in given.sizes.split(","))
    if given.step:
        size = sizes[0]
        steps = {
            "sync": lambda: sync(given.folder, given.data, size, int(os.environ["MOST"])),
            "write": lambda: write(given.folder, given.data, size, given.batch),
            "build": lambda: build(given.folder, given.data, size),
            "look": lambda: look(given.folder, synced=not given.index_only),
            "search": lambda: search(given.folder),
        }
        print(json.dumps(steps[given.step]()))
        return 0
    for size in sizes:
        folder = given.folder / str(size) if given.apart else given.folder
        steps = STEPS
        if given.index_only:
            steps = ("write", *(["build"] if given.build_last else []), *STEPS[1:])
        measured_at = given.folder / "measured.json"
        measured = json.loads(measured_at.read_text()) if measured_at.is_file() else {}
        for step in steps:
            prepare(folder, given.data, 10**9 if given.build_last and step == "write" else given.flat_limit)
            if step in measured.get(str(size), {}):
                continue
            command = [sys.executable, __file__, "--folder", folder, "--data", given.data, "--sizes", str(size)]
            command += ["--index-only"] if given.index_only else []
            command += ["--batch", str(given.batch)]
            most = size if given.apart else sizes[-1]
            began = time.perf_counter()
            done = subprocess.run(
                [*map(str, command), "--step", step], check=True, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "MOST": str(most)},
            )  # fmt: skip
            figures = {**json.loads(done.stdout.splitlines()[-1]), "load": os.getloadavg()[0]}
            figures["process s"] = time.perf_counter() - began
            measured.setdefault(str(size), {})[step] = figures
            measured_at.write_text(json.dumps(measured, indent=1), encoding="utf-8")
            print(f"\n{size:,} chunks, {step}")
            scale.show(figures, "  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
