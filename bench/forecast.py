"""Does a forecast keep its word? Probes on train and dev, then a study of base and rag, on real sets with documents.

    python bench/forecast.py [--data ../shared/data] [--set agxqa …] [--limit 150] [--minutes 2] [--json FILE]

Of each set a project is made as `twofold init` makes it, probed, and studied with the arms base and rag. Printed are
the gain that the probes predict, by the formula and as counted in the sample's own answers, beside the gain measured on
the test questions; whether each measured mean lies where it was to be expected; and the regret: how much lower the
score of the arm that the forecast favours is than that of the better arm. ``--json`` keeps a line a set, and a set that
the file has is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twofold.advice.probes.gain import measurable
from twofold.hashing import plain
from twofold.project import Project
from twofold.reports.archive import read_answers
from twofold.stats import intervals
from twofold.types import Estimate
from twofold.verdict.evidence import is_wrong
from twofold.verdict.record import estimate_text, number_text

DATA = Path(os.environ.get("TWOFOLD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SETS = (
    *("agxqa", "xquad", "pubmedqa", "clapnq", "covidqa", "chunking_eval"),
    *("agvaluate", "seedbench", "medquad", "mtrag", "dstc11", "qmsum"),
)


def row_of(source: Path, folder: Path, *, limit: int, minutes: float) -> dict[str, Any]:
    """One set: its forecast, its measured scores, and both gains."""
    began = time.monotonic()
    if not folder.is_dir():  # one that is kept goes on where it was stopped
        Project.create(folder, source, quick=True).close()
    settings = {
        "examples": {"limit": limit, "train": 0.3, "dev": 0.1, "test": 0.6, "reserve": 0.0},
        "study": {"arms": ["base", "rag"], "diagnostics": [], "latency_sample": 0, "resamples": 2000},
    }
    with Project.open(folder, settings) as project:
        forecast = project.probing.run(minutes=minutes)
        probing = time.monotonic() - began
        study = project.study()
        rows = read_answers(project.records / study["study"])
        groups = [row["group"] for row in rows]
        columns = []
        for arm in ("base", "rag"):
            scores = [0.0 if r["arms"][arm]["failure"] else r["arms"][arm]["scores"][study["metric"]] for r in rows]
            columns.append(scores)
    matrix = np.array(columns, dtype=float).T  # (questions, 2)
    least = forecast["right_from"]
    right = np.array([[float(not is_wrong(score, least)) for score in pair] for pair in matrix])
    difference = {"gain": np.array([-1.0, 1.0])}
    gain = intervals.contrasts(right, groups, difference, resamples=2000)["gain"].estimate()
    better = intervals.contrasts(matrix, groups, difference, resamples=2000)["gain"].estimate()
    worth = intervals.kish(np.unique(groups, return_counts=True)[1])
    expected = {}
    for name in ("gain", "counted"):
        if forecast[name]:
            predicted = Estimate(**forecast[name])
            place = measurable(predicted, worth=forecast["sample"]["worth"], study=worth, reach=(-1.0, 1.0))
            expected[name] = plain(place)
    return {
        "set": source.name,
        "metric": forecast["metric"],
        "sample": forecast["sample"],
        "probes": forecast["probes"],
        "predicted": {name: forecast[name] for name in ("gain", "counted")},
        "expected": expected,
        "measured": plain(gain),
        "arms": {
            name: {"forecast": arm, "measured": study["arms"][name]["metrics"][study["metric"]]}
            for name, arm in forecast["arms"].items()
        },
        "difference": plain(better),
        "warnings": [warning["code"] for warning in forecast["warnings"]],
        "test": len(rows),
        "seconds": {"probing": probing, "all": time.monotonic() - began},
    }


def inside(estimate: dict[str, float] | None, value: float) -> str:
    """Does the value lie where it was to be expected?"""
    return "-" if not estimate else "yes" if estimate["low"] <= value <= estimate["high"] else "NO"


def favoured(row: dict[str, Any], by: str) -> str:
    """The arm that a forecast favours: rag only where its gain is likelier than not above the margin of .02."""
    gain = row["predicted"].get(by) or row["predicted"]["counted"]
    return "rag" if gain and gain["mean"] > 0.02 else "base"


def regret(row: dict[str, Any], by: str) -> float:
    """How much lower the measured score of the favoured arm is than that of the better arm."""
    gain = row["difference"]["mean"]
    return max(0.0, gain if favoured(row, by) == "base" else -gain)


def report(rows: Sequence[dict[str, Any]]) -> None:
    """The table of all sets, and the calibration and regret over them."""
    heads = f"{'gain by formula':<20}{'in':<5}{'counted':<20}{'in':<5}{'measured':<20}regret"
    print(f"{'set':<14}{'n':>4}{'test':>5}  {'p':<5}{'R':<5}{'U':<5}{'D':<5}{heads}")
    for row in rows:
        shares = "".join(
            f"{number_text(row['probes'][n]['mean'], 2) if n in row['probes'] else '-':<5}" for n in "pRUD"
        )
        line = f"{row['set']:<14}{row['sample']['questions']:>4}{row['test']:>5}  {shares}"
        for by in ("gain", "counted"):
            predicted = row["predicted"][by]
            line += f"{estimate_text(predicted, 2) if predicted else '-':<20}"
            line += f"{inside(row['expected'].get(by), row['measured']['mean']):<5}"
        print(f"{line}{estimate_text(row['measured'], 2):<20}{number_text(regret(row, 'gain'), 2)}")
    for by in ("gain", "counted"):
        known = [row for row in rows if row["expected"].get(by)]
        good = sum(inside(row["expected"][by], row["measured"]["mean"]) == "yes" for row in known)
        errors = [row["predicted"][by]["mean"] - row["measured"]["mean"] for row in known]
        if known:
            print(
                f"{by}: {good} of {len(known)} measured gains where expected; mean error {np.mean(errors):+.3f}, "
                f"absolute {np.mean(np.abs(errors)):.3f}; mean regret {np.mean([regret(r, by) for r in known]):.3f}"
            )
    arms = [(row["set"], name, arm) for row in rows for name, arm in row["arms"].items()]
    wrong = [f"{s}/{n}" for s, n, arm in arms if inside(arm["forecast"]["expected"], arm["measured"]["mean"]) == "NO"]
    print(f"scores: {len(arms) - len(wrong)} of {len(arms)} where expected; wrong: {', '.join(wrong) or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", nargs="+", default=list(SETS), dest="sets")
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.json and arguments.json.is_file():
        rows = [json.loads(line) for line in arguments.json.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.sets:
            if name in {row["set"] for row in rows}:
                continue
            folder = (arguments.keep or Path(scratch)) / name
            rows.append(row_of(arguments.data / name, folder, limit=arguments.limit, minutes=arguments.minutes))
            if arguments.json:
                with arguments.json.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(rows[-1]) + "\n")
            report(rows[-1:])
    report(rows)


if __name__ == "__main__":
    main()
