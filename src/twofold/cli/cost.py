"""`twofold cost`: what each arm of a study costs to own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import say


def cost(
    run: Run,
    *,
    study: Annotated[
        str, typer.Argument(metavar="[STUDY]", help="Name or number of the study; the latest by default.")
    ] = "",
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", help="Table of prices; [costs].prices, else prices.csv, by default."),
    ] = None,
    volume: Annotated[
        float | None, typer.Option("--volume", metavar="N", min=1, help="Answers a month, in place of [costs].volume.")
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="List every part of every arm's cost, with its quantity.")
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Print a table of prices to fill in, every amount unknown, and stop.")
    ] = False,
) -> None:
    """Print what each arm of a study costs: a thousand answers, a right answer, a month, and where two arms break even.

    Quantities are those that the study metered, prices those of your table; the rest of the use stands in [costs].
    """
    if template:
        say((resources.files("twofold.costs") / "prices.csv").read_text(encoding="utf-8"), nl=False)
        return
    from twofold.reports.cost_lines import cost_summary

    with run.project(costs__volume=volume) as project:
        record = project.cost(study, prices=prices or "")
    for warning in record["warnings"]:
        run.note(f"warning: {warning}")
    run.result(record, cost_summary(record, parts=parts))
