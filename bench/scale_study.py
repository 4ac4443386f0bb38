"""What Ray costs a study's answers, and what a second worker brings.

    python bench/scale_study.py [--questions 96] [--rounds 3] [--batch 16] [--dtype f32] [--json FILE]

The model that comes with Twofold answers bundled questions by the arm `base`, in turns, so that what else the machine
does falls on all alike: in one process, on Ray with one worker, and on Ray with two. Each has one thread. Ray runs and
models are open already, as in a long study; what they take is printed apart. All answers must have the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Before any library that starts a pool of threads is imported; worker processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

from twofold.answering.completing import completed
from twofold.execution.cluster import RayCluster
from twofold.plugins.protocols import Generator
from twofold.project import Project
from twofold.settings.scale import ScaleSection
from twofold.testing.projects import write_questions
from twofold.types import Prompt

WAYS = ("here", "ray, 1 worker", "ray, 2 workers")


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    written: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = write_questions(Path(folder) / "source", given.questions)
        Project.create(Path(folder) / "p", source).close()
        generators: dict[str, Generator] = {}
        for way in WAYS:
            scale = {"on": "ray", "workers": WAYS.index(way)} if way != "here" else {"on": "local"}
            settings = {
                "scale": scale,
                "generation": {
                    "batch": given.batch,
                    "generator": {"name": "local", "options": {"dtype": given.dtype, "threads": 1}},
                },
            }
            with Project.open(Path(folder) / "p", settings) as project:
                examples = project.examples[: given.questions]
                arm = project.config.arm("base")
                renderer = project.workspace.systems.renderer(arm, project.workspace.search.filter)
                prompts = [renderer.prompt(example, None, shots=()) for example in examples]
                generators[way] = project.workspace.models.generator()

        def batches() -> Iterator[list[Prompt]]:
            for start in range(0, len(prompts), given.batch):
                yield prompts[start : start + given.batch]

        began = time.perf_counter()
        RayCluster(ScaleSection(on="ray"))
        start = time.perf_counter() - began
        # Round 0 opens the models.
        for number in range(given.rounds + 1):
            for way in WAYS:
                began = time.perf_counter()
                done = dict(completed(generators[way], batches()))
                took = time.perf_counter() - began
                texts = [completion.text for place in sorted(done) for completion in done[place].completions]
                assert written.setdefault("all", texts) == texts, f"{way}: another text"
                if number:
                    seconds[way].append(took)
                print(f"round {number}  {way:15} {took:7.2f} s", flush=True)
        for generator in generators.values():
            generator.close()
    rows = list(zip(*seconds.values(), strict=True))
    figures = {
        "questions": len(prompts),
        "start of Ray, s": round(start, 2),
        "medians, s": {way: round(statistics.median(values), 2) for way, values in seconds.items()},
        "one worker to here, each round": [round(one / here, 3) for here, one, _ in rows],
        "one worker to two, each round": [round(one / two, 3) for _, one, two in rows],
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
