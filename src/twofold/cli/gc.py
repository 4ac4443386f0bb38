"""`twofold gc` and `twofold models gc`: artifacts that nothing needs any more, removed."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.errors import ProjectLocked
from twofold.files.reading import counted
from twofold.hashing import plain

if TYPE_CHECKING:
    from twofold.lifecycle.model_records import ClearedArtifacts


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
        folder, alone = None, False
        # A trial writes under a lock of its own, so that the project's is free while it runs.
        with suppress(ProjectLocked):
            stack.enter_context(project.places.lock(LOCK))
            folder, alone = trials.leftover(project), True
        done = project.tuning.gc(alone=alone, dry_run=dry_run)
        scale = project.config.scale
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
    if scale.store:
        text += _in_store(done, verb, by_all=bool(scale.database), alone=alone)
    run.result({**plain(done), "removed": removed, "bytes": freed}, "\n".join(text))


def _in_store(done: ClearedArtifacts, verb: str, *, by_all: bool, alone: bool) -> list[str]:
    """What was removed from the object store, or why nothing was."""
    if not by_all:
        return [
            "The object store keeps all: without [scale].database each machine has aliases of its own, and nobody "
            "knows which models the others need."
        ]
    if not alone:
        return ["The object store keeps all: `twofold improve` is running. Run `twofold gc` again when it has ended."]
    lines = [f"{verb} {name} from the object store" for name in done["published"]]
    size = done["published_bytes"] / 2**20
    return [*lines, f"{verb} {counted(len(done['published']), 'artifact')} from the object store, {size:.1f} MiB"]
