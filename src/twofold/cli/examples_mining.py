"""`twofold examples mine`: examples and preferences from feedback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twofold.cli.session import Run, unread
from twofold.files.reading import counted


def mine(
    run: Run,
    *,
    logs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LOG…]", help="JSON Lines files, oldest first; by default the server's own logs."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write examples to; by default mined.jsonl in the project."),
    ] = None,
    preferences: Annotated[
        Path | None,
        typer.Option(
            "--preferences",
            metavar="FILE",
            help="File to write better and worse answers to; by default preferences.jsonl.",
        ),
    ] = None,
    mask: Annotated[
        bool, typer.Option("--mask/--no-mask", help="Replace personal data and secrets by the name of their kind.")
    ] = True,
) -> None:
    """Turn logged answers and the users' feedback into examples, and into preferences for tuning.

    New ones are appended to their files; what an example asks already is not added. Questions that nobody has answered
    well are listed, the most frequent first, in to_answer.jsonl: write answers there, and the next run takes them up.
    Unused log lines are written with their reason to a file of their own.
    """
    from twofold.curation.mining import MiningFiles

    with run.project() as project, run.progress() as progress:
        files = MiningFiles(
            examples=out or project.curation.file("mined.jsonl"),
            preferences=preferences or project.directory / "preferences.jsonl",
        )
        report = project.curation.learn(files, logs or (), mask=mask, progress=progress)
        # Nothing was written that the project could have read.
        run.note(unread(project, files.examples) if report["examples"] else "")
    lines = [
        f"{counted(report['examples'], 'new example')} in {files.examples}"
        + (f", {report['answered']} of them answered in {files.to_answer.name}" if report["answered"] else ""),
        f"{counted(report['preferences'], 'new preference')} in {files.preferences}",
        f"{counted(report['to_answer'], 'question')} that nobody has answered well in {files.to_answer}",
    ]
    if report["masked"]:
        lines.append(f"personal data or secrets masked in {counted(report['masked'], 'text')}")
    if report["discarded"]:
        reasons = (f"  {number:>5} {why}" for why, number in report["discarded"].items())
        lines += [f"not used ({files.discarded}):", *reasons]
    run.result(report, "\n".join(lines))
