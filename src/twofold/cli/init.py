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
    target: Annotated[Path, typer.Argument(metavar="PROJECT", help="Directory of the new project.")],
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Folder with documents (any files, or documents.jsonl), examples (examples.jsonl), or both.",
        ),
    ],
    link: Annotated[
        bool, typer.Option("--link", help="Do not copy the files: read them in place, now and in later syncs.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Settings for a first look in minutes.")] = False,
) -> None:
    """Make a project from a folder; metrics and arms are chosen from the examples.

    The files are copied into PROJECT/data (with --link they stay in place). The id of a plain file is its path
    below FOLDER. Questions are read from the examples files, else from the one file whose records are questions with
    answers. Unread files are listed, each with its reason.
    """
    from twofold.advice.scaffold import create
    from twofold.settings.loading import load

    with run.progress() as progress:
        created = create(target, source, quick=quick, link=link, progress=progress)
    settings = load(target)
    study = settings.study
    value = {
        "project": str(target),
        "files": created.files,
        "documents": created.documents,
        "questions": created.questions,
        "examples": list(created.example_files),
        "problems": [dataclasses.asdict(problem) for problem in created.problems],
        "metric": study.metric.name,
        "metrics": [part.name for part in study.metrics],
        "arms": list(study.arms),
        "max_tokens": settings.generation.max_tokens,
    }
    run.result(value, "\n".join(_report_lines(target, source, created, settings, link=link)))


def _report_lines(target: Path, source: Path, created: Created, settings: Config, *, link: bool) -> list[str]:
    read = ", ".join(
        counted(number, what)
        for number, what in ((created.files, "file"), (created.documents, "document"), (created.questions, "question"))
    )
    where = (
        f"read where they are, in {source}"
        if link
        else f"copied to {target / 'data'}; edit them there, or init with --link to read them where they are"
    )
    lines = [f"made {target}: {read} ({where})"]
    if created.example_files:
        more = "" if len(created.example_files) <= _FILES else ", …"
        lines.append(f"  the questions are those of {', '.join(created.example_files[:_FILES])}{more}")
    # A folder with a thousand unreadable files has one line for each kind of trouble, not a thousand.
    kinds = grouped(once_a_kind(created.problems))
    alike = [(problem, f" [{count} like this there]" if count > 1 else "") for problem, count in kinds]
    lines += [f"  {line(problem)}{more}" for problem, more in alike[:_LISTED]]
    if len(kinds) > _LISTED:
        rest = sum(count for _, count in kinds[_LISTED:])
        lines.append(f"  and {rest} more: `twofold check -C {shlex.quote(str(target))}`")
    lines += [
        f"arms {', '.join(settings.study.arms)}; decided by {settings.study.metric}; the reasons, and all settings: "
        f"{target / 'twofold.toml'}",
        "try next:",
    ]
    return lines + [f"  {command}" for command in _next(shlex.quote(str(target)), created)]


def _next(target: str, created: Created) -> list[str]:
    commands = []
    if created.documents:
        question = (
            created.first
            if 0 < len(created.first) < _ASKED and "\n" not in created.first
            else "What do you want to know?"
        )
        commands += [
            # Commands to be pasted, in the order in which a newcomer needs them.
            f"twofold index documents -C {target}     # the ids of the documents",
            f"twofold ask -C {target} --arm rag {shlex.quote(question)}",
        ]
    if created.questions:
        check = f"twofold check -C {target}"
        advise = f"twofold advise -C {target}     # what will probably win, before anything is spent"
        return [*commands, check, advise, f"twofold study -C {target} --plan"]
    return [*commands, f"twofold examples make -C {target}     # no questions yet: a study needs some"]
