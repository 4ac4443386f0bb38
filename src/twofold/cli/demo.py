"""`twofold demo`: the whole journey on the bundled agricultural-extension questions."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from twofold.cli import check as checking
from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.cli.show import automation, outcome


def demo(
    run: Run,
    *,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Directory of the demo's project.")
    ] = Path("demo-agxqa"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Use fewer questions and shorter tuning: takes minutes.")
    ] = False,
) -> None:
    """Pull the embedded models, make a project of the bundled AgXQA set, check, sync, study, and show the verdict."""
    from twofold.cli.doctor_findings import QUICK_ABOVE, demo_plan
    from twofold.config import FILE
    from twofold.examples.preparing import NOT_COMPARED
    from twofold.models import hub
    from twofold.project import Project

    with run.progress() as progress:
        # First of all: without models everything after it would fail halfway.
        for name in hub.usual():
            hub.pull(name, progress=progress)
    with resources.as_file(resources.files("twofold") / "demo") as source:
        # Run again, the demo goes on where it was: projects are resumed, not made anew.
        if not (directory / FILE).is_file():
            Project.create(directory, source, quick=quick, forgetting=False).close()
            run.note(f"project: {directory} (agricultural-extension questions, AgXQA; see data/SOURCE.md)")
        else:
            run.note(f"project: {directory} is there already; unfinished work is resumed")
    with Project.open(directory, run.overrides) as project:
        problems = project.check()
        for problem in problems:
            if problem.code != NOT_COMPARED:  # the study makes the index that it would need
                run.note(checking.line(problem))
        if any(problem.severity == "error" for problem in problems):
            raise typer.Exit(1)
        with run.progress() as progress:
            plan = project.plan(measure=True, progress=progress)
        run.note(f"study: {', '.join(plan.arms)}; about {duration(plan.minutes * 60)} here ({plan.rates})")
        if not quick and plan.minutes > QUICK_ABOVE:
            run.note(f"`twofold demo --quick` takes about {duration(demo_plan(quick=True).minutes * 60)}")
        for warning in plan.warnings:
            run.note(f"warning: {warning}")
        with run.progress() as progress:
            record = project.study(progress=progress)
        run.result(automation(record, directory), outcome(record, directory))
    if any(arm["failures"] for arm in record["arms"].values()):
        raise typer.Exit(1)
