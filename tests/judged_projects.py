"""A small project with a study whose answers a person has marked, and a stand-in judge to try on it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from small_project import write_project
from twofold.cli.main import main
from twofold.labelling import items as blind
from twofold.labelling.labels import LABELS, BlindLabel
from twofold.reports import archive
from twofold.types import Json

SETTINGS = """
[study]
arms = ["base", "rag"]
diagnostics = []
metric = "contains"
metrics = []
resamples = 400
latency_sample = 0
[models.judge]
generator = {name = "judge"}
[judge]
model = "judge"
"""
_FACTS = [
    ("parking", "What does parking cost?", "4 euros"),
    ("canteen", "When does the canteen open?", "seven"),
    ("pool", "How warm is the pool?", "tepid"),
    ("library", "Who keeps the library?", "nobody at all"),
]
"""The last two are not what the documents say: answers to them are wrong."""


def write(directory: Path) -> Path:
    """Write the project, not studied yet, and return its directory."""
    documents = [
        {"id": "parking", "title": "On parking", "text": "Parking costs 4 euros a day, and is free on a Sunday."},
        {"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven."},
        {"id": "pool", "title": "On the pool", "text": "The pool is heated to 28 degrees all the year round."},
        {"id": "library", "title": "On the library", "text": "Mrs Pell keeps the library."},
    ]
    return write_project(directory, documents, _FACTS, copies=32, settings=SETTINGS)


def settings(options: Json, mode: str = "rubric") -> Json:
    """Overrides that give the project another judge."""
    generator = {"name": "judge", "options": options}
    return {"models": {"judge": {"generator": generator}}, "judge": {"mode": mode}}


def studied(directory: Path) -> Path:
    """Run the study."""
    assert main(["study", "-C", str(directory), "--yes", "--quiet"]) == 0
    return directory


def mark(
    directory: Path, count: int, *, by: Sequence[str] = ("ann",), wrongly: float = 0.0, mode: str = "rubric"
) -> None:
    """Let people mark the first items, wrongly in this share."""
    records = directory / "studies"
    study = archive.names(records)[-1]
    record, rows = archive.read_record(records / study), archive.read_answers(records / study)
    chance = random.Random(1)
    lines = []
    for item in blind.items(record, rows, "mark" if mode == "rubric" else "pair", secret="s")[:count]:
        for person in by:
            shown = item.shown(person)
            right = []
            for answer in shown:
                right.append(any(text.casefold() in answer.text.casefold() for text in item.row["references"]))
            if chance.random() < wrongly:
                right = [not value for value in right]
            if mode == "rubric":
                choice = "right" if right[0] else "wrong"
            else:
                choice = "same" if len(set(right)) == 1 else "first" if right[0] else "second"
            label = BlindLabel(
                id=f"{mode}-{person}-{item.name}",
                at="2026-01-01T00:00:00+00:00",
                by=person,
                kind=item.kind,
                question=item.row["question"],
                answers=shown,
                choice=choice,
                study=study,
                example=item.row["id"],
            )
            lines.append(json.dumps(asdict(label)) + "\n")
    # At once: the log itself waits for the disk after each label.
    (directory / LABELS).parent.mkdir(exist_ok=True)
    with (directory / LABELS).open("a", encoding="utf-8") as stream:
        stream.writelines(lines)


def figures(record: Json) -> dict[str, tuple[float, bool]]:
    """Name of each bar → the figure, and whether it passed."""
    out = {}
    for row in record["bars"]:
        out[row["name"]] = (row["estimate"]["mean"] if row["estimate"] else float("nan"), row["passed"])
    return out
