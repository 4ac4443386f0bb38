"""What a rightly growing project does to the signals of the search: the mean of their values after a tenth was added.

    python bench/watch_growth.py --data ../shared/data [--embedder minilm] [--corpora xquad,medquad] [--by .1]

Of a corpus a random part is left out, the rest is indexed and searched for once, which gives each probe its reference;
then the part is added and all probes are searched for again. A mean above what is tolerated is a false alarm, sooner or
later. Last line of each corpus: how many of 20 months of hourly looks would have alarmed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from twofold.monitoring import probing
from twofold.monitoring.served import Watched
from twofold.monitoring.signals import RUN_LENGTH
from twofold.project import Project
from twofold.stats import sequential
from twofold.types import Json

Seen = tuple[list[float], float]
"""Values of a signal, and the mean that is tolerated."""


def rows_of(data: Path, name: str) -> list[Json]:
    """Rows of a file of the data, packed or not."""
    plain = data / name
    packed = plain.with_name(f"{plain.name}.gz")
    content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    return [json.loads(line) for line in content.decode().split("\n") if line]


def write(path: Path, rows: list[Json]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def grown(data: Path, corpus: str, embedder: str, *, by: float, seed: int, flat: int) -> dict[str, Seen]:
    """Signal → the values of all probes after the corpus grew, and the share that is tolerated."""
    documents = [
        {key: row[key] for key in ("id", "title", "text")} for row in rows_of(data, f"{corpus}/documents.jsonl")
    ]
    random.Random(seed).shuffle(documents)
    first = round(len(documents) / (1 + by))
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "twofold.toml").write_text(
            f'[documents]\npaths = ["a.jsonl"]\n[examples]\npaths = ["e.jsonl"]\n'
            f'[retrieval.index]\nname = "lancedb"\noptions = {{flat_limit = {flat}}}\n'
            f'[retrieval.embedder]\nname = "{embedder}"\n'
        )
        write(directory / "a.jsonl", documents[:first])
        write(directory / "e.jsonl", rows_of(data, f"{corpus}/examples.jsonl"))
        with Project.open(directory) as project:
            project.sync()
            state = look(project, directory, None)[1]
        write(directory / "a.jsonl", documents)
        with Project.open(directory) as project:
            project.sync()
            return look(project, directory, state)[0]


def look(project: Project, directory: Path, state: Json | None) -> tuple[dict[str, Seen], Json]:
    watched = Watched(workspace=project.workspace, root=directory, splits=lambda: project.splits)
    monitor = probing.SelfRetrieval(watched, run_length=RUN_LENGTH, sample=10_000, seconds=3_000)
    seen: dict[str, Seen] = {}

    def noted(_: object, values: list[float], *, tolerated: float) -> tuple[float, ...]:
        seen[next(name for name in probing.SIGNALS if name not in seen)] = (list(values), tolerated)
        return sequential.START

    with mock.patch.object(sequential, "advanced", noted), mock.patch.object(probing, "_EXACT", 200):
        after = monitor.look(state, moment=datetime.now(UTC)).state
    return seen, after


def alarms(values: list[float], *, tolerated: float, months: int = 20) -> int:
    """Months of hourly looks at 100 of the values that alarm."""
    chance = random.Random(1)
    alarmed = 0
    for _ in range(months):
        wealth = sequential.START
        for _ in range(720):
            seen = chance.sample(values, min(len(values), probing.SAMPLE))
            wealth = sequential.advanced(wealth, seen, tolerated=tolerated)
            if sequential.statistic(wealth) >= RUN_LENGTH:
                alarmed += 1
                break
    return alarmed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--corpora", default="agxqa,xquad,clapnq,medquad")
    parser.add_argument("--embedder", default="hashing")
    parser.add_argument("--by", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flat", type=int, default=200_000, help="vectors are compared exactly up to so many chunks")
    given = parser.parse_args()
    for corpus in given.corpora.split(","):
        found = grown(given.data, corpus, given.embedder, by=given.by, seed=given.seed, flat=given.flat)
        for signal, (values, tolerated) in found.items():
            mean = statistics.fmean(values) if values else 0.0
            print(
                f"{corpus} {given.embedder} +{given.by:.0%} {signal}: mean {mean:.4f} of {len(values)}, "
                f"tolerated {tolerated:.3f}, months alarmed {alarms(values, tolerated=tolerated)} of 20",
                flush=True,
            )


if __name__ == "__main__":
    main()
