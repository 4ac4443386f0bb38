"""`twofold tune`: one arm's adapter trained, without a study."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.identity import plain


def tune(
    run: Run,
    *,
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="ft (closed-book) or ft+rag (open-book).")
    ] = "ft+rag",
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="MINUTES", min=0, help="Longest training time.")
    ] = None,
) -> None:
    """Train an arm's adapter on the train split, or find the one that is there; an interrupted run resumes."""
    with run.project(tuning__trainer__options__minutes=minutes) as project, run.progress() as progress:
        done = project.tune(arm=arm, progress=progress)
    how = "was there already" if done.get("cached") else f"trained in {duration(done['seconds'])}"
    run.result(
        plain(done), f"adapter of {arm} {how}: {done['steps']} steps, best at {done['best_step']}\n{done['path']}"
    )
