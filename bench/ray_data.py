"""A folder read, cut, embedded and written as Lance fragments: by our tasks, and by Ray Data with the same work.

    pip install pandas        # which Ray Data needs; beside pyarrow it is all of ray[data] that this uses
    python bench/ray_data.py --data ../shared/data [--documents 300] [--embedder minilm] [--rounds 2]

Both do `ReadingWork` and `WritingWork` of a sync with two workers of one core each, and bring the documents back to the
command, whose catalogue needs their texts; what a sync does besides (catalogue, ids, order, journal) is in neither.
Prints wall seconds, processor seconds and peak memory of all processes, for each way in turns; for memory run each way
by itself (`--ways tasks`), as idle workers of the other one stay. `--kill` ends a worker's process in the middle.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import scale_sync
from processes import family

from twofold.corpus.files import FileReader
from twofold.execution.cluster import RayCluster
from twofold.indexing.bulk import WritingWork
from twofold.indexing.feed import Naming
from twofold.indexing.work import EmbeddingWork, ReadingWork, ReadItem, Unread
from twofold.project import Project
from twofold.settings.scale import ScaleSection
from twofold.types import Chunk, Loaded

GROUP, PASSAGES = 32, 256
Works = tuple[ReadingWork, WritingWork]


def works(project: Project) -> Works:
    """The two kinds of work of a sync of the project."""
    search = project.workspace.search
    options, reader = search.embedder_options(), FileReader(search.config.documents)
    reading = ReadingWork(
        config=search.config, embedder_options=options, feeds=(Naming(name=""),), recipe="bench", pushed="",
        readers=reader.fingerprint,
    )  # fmt: skip
    embedding = EmbeddingWork(config=search.config, embedder_options=options, fingerprint=search.embedder.fingerprint)
    index: Any = search.index
    return reading, WritingWork(embedding=embedding, pieces=index.pieces())


def chunks_of(items: list[ReadItem]) -> list[Chunk]:
    return [chunk for item in items for document in item.documents for chunk in document.chunks or ()]


# ---------------------------------------------------------------- our tasks


def by_tasks(both: Works, unread: list[Unread]) -> tuple[list[str], int]:
    """Groups of files are read; their passages are embedded and written while the next are read, as a sync does."""
    reading, writing = both
    cluster = RayCluster(ScaleSection(on="ray", workers=2))
    documents, pieces = 0, list[str]()

    def batches() -> Iterator[list[Chunk]]:
        nonlocal documents
        batch: list[Chunk] = []
        groups = [unread[start : start + GROUP] for start in range(0, len(unread), GROUP)]
        for _, items in cluster.run(reading, groups):
            documents += sum(len(item.documents) for item in items)
            batch += chunks_of(items)
            while len(batch) >= PASSAGES:
                yield batch[:PASSAGES]
                batch = batch[PASSAGES:]
        if batch:
            yield batch

    for _, (piece, _) in cluster.run(writing, batches()):
        pieces.append(piece)
    return pieces, documents


# ---------------------------------------------------------------- Ray Data


class Reads:
    def __init__(self, work: ReadingWork) -> None:
        self._do = work.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        items = self._do([pickle.loads(row) for row in batch["item"]])
        return {"read": [pickle.dumps(item) for item in items]}


class Writes:
    def __init__(self, work: WritingWork) -> None:
        self._do = work.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        piece, _ = self._do(chunks_of([pickle.loads(row) for row in batch["read"]]))
        return {"read": list(batch["read"]), "piece": [piece] + [""] * (len(batch["read"]) - 1)}


def by_ray_data(both: Works, unread: list[Unread]) -> tuple[list[str], int]:
    """The same as a pipeline of two pools of actors; a batch has as many documents as make some 256 passages."""
    import ray.data

    reading, writing = both
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"item": pickle.dumps(item)} for item in unread], override_num_blocks=8)
    # Two cores: two actors of half a core for each stage, or one stage would wait for the other's actors to end.
    pool = {"num_cpus": 0.5, "compute": ray.data.ActorPoolStrategy(size=2)}
    read = rows.map_batches(Reads, batch_size=GROUP, fn_constructor_args=(reading,), **pool)
    written = read.map_batches(Writes, batch_size=GROUP, fn_constructor_args=(writing,), **pool)
    pieces, documents = list[str](), 0
    for row in written.iter_rows():
        documents += len(pickle.loads(row["read"]).documents)
        pieces += [row["piece"]] if row["piece"] else []
    return pieces, documents


WAYS: dict[str, Callable[[Works, list[Unread]], tuple[list[str], int]]] = {"tasks": by_tasks, "ray data": by_ray_data}


# ---------------------------------------------------------------- measuring


class Sampled:
    """Peak memory and processor seconds of all processes while a block runs."""

    def __init__(self, *, kills: bool) -> None:
        self._stop, self._kills = threading.Event(), kills
        self.peak, self.busy, self.killed = 0.0, dict[int, float](), ""

    def __enter__(self) -> Sampled:
        self._before = {number: busy for number, (_, busy, _) in family().items()}
        self._began = time.perf_counter()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.3):
            seen = family()
            self.peak = max(self.peak, sum(memory for _, _, memory in seen.values()))
            self.busy.update({number: busy for number, (_, busy, _) in seen.items()})
            if self._kills and not self.killed and time.perf_counter() - self._began > 6:
                workers = {n: busy for n, (name, busy, _) in seen.items() if name.startswith("ray::")}
                if workers:
                    number = max(workers, key=lambda n: workers[n] - self._before.get(n, 0))
                    self.killed = seen[number][0]
                    os.kill(number, signal.SIGKILL)

    @property
    def seconds(self) -> float:
        return sum(busy - self._before.get(number, 0.0) for number, busy in self.busy.items())


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--kill", action="store_true")
    given = parser.parse_args()
    import ray

    whole, seconds = scale_sync.texts(given.data, given.documents), dict[str, list[float]]()
    # A small set is used again under other numbers: every document is another one.
    texts = [f"{number} {whole[number % len(whole)]}" for number in range(given.documents)]
    ray.init(address="local", num_cpus=2, object_store_memory=300 << 20, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        # Round 0 is for what is loaded once.
        for number in range(given.rounds + 1):
            for way in given.ways.split(","):
                place = Path(folder) / f"{number}-{way[:3]}"
                scale_sync.write(place, texts, given.embedder)
                files = sorted((place / "documents").iterdir())
                unread = [
                    Unread(feed=0, item=file.name, loaded=Loaded(name=file.name, path=str(file))) for file in files
                ]
                with Project.open(place) as project:
                    both, index = works(project), project.workspace.search.index
                    with Sampled(kills=given.kill and number > 0) as sampled:
                        began = time.perf_counter()
                        pieces, documents = WAYS[way](both, unread)
                        wall = time.perf_counter() - began
                    index.assemble(pieces)  # type: ignore[attr-defined]
                    state = index.state()
                figures = {
                    "round": number, "wall s": round(wall, 1), "cpu s": round(sampled.seconds, 1),
                    "peak MiB": round(sampled.peak), "documents": documents, "chunks": state.chunks,
                    "load": round(os.getloadavg()[0], 1), "killed": sampled.killed,
                }  # fmt: skip
                print(f"{way:9} {json.dumps(figures)}", flush=True)
                if number:
                    seconds.setdefault(way, []).append(wall)
    if seconds:
        print({way: round(statistics.median(walls), 1) for way, walls in seconds.items()})


if __name__ == "__main__":
    main()
