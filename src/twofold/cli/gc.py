"""`twofold gc` and `twofold models gc`: artifacts that nothing needs any more, removed."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.session import Run
from twofold.hashing import plain


def gc(
    run: Run,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the artifacts that would be removed.")] = False,
) -> None:
    """Remove unfinished artifacts and those that no study, alias or lineage needs."""
    with run.project() as project, project.writing():
        done = project.tuning.gc(dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {name}" for name in done["removed"]]
    run.result(plain(done), "\n".join([*lines, f"{verb} {len(lines)} artifacts, {done['bytes'] / 2**20:.1f} MiB"]))
