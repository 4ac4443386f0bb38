"""`twofold init`: a project made from a folder of documents and examples."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from twofold.cli.session import Run


def init(
    run: Run,
    *,
    target: Annotated[Path, typer.Argument(metavar="PROJECT", help="Directory to make the project in.")],
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Folder with documents.jsonl and examples.jsonl (either may be gzipped; documents may be absent).",
        ),
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Settings for a first look in minutes.")] = False,
) -> None:
    """Make a project from a folder; metrics and arms are chosen from what the examples hold."""
    from twofold.project import Project

    with Project.create(target, source, quick=quick) as project:
        study, generation = project.config.study, project.config.generation
        value = {
            "project": str(project.directory),
            "metric": study.metric.name,
            "metrics": [part.name for part in study.metrics],
            "arms": list(study.arms),
            "max_tokens": generation.max_tokens,
        }
    run.result(
        value,
        f"made {target}: arms {', '.join(study.arms)}; decided by {study.metric}\n"
        f"settings, with their reasons: {target / 'twofold.toml'}\n"
        f"next: twofold check -C {shlex.quote(str(target))} && twofold study -C {shlex.quote(str(target))} --plan",
    )
