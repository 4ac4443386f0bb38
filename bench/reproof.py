"""What a study after an edit of documents saves, and what it rests on. Prints Markdown tables.

    python bench/reproof.py --data ../shared/data invariance
    python bench/reproof.py --data ../shared/data edits --rounds 3

``invariance``: the prompts of the arm rag, completed in one batch, one at a time, and in random batches of 1 to 9;
how many completions have the bytes that they have in one batch, and alone, and the seconds of each way.

``edits``: a project of agxqa (``--quick``, arms base and rag, one prompt at a time) is studied; then one document,
and 10 % of them, get another first sentence. Each time the study that follows a sync is timed twice, from copies of
one directory: as it is, and with every stored answer deleted before. Both records must be the same byte for byte
(`verdict.sameness`). Seconds are those of the studies, without the sync: by the clock, and of all processors (`cpu`),
which tell more on a machine that others use. No arm is timed: that would be the same work in both.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from twofold.generation.local import LocalGenerator, LocalOptions
from twofold.project import Project
from twofold.reports.archive import read_answers
from twofold.types import Completion, Json, Prompt
from twofold.verdict import sameness
from twofold.verdict.record import StudyRecord

PROMPTS = 48
FILES = "data/documents.jsonl"


def settings(dtype: str, batch: int = 64) -> Json:
    """Arms without tuning, answered by the embedded model."""
    generator = {"name": "local", "options": {"dtype": dtype}}
    study = {"arms": ["base", "rag"], "diagnostics": [], "latency_sample": 0}
    return {"study": study, "generation": {"generator": generator, "batch": batch}}


def made(root: Path, data: Path, limit: int) -> Path:
    """A new synced project of agxqa."""
    directory = root / "agxqa"
    Project.create(directory, data / "agxqa", quick=True).close()
    overrides = {**settings("f32"), **({"examples": {"limit": limit}} if limit else {})}
    with Project.open(directory, overrides) as project:
        project.sync()
    return directory


# ---------------------------------------------------------------- does a completion depend on its batch?


def invariance(directory: Path, *, count: int, seed: int, dtypes: Sequence[str]) -> None:
    """Print how many completions keep their bytes however they are batched."""
    with Project.open(directory, settings("f32")) as project:
        system = project.open_system(arm="rag")
        questions = [*project.splits.test, *project.splits.dev, *project.splits.train][:count]
        prompts = [one.prompt for one in system.prepare(questions) if one.prompt is not None]
        system.close()
    print("| arithmetic | way | as in one batch | as one at a time | seconds |\n|---|---|---|---|---|")
    count = len(prompts)
    chance = random.Random(seed)
    ways: dict[str, list[list[int]]] = {
        "one batch": [list(range(count))],
        "the same batch again": [list(range(count))],
        "one at a time": [[place] for place in range(count)],
        "one at a time, backwards": [[place] for place in reversed(range(count))],
        "random batches": list(shuffled(count, chance)),
    }
    for dtype in dtypes:
        for prefix in (True, False):
            generator = LocalGenerator(LocalOptions(dtype=dtype, prefix_cache=prefix))
            generator.generate(prompts[:2])  # loaded and warm
            texts: dict[str, list[str]] = {}
            for way, batches in ways.items():
                began = time.perf_counter()
                texts[way] = [completion.text for completion in in_batches(generator, prompts, batches)]
                spent = time.perf_counter() - began
                same = [
                    f"{sum(map(str.__eq__, texts[other], texts[way]))} of {count}" if other in texts else "–"
                    for other in ("one batch", "one at a time")
                ]
                label = f"{way}{'' if prefix else ', no prefix cache'}"
                print(f"| {dtype} | {label} | {same[0]} | {same[1]} | {spent:.1f} |", flush=True)
            generator.close()


def shuffled(count: int, chance: random.Random) -> Iterator[list[int]]:
    """Places in a random order, in batches of 1 to 9."""
    places = list(range(count))
    chance.shuffle(places)
    while places:
        size = chance.randint(1, 9)
        yield places[:size]
        del places[:size]


def in_batches(
    generator: LocalGenerator, prompts: Sequence[Prompt], batches: Sequence[Sequence[int]]
) -> list[Completion]:
    """The completion of each prompt, generated in these batches."""
    out: dict[int, Completion] = {}
    for batch in batches:
        out |= zip(batch, generator.generate([prompts[place] for place in batch]), strict=True)
    return [out[place] for place in range(len(prompts))]


# ---------------------------------------------------------------- what an edit costs


def edits(directory: Path, *, rounds: int, seed: int, overrides: Json) -> None:
    """Print the seconds of a study after an edit, and of one that answers everything again."""
    with Project.open(directory, overrides) as project:
        first = project.study()
    print(f"first study: {seconds(first)}", flush=True)
    print("| edited | round | again, s (cpu) | full rerun, s (cpu) | answers of rag generated | changed | record |")
    print("|---|---|---|---|---|---|---|")
    chance = random.Random(seed)
    spent: dict[str, list[tuple[float, ...]]] = {}
    for share in ("1 document", "10 %"):
        for number in range(1, rounds + 1):
            with tempfile.TemporaryDirectory() as folder:
                # The name of its directory is that of a project.
                again, full = (Path(folder) / name / directory.name for name in ("again", "full"))
                shutil.copytree(directory, again)
                edit(again, share, chance, first=read_answers(again / "studies" / first["study"]))
                with Project.open(again, overrides) as project:
                    project.sync()
                shutil.copytree(again, full)
                forget_answers(full)
                sides = [(again, *timed(again, overrides)), (full, *timed(full, overrides))]
                parts = [sameness.repeated(r, read_answers(d / "studies" / r["study"])) for d, r, *_ in sides]
                places = sameness.differing(*parts)
                record, other = sides[0][1], sides[1][1]
                seconds_of = [f"{clock:.1f} ({used:.1f})" for _, _, clock, used in sides]
                arm = record.get("reproof", {"arms": {}})["arms"].get("rag", {})
                spent.setdefault(share, []).append((*sides[0][2:], *sides[1][2:]))
                print(
                    f"| {share} | {number} | {' | '.join(seconds_of)} | {arm.get('generated', 0)} of "
                    f"{arm.get('questions', 0)} | {arm.get('changes', {})} | "
                    f"{'the same' if not places else 'differs: ' + ', '.join(places[:3])} |",
                    flush=True,
                )
                print(f"  again: {seconds(record)}\n  full:  {seconds(other)}", file=sys.stderr, flush=True)
    for share, figures in spent.items():
        again, used_again, full, used_full = (statistics.median(column) for column in zip(*figures, strict=True))
        ratios = [row[2] / row[0] for row in figures]
        print(
            f"{share}: median {again:.1f} s against {full:.1f} s, {statistics.median(ratios):.1f} times "
            f"[{min(ratios):.1f}, {max(ratios):.1f}]; processor {used_again:.1f} against {used_full:.1f} s"
        )


def edit(directory: Path, share: str, chance: random.Random, *, first: Sequence[Json]) -> None:
    """Give some documents another first sentence: one that the first study showed, or a tenth of all."""
    path = directory / FILES
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    shown = sorted({hit["document"] for row in first for hit in row["arms"]["rag"]["hits"]})
    names = [row["id"] for row in rows]
    chosen = {chance.choice(shown)} if share == "1 document" else set(chance.sample(names, len(names) // 10))
    for row in rows:
        if row["id"] in chosen:
            row["text"] = f"Revised in autumn {chance.randint(2000, 2026)}. {row['text']}"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")


def forget_answers(directory: Path) -> None:
    """Delete every stored answer and score, so that the next study makes all of them."""
    connection = sqlite3.connect(directory / ".twofold" / "catalogue.sqlite")
    for table in ("answers", "scores", "measures"):
        connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()


def timed(directory: Path, overrides: Json) -> tuple[StudyRecord, float, float]:
    """The study of now, its seconds, and those of all processors."""
    with Project.open(directory, overrides) as project:
        began, used = time.perf_counter(), time.process_time()
        record = project.study()
    return record, time.perf_counter() - began, time.process_time() - used


def seconds(record: StudyRecord) -> str:
    """The bill in one line."""
    return ", ".join(f"{item['step']} {item['seconds']:.1f}" for item in record["bill"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("invariance", "edits"))
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=0, help="at most so many examples")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument(
        "--dtype", action="append", choices=("f32", "bf16"), help="invariance: both by default; edits: f32"
    )
    parser.add_argument("--batch", type=int, default=1, help="prompts at a time in the studies of edits")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = made(Path(folder), options.data, options.limit)
        if options.what == "invariance":
            invariance(directory, count=options.prompts, seed=options.seed, dtypes=options.dtype or ("f32", "bf16"))
            return
        dtype = options.dtype[0] if options.dtype else "f32"
        overrides = {
            **settings(dtype, options.batch),
            **({"examples": {"limit": options.limit}} if options.limit else {}),
        }
        edits(directory, rounds=options.rounds, seed=options.seed, overrides=overrides)


if __name__ == "__main__":
    main()
