"""Making the self-retrieval questions beside a sync of 10,000 documents, and what a look at them costs.

Sync with and without the questions, in turn, medians of three; documents are generated from the bundled texts.

    python bench/watch_probes.py [--documents 10000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from twofold.indexing import self_questioning
from twofold.monitoring.probing import SelfRetrieval
from twofold.monitoring.served import Watched
from twofold.project import Project

WORDS = (
    *("water", "field", "crop", "soil", "year", "irrigation", "season", "yield"),
    *("pump", "pressure", "sensor", "depth", "valve", "rain", "drought"),
)
SETTINGS = '[documents]\npaths = ["data/documents.jsonl"]\n[retrieval.embedder]\nname = "hashing"\n'


def write(directory: Path, documents: int) -> None:
    rng = random.Random(1)
    (directory / "data").mkdir(parents=True)
    with (directory / "data" / "documents.jsonl").open("w") as file:
        for number in range(documents):
            sentences = [
                " ".join(rng.choices(WORDS, k=11)).capitalize() + f" {rng.randrange(10**6)} measured."
                for _ in range(12)
            ]
            record = {
                "id": f"d{number}",
                "title": f"Report {number} on {rng.choice(WORDS)}",
                "text": " ".join(sentences),
            }
            file.write(json.dumps(record) + "\n")
    (directory / "twofold.toml").write_text(SETTINGS)


def sync(documents: int, *, with_questions: bool) -> float:
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "project"
        write(directory, documents)
        questions_of = self_questioning.questions_of if with_questions else lambda _document, _chunks: []
        with mock.patch.object(self_questioning, "questions_of", questions_of), Project.open(directory) as project:
            began = time.perf_counter()
            project.sync()
            seconds = time.perf_counter() - began
            if with_questions:
                look(project, directory)
        return seconds


def look(project: Project, directory: Path) -> None:
    monitor = SelfRetrieval(
        Watched(workspace=project.workspace, root=directory, splits=lambda: project.splits), run_length=1e6
    )
    state = None
    for name in ("first look", "second look"):
        began = time.process_time()
        seen = monitor.look(state, moment=datetime.now(UTC))
        state = seen.state
        print(f"  {name}: {time.process_time() - began:.2f} s of processor time, {seen.readings[0]['why']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(given.repeats):
        for with_questions in (True, False):
            seconds[with_questions].append(sync(given.documents, with_questions=with_questions))
    with_, without = statistics.median(seconds[True]), statistics.median(seconds[False])
    print(
        f"{given.documents} documents, ratio {with_ / without:.3f}: {with_:.1f} s with questions, {without:.1f} without"
    )
    print(f"the questions alone: {with_ - without:.1f} s")


if __name__ == "__main__":
    main()
