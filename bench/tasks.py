"""Tuning on real tasks: the base model, the tuned one, and for intents a strong linear baseline, on the same questions.

    python bench/tasks.py [--data ../shared/data] [--task banking77 …] [--train 1000] [--test 500] [--quick] [--large]
    python bench/tasks.py --task snips_json --train 600 --method lora qlora full adapter prompt prefix ia3 --gate

Intents (banking77, clinc150): accuracy, beside logistic regression on sentence embeddings, its penalty chosen by
cross-validation on the same training examples. Extraction (snips_json): share of valid JSON, field F1. Clinical notes
(mts_dialog): ROUGE-L, `section_f1` (is the section named rightly), and `style`, 1 − how well a classifier tells the
answers from notes that people wrote. The test is the sets' own dev part, which no choice here has seen; dev is cut from
train. Every figure has a 95 % interval, differences are paired and simultaneous. ``--quick`` is a run in minutes to see
that it works, ``--large`` takes hours on two cores. Several methods are compared on dev (a third of the examples then),
with tokens/s, peak memory, what ``--gate`` finds forgotten and the artifact's size; the best goes on to the test. Speed
counts on an idle machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("TWOFOLD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True, kw_only=True)
class Task:
    metrics: tuple[str, ...]
    """The first decides."""
    closed: str
    """System message."""
    max_tokens: int
    linear: bool = False
    headed: bool = False
    """Outputs begin with the name of their section."""


TASKS = {
    "banking77": Task(
        metrics=("accuracy", "macro_f1"),
        closed="Name the intent of the bank customer's message, in snake case.",
        max_tokens=24,
        linear=True,
    ),
    "clinc150": Task(
        metrics=("accuracy", "macro_f1"),
        closed="Name the intent of the message, in snake case; oos when it has none.",
        max_tokens=16,
        linear=True,
    ),
    "snips_json": Task(
        metrics=("field_f1", "json_valid"),
        closed="Write the request as a JSON object with intent and slots.",
        max_tokens=128,
    ),
    "mts_dialog": Task(
        metrics=("rouge_l", "section_f1", "style"),
        closed="Write the section of the clinical note that this conversation belongs to: its name, a colon, the text.",
        max_tokens=160,
        headed=True,
    ),
}
SIZES = {"quick": (60, 30), "small": (1000, 500), "large": (8000, 3000)}


def rows_of(data: Path, name: str, *, train: int, test: int, seed: int) -> list[dict[str, Any]]:
    """So many training and test records, drawn by seed."""
    with gzip.open(data / name / "examples.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    out = []
    for split, count in (("train", train), ("dev", test)):
        own = [row for row in rows if row["split"] == split]
        random.Random(f"{seed}/{split}").shuffle(own)
        out += own[:count]
    if TASKS[name].headed:
        out = [{**row, "output": f"{row['section']}: {row['output']}"} for row in out]
    return out


def project_of(folder: Path, rows: list[dict[str, Any]], task: Task, given: Any) -> Any:
    """A project of these records; their dev part is the test."""
    from twofold.project import Project

    folder.mkdir(parents=True)
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "twofold.toml").write_text('[examples]\npaths = ["examples.jsonl"]\n', encoding="utf-8")
    tuning: dict[str, Any] = {"gate": "report" if given.gate else "off", "merge_back": []}
    methods = given.method if len(given.method) > 1 else []
    options = {name: value for name in ("epochs", "minutes", "objective") if (value := getattr(given, name))}
    return Project.open(
        folder,
        {
            "documents": {"paths": []},
            "examples": {"split_by": "given", "train": 1 - given.dev, "dev": given.dev},
            "prompt": {"closed": task.closed},
            "generation": {"max_tokens": task.max_tokens},
            "tuning": {**tuning, "trainer": {"name": given.method[0], "options": options}, "methods": methods},
            "study": {"metric": task.metrics[0]},
        },
    )


def linear(project: Any, train: Any, test: Any) -> list[Any]:
    """Answers of logistic regression on sentence embeddings."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    from twofold.types import Answer

    embedder = project.workspace.search.embedder
    known, asked = (embedder.embed([e.question for e in part]) for part in (train, test))
    labels = [e.references[0] for e in train]
    folds = 3 if min(np.unique(labels, return_counts=True)[1]) >= 3 else 2
    search = GridSearchCV(LogisticRegression(max_iter=2000), {"C": [1.0, 10.0, 100.0]}, cv=folds)
    search.fit(known, labels)
    print(f"  linear: C = {search.best_params_['C']:g}", file=sys.stderr)
    return [Answer(text=str(text), raw=str(text)) for text in search.predict(asked)]


def answers_of(project: Any, arm: str, splits: Any, progress: Any) -> tuple[list[Any], Any]:
    """One arm's answers to the test questions, and its training report."""
    system, report = project.workspace.arms.system(project.config.arm(arm), splits, progress=progress)
    try:
        made: list[Any] = []
        for at in range(0, len(splits.test), 64):
            made += system.answer(splits.test[at : at + 64])
            progress(f"answer {arm}", len(made), len(splits.test))
    finally:
        system.close()
    return made, report


