"""`twofold verify`: a study's certificate, decided again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import one_line

if TYPE_CHECKING:
    from twofold.study.verifying import Verification

_SHOWN = 20
"""Faults that are printed; JSON has all."""


def verify(
    run: Run,
    *,
    study: Annotated[
        str,
        typer.Argument(
            metavar="[STUDY|FILE]",
            help="Name, number or directory of a study, or a verdict.json; the latest study.",
        ),
    ] = "",
) -> None:
    """Verify a study's certificate offline: work out every number and the verdict again, and compare what is at hand.

    Exit code 1: something does not agree, and is listed.
    """
    from twofold.reports import archive
    from twofold.study.verifying import verify as verified

    path = Path(study) if study.endswith(".json") else archive.at_path(study)
    if path is None:
        with run.project() as project:
            path = project.records / archive.named(archive.names(project.records), study)
    verification = verified(path)
    run.result(verification.to_json(), "\n".join(_lines(verification)))
    if not verification.verified:
        raise typer.Exit(1)


def _lines(verification: Verification) -> list[str]:
    faults = verification.faults
    state = "verified" if verification.verified else "NOT verified"
    lines = [f"{state}: study {verification.study}, {verification.outcome}"]
    lines += [f"  differs: {one_line(fault)}" for fault in faults[:_SHOWN]]
    if len(faults) > _SHOWN:
        lines.append(f"  … and {len(faults) - _SHOWN} more (--json lists all)")
    lines += [f"  agrees: {one_line(line)}" for line in verification.agreed]
    lines += [f"  not checked: {one_line(line)}" for line in verification.open]
    return lines
