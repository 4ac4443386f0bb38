"""`twofold init`: a project made from a folder of documents and examples."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.check import line
from twofold.cli.session import Run
from twofold.files.reading import counted, grouped, once_a_kind

if TYPE_CHECKING:
    from twofold.advice.scaffold import Created
    from twofold.config import Config

_LISTED = 20
"""Files with a kind of problem shown, one line each; ``--json`` and `twofold check` list all."""
_FILES = 3
"""Files of questions that are named."""
_ASKED = 200
"""A longer question is not offered to be asked."""


def init(
    run: Run,
    *,
    target: Annotated[Path, typer.Argument(metavar="PROJECT", help="Directory to make the project in.")],
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Folder of documents (any files, or documents.jsonl), of examples (examples.jsonl), or of both.",
        ),
    ],
    link: Annotated[
        bool, typer.Option("--link", help="Copy nothing: read the files where they are, now and in later syncs.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Settings for a first look in minutes.")] = False,
) -> None:
    """Make a project from a folder; metrics and arms are chosen from what the examples hold.

    The files are copied into PROJECT/data (or stay where they are, with --link). Ids of plain files are their paths
    below FOLDER. Questions are read from its examples files, else from the one file whose records are questions with
    answers. Files that are not read are listed, each with its reason.
    """
    from twofold.advice.scaffold import create
    from twofold.config import load

    with run.progress() as progress:
        made = create(target, source, quick=quick, link=link, progress=progress)
    settings = load(target)
    study = settings.study
    value = {
        "project": str(target),
        "files": made.files,
        "documents": made.documents,
        "questions": made.questions,
        "examples": list(made.example_files),
        "problems": [dataclasses.asdict(problem) for problem in made.problems],
        "metric": study.metric.name,
        "metrics": [part.name for part in study.metrics],
        "arms": list(study.arms),
        "max_tokens": settings.generation.max_tokens,
    }
    run.result(value, "\n".join(_told(target, source, made, settings, link=link)))


def _told(target: Path, source: Path, made: Created, settings: Config, *, link: bool) -> list[str]:
    read = ", ".join(
        counted(number, what)
        for number, what in ((made.files, "file"), (made.documents, "document"), (made.questions, "question"))
    )
    where = (
        f"read where they are, in {source}"
        if link
        else f"copied to {target / 'data'}; edit them there, or init with --link to read them where they are"
    )
    lines = [f"made {target}: {read} ({where})"]
    if made.example_files:
        more = "" if len(made.example_files) <= _FILES else ", …"
        lines.append(f"  the questions are those of {', '.join(made.example_files[:_FILES])}{more}")
    found = grouped(once_a_kind(made.problems))
    alike = [(problem, f" [{count} like this there]" if count > 1 else "") for problem, count in found]
    lines += [f"  {line(problem)}{more}" for problem, more in alike[:_LISTED]]
    if len(found) > _LISTED:
        rest = sum(count for _, count in found[_LISTED:])
        lines.append(f"  and {rest} more: `twofold check -C {shlex.quote(str(target))}`")
    lines += [
        f"arms {', '.join(settings.study.arms)}; decided by {settings.study.metric}; the reasons, and all settings: "
        f"{target / 'twofold.toml'}",
        "try next:",
    ]
    return lines + [f"  {command}" for command in _next(shlex.quote(str(target)), made)]


def _next(target: str, made: Created) -> list[str]:
    commands = []
    if made.documents:
        asked = made.first if 0 < len(made.first) < _ASKED and "\n" not in made.first else "What do you want to know?"
        commands += [
            f"twofold index documents -C {target}     # the ids of the documents",
            f"twofold ask -C {target} --arm rag {shlex.quote(asked)}",
        ]
    if made.questions:
        return [*commands, f"twofold check -C {target}", f"twofold study -C {target} --plan"]
    return [*commands, f"twofold examples make -C {target}     # no questions yet: a study needs some"]