def measured(answers: dict[str, list[Any]], test: Any, metrics: tuple[str, ...]) -> dict[str, Any]:
    """Estimates of every side and metric, and paired differences in the first metric."""
    from twofold.hashing import plain
    from twofold.plugins import loading
    from twofold.stats import intervals

    found: dict[str, Any] = {"estimates": {}, "differences": {}}
    columns: dict[str, list[float]] = {}
    for side, own in answers.items():
        found["estimates"][side] = {}
        for name in metrics:
            metric = loading.make("metrics", name, {})
            items = [(e, a) for e, a in zip(test, own, strict=True) if a.failure is None]
            failed = len(own) - len(items)
            if getattr(metric, "pooled", False):
                made = intervals.pooled(metric.pool, items, failed=failed)
            else:
                scores = [np.nan if s is None else s for s in (metric.score(e, a) for e, a in items)]
                made = intervals.estimate(scores, failed=failed)
            found["estimates"][side][name] = plain(made)
            if name == metrics[0]:
                columns[side] = [
                    np.nan if a.failure is not None or (s := metric.score(e, a)) is None else s
                    for e, a in zip(test, own, strict=True)
                ]
    sides = list(columns)
    weights = {
        f"{other} - {one}": [1.0 if s == other else -1.0 if s == one else 0.0 for s in sides]
        for one, other in (("base", "tuned"), ("linear", "tuned"))
        if one in sides
    }
    made_of = intervals.contrasts(np.array(list(columns.values())).T, None, weights)
    found["differences"] = {name: plain(one.estimate()) for name, one in made_of.items()}
    return found


def run(name: str, given: Any) -> dict[str, Any]:
    """One task, all sides."""
    task, (train, test) = TASKS[name], SIZES[given.size]
    rows = rows_of(given.data, name, train=given.train or train, test=given.test or test, seed=given.seed)

    def progress(stage: str, done: int, total: int) -> None:
        if done == total or done % 64 == 0:
            print(f"  {name}: {stage} {done}/{total}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as scratch:
        folder = (given.keep or Path(scratch)) / name
        if (folder / "twofold.toml").exists():
            raise SystemExit(f"{folder} is there already: name another --keep")
        with project_of(folder, rows, task, given) as project:
            splits = project.splits
            base, _ = answers_of(project, "base", splits, progress)
            tuned, report = answers_of(project, "ft", splits, progress)
            answers = {"base": base, "tuned": tuned}
            if task.linear:
                answers["linear"] = linear(project, (*splits.train, *splits.dev), splits.test)
            found = measured(answers, splits.test, task.metrics)
    wanted = ("steps", "best_step", "epochs", "tokens", "seconds", "stopped", "gate", "methods", "merge_back")
    found["training"] = {key: report[key] for key in wanted if key in report}
    found["sizes"] = {"train": len(splits.train), "dev": len(splits.dev), "test": len(splits.test)}
    return found


def show(name: str, found: dict[str, Any]) -> None:
    sizes = found["sizes"]
    print(f"\n{name}: {sizes['train']} train, {sizes['dev']} dev, {sizes['test']} test")
    metrics = list(next(iter(found["estimates"].values())))
    print(f"| side | {' | '.join(metrics)} |\n|---|{'---|' * len(metrics)}")
    for side, own in found["estimates"].items():
        cells = [f"{e['mean']:.3f} [{e['low']:.3f}, {e['high']:.3f}]" for e in own.values()]
        print(f"| {side} | {' | '.join(cells)} |")
    several = found["training"].get("methods", ())
    if several:
        heads = ("method", f"dev {metrics[0]}", "ability lost", "tokens/s", "peak MiB", "MB", "s", "p50 s")
        print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in several:
        dev, drop = row["dev"], row["drop"]
        lost = f"{drop['mean']:.3f} [{drop['low']:.3f}, {drop['high']:.3f}]" if drop else ""
        cells = [f"{row['tokens_per_second']:.0f}", f"{row['peak_mib']:.0f}", f"{row['bytes'] / 1e6:.1f}"]
        cells += [f"{row['seconds']:.0f}", f"{row['latency']['p50']:.2f}"]
        told = f"{dev['mean']:.3f} [{dev['low']:.3f}, {dev['high']:.3f}]"
        print(f"| {row['method']} | {told} | {lost} | {' | '.join(cells)} |")
    for told, e in found["differences"].items():
        print(f"{metrics[0]}, {told}: {e['mean']:+.3f} [{e['low']:+.3f}, {e['high']:+.3f}], n = {e['n']}")


def main() -> None:
    """Run the tasks asked for and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--task", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--train", type=int, default=0, help="training examples, dev included")
    parser.add_argument("--test", type=int, default=0)
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", default="small")
    parser.add_argument("--large", dest="size", action="store_const", const="large")
    parser.add_argument("--method", nargs="+", default=["lora"])
    parser.add_argument("--epochs", type=float, default=0.0, help="0: the method's own")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training, each task and method")
    parser.add_argument("--objective", default="", choices=("supervised", "labels"))
    parser.add_argument("--gate", action="store_true", help="measure forgetting as well")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the projects in this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    given.dev = 0.1 if len(given.method) == 1 else 0.33
    found = {}
    for name in given.task:
        found[name] = run(name, given)
        show(name, found[name])
        if given.json:
            given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
