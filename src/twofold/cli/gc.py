"""`twofold gc` and `twofold models gc`: artifacts that nothing needs any more, removed."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Annotated

import typer

from twofold.cli.session import Run
from twofold.errors import ProjectLocked
from twofold.files.reading import counted
from twofold.hashing import plain


def gc(
    run: Run,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the artifacts that would be removed.")] = False,
) -> None:
    """Remove unfinished artifacts, those that no study, alias or lineage needs, and what a trial has left behind."""
    from twofold.improvement import trials
    from twofold.improvement.loop import LOCK

    with ExitStack() as stack:
        project = stack.enter_context(run.project())
        stack.enter_context(project.writing())
        folder = None
        # A trial writes under a lock of its own, so that the project's is free while it runs.
        with suppress(ProjectLocked):
            stack.enter_context(project.places.lock(LOCK))
            folder = trials.leftover(project)
        done = project.tuning.gc(dry_run=dry_run)
        number, freed, removed = len(done["removed"]), done["bytes"], [*done["removed"]]
        if folder:
            removed.append(folder.name)
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if not dry_run:
                trials.discard(project, folder)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {name}" for name in removed]
    trial = " and the place of a trial" if folder else ""
    text = [*lines, f"{verb} {counted(number, 'artifact')}{trial}, {freed / 2**20:.1f} MiB"]
    run.result({**plain(done), "removed": removed, "bytes": freed}, "\n".join(text))
