"""`twofold backup` and `twofold restore`: a project in one file, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run, require_known
from twofold.files.reading import counted

if TYPE_CHECKING:
    from twofold.deployment.backup import BackupReport
    from twofold.deployment.snapshot import Omission

_SHOWN = 10


def backup(
    run: Run,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup, a tar; a new file outside the project.")],
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PART", help="Leave out data, keys, feedback, traffic or audit. Repeatable."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only read an existing backup and check every file in it.")
    ] = False,
) -> None:
    """Write the whole project into one file, while its server answers and a sync runs; or check such a file.

    Exit code 3: the disk refuses, or the file that is checked is damaged.
    """
    from twofold.deployment import backup as deployed
    from twofold.deployment.snapshot import PARTS

    if verify:
        report = deployed.verified(file)
        run.result(report.to_json(), "\n".join(_lines("whole", report)))
        return
    for part in without or ():
        require_known("--without", part, PARTS)
    with run.project() as project, run.progress() as progress:
        report = deployed.back_up(
            project.directory,
            project.config,
            file,
            now=datetime.now(UTC),
            without=without or (),
            progress=progress,
        )
    run.result(report.to_json(), "\n".join(_lines("backed up", report)))


def restore(
    run: Run,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the restored project, new or empty.")],
) -> None:
    """Put a backup into a new folder: every file is checked first, and nothing is overwritten."""
    from twofold.deployment import backup as deployed

    report = deployed.restore(file, folder)
    run.result({**report.to_json(), "folder": str(folder)}, "\n".join(_lines(f"restored to {folder}", report)))


def _lines(done: str, report: BackupReport) -> list[str]:
    size = f"{counted(report.files, 'file')}, {report.bytes / 2**20:.1f} MiB"
    lines = [f"{done}: {report.project}, {size}, of {report.at}"]
    if report.pause:
        lines.append(f"commits of other commands waited {report.pause * 1000:.0f} ms")
    return lines + left_out(report.left_out)


def left_out(entries: Iterable[Omission]) -> list[str]:
    """Lines on what an archive does not have."""
    lines = [f"not in it: {entry['what']}: {entry['because']}. {entry['cure']}" for entry in entries]
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more (--json lists all)"]
