"""`twofold examples select`: the training examples that a budget is best spent on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twofold.cli.session import Run, require_known


def select(
    run: Run,
    *,
    budget: Annotated[int, typer.Option("--budget", metavar="N", min=1, help="Number of examples to select.")],
    by: Annotated[
        str,
        typer.Option("--by", metavar="WHAT", help="Criterion: both, difficulty, diversity, or random as a baseline."),
    ] = "both",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed for breaking ties and for random choice.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; by default selected.jsonl in the project."),
    ] = None,
) -> None:
    """Choose examples of the train split by difficulty for the base model, by diversity, or by both."""
    from twofold.curation.questions import save
    from twofold.curation.selection import BYS
    from twofold.curation.templates import as_record

    require_known("--by", by, BYS)
    way = next(one for one in BYS if one == by)
    with run.project() as project, run.progress() as progress:
        selection = project.curation.select(budget, by=way, seed=seed, progress=progress)
        path = out or project.directory / "selected.jsonl"
    # Chosen from the train split, they must stay there: a random split would move some into the test.
    save([{**as_record(e), "split": "train"} for e in selection.examples], path)
    beyond = sum(one["why"] != "beyond the budget" for one in selection.left_out)
    report: dict[str, Any] = {
        "selected": len(selection.examples),
        "by": by,
        "of": len(selection.examples) + len(selection.left_out),
        "too_hard": beyond,
        "difficulty": {e.id: selection.difficulty[e.id] for e in selection.examples} if selection.difficulty else {},
        "left_out": list(selection.left_out),
        "file": str(path),
    }
    lines = [f"{report['selected']} of {report['of']} training examples by {by} in {path}"]
    if beyond:
        lines.append(f"{beyond} are too hard: their question does not help the model; read them (--json lists them)")
    run.result(report, "\n".join(lines))
