"""`twofold check`: everything that is wrong with documents and examples, before a minute is spent."""

from __future__ import annotations

import dataclasses

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import one_line
from twofold.files.reading import counted, once_a_kind, times
from twofold.types import Problem


def check(run: Run) -> None:
    """Report every problem of documents, examples and splits, with file and line. Exit code 1: errors."""
    with run.project() as project:
        problems = project.check()
    errors = sum(times(problem) for problem in problems if problem.severity == "error")
    warnings = sum(map(times, problems)) - errors
    value = {
        "errors": errors,
        "warnings": warnings,
        "problems": [dataclasses.asdict(problem) for problem in problems],
    }
    shown = once_a_kind(problems)
    # Printed is one problem of each kind that many files share (`once_a_kind`), and counted as one; JSON has them all.
    fewer = warnings - (len(problems) - len(shown))
    run.result(
        value,
        "\n".join([*map(line, shown), f"{counted(errors, 'error')}, {counted(fewer, 'warning')}"]),
    )
    if errors:
        raise typer.Exit(1)


def line(problem: Problem) -> str:
    """``file:line: severity: message (cure)``."""
    place = problem.file + (f":{problem.line}" if problem.line else "") if problem.file else "project"
    return one_line(f"{place}: {problem.severity}: {problem.message} ({problem.cure})")
