"""`twofold examples mine`: examples and preferences from feedback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twofold.cli.session import Run, unread
from twofold.files.reading import counted


def mine(
    run: Run,
    *,
    logs: Annotated[list[str], typer.Argument(metavar="LOG…", help="JSON Lines files, oldest first.")],
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

    Unused log lines are written with their reason to a second file.
    """
    from twofold.curation.questions import save
    from twofold.curation.templates import as_record
    from twofold.examples.feedback import preference_record

    with run.project() as project:
        mined = project.curation.mine(logs, mask=mask)
        path = out or project.curation.file("mined.jsonl")
        pairs = preferences or project.directory / "preferences.jsonl"
        # Nothing is dropped in silence: every unused line is there with its reason.
        beside = path.with_name(f"{path.name.removesuffix('.jsonl')}.discarded.jsonl")
        save([as_record(example) for example in mined.examples], path)
        save([preference_record(one) for one in mined.preferences], pairs)
        save(mined.discarded, beside)
        # Nothing was written that the project could have read.
        run.note(unread(project, path) if mined.examples else "")
    files = {"file": str(path), "preferences_file": str(pairs), "discarded_file": str(beside)}
    report: dict[str, Any] = {**mined.counts, **files}
    lines = [
        f"{counted(report['examples'], 'example')} in {path}",
        f"{counted(report['preferences'], 'preference')} in {pairs}",
    ]
    if report["masked"]:
        lines.append(f"personal data or secrets masked in {counted(report['masked'], 'text')}")
    if report["discarded"]:
        lines += [f"not used ({beside}):", *(f"  {number:>5} {why}" for why, number in report["discarded"].items())]
    run.result(report, "\n".join(lines))
