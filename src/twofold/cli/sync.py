"""`twofold sync`: the index brought up to date with the documents."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.identity import plain


def sync(
    run: Run,
    *,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Embed every document again.")] = False,
) -> None:
    """Bring the index up to date: only documents whose content changed are embedded again."""
    with run.project() as project, run.progress() as progress:
        done = project.sync(rebuild=rebuild, progress=progress)
    failed = done.get("failed", [])
    lines = [
        f"{done['added']} added, {done['changed']} changed, {done['deleted']} deleted, {done['unchanged']} unchanged; "
        f"{done['chunks']} chunks in {duration(done['seconds'])}",
        *(f"failed: {item}" for item in failed),
    ]
    run.result(plain(done), "\n".join(lines))
    if failed:
        raise typer.Exit(1)
