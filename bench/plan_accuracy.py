"""Does a plan keep its word? The planned and the real seconds of a study, step by step, on this machine.

    python bench/plan_accuracy.py PROJECT [PROJECT …] [--limit N] [--arms base,rag]

For each project folder: its plan is made (measuring the machine first where nothing is known of its pace), its study
is run, and a table of both is printed with the ratio of planned to real time. What is cached costs no time in either:
for a whole study take a project that was never run. The last line says how many of the totals were within 30 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twofold.project import Project
from twofold.verdict.record import BillItem

WITHIN = 0.3
"""Share by which a plan may be wrong."""


def rows(plan: Sequence[BillItem], bill: Sequence[BillItem], synced: float) -> list[tuple[str, float, float]]:
    """(step, planned, real) of every step of either; the last steps of both are one."""
    planned = {item["step"]: item["seconds"] for item in plan}
    real = {item["step"]: item["seconds"] for item in bill}
    real["score and decide"] = real.pop("score, decide", 0.0)
    real["embed documents"] = synced
    names = [name for name in dict.fromkeys((*planned, *real)) if planned.get(name) or real.get(name)]
    return [(name, planned.get(name, 0.0), real.get(name, 0.0)) for name in names]


def measured(directory: Path, overrides: dict[str, Any]) -> tuple[float, float]:
    """Plan and run one project; prints its table and returns planned and real seconds in all."""
    import time

    with Project.open(directory, overrides) as project:
        plan = project.plan(measure=True)
        began = time.perf_counter()
        project.sync()
        synced = time.perf_counter() - began
        record = project.study()
        real = time.perf_counter() - began
    print(f"{directory} ({plan.rates})\n{'step':<28} {'planned':>9} {'real':>9}")
    for name, planned, spent in rows(plan.steps, record["bill"], synced):
        print(f"{name:<28} {planned:8.1f}s {spent:8.1f}s")
    total = 60 * plan.minutes
    print(f"{'in all':<28} {total:8.1f}s {real:8.1f}s   planned / real {total / real:.2f}")
    return total, real


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("projects", nargs="+", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--arms")
    given = parser.parse_args()
    overrides: dict[str, Any] = {}
    if given.limit:
        overrides["examples"] = {"limit": given.limit}
    if given.arms:
        overrides["study"] = {"arms": given.arms.split(","), "diagnostics": []}
    found = [measured(directory, overrides) for directory in given.projects]
    good = sum(1 for planned, real in found if abs(planned - real) <= WITHIN * real)
    print(f"{good} of {len(found)} totals within {WITHIN:.0%}")


if __name__ == "__main__":
    main()
