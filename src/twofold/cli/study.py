"""`twofold study`: plan, ask for leave, run, decide."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli import where
from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.cli.show import automation, outcome
from twofold.cli.terminal import console
from twofold.errors import ConfigError
from twofold.hashing import plain
from twofold.text.arm_names import without_model

if TYPE_CHECKING:
    from twofold.study.plan_record import StudyPlan

DIAGNOSTIC = "oracle"
"""Arms that are shown the right passages: `--arms` takes them too, and no verdict chooses them."""


def study(
    run: Run,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Print the bill and stop.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Start without asking; required without a terminal.")
    ] = False,
    final: Annotated[bool, typer.Option("--final", help="Confirm the chosen arm on the sealed reserve, once.")] = False,
    race: Annotated[
        bool,
        typer.Option("--race", help="Ask in shards, and stop once an arm is shown better than every other one."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Use at most this many examples.")
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option("--arms", metavar="A,B", help="Measure only these arms, such as base,rag or rag,oracle."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="MINUTES",
            min=0.01,
            help="Time limit of each adapter's training; dev answers and the forgetting gate come on top.",
        ),
    ] = None,
    on: where.On = "",
) -> None:
    """Measure the arms on the test questions and reach a verdict; an interrupted study resumes by itself.

    Exit code 1 means that the study finished and some answers failed; they are counted and listed in the report.
    """
    run = where.placed(run, on)
    named = [name.strip() for name in arms.split(",") if name.strip()] if arms is not None else None
    diagnostics = [name for name in named or () if DIAGNOSTIC in without_model(name).split("+")]
    if named is not None and set(named) <= set(diagnostics):
        raise ConfigError(
            f"--arms {arms!r} names no arm that a verdict can choose",
            cure="Name one or more of base, prompt, rag, prompt+rag, ft, ft+rag, such as --arms base,rag; oracle is "
            "measured beside them, as in --arms rag,oracle.",
        )
    with run.project(
        examples__limit=limit,
        tuning__trainer__options__minutes=minutes,
        # Naming arms replaces both lists: an arm that is not named is not measured.
        study__arms=named and [name for name in named if name not in diagnostics],
        study__diagnostics=named and diagnostics,
    ) as project:
        if plan or not yes:
            with run.progress() as progress:
                bill = project.plan(final=final, race=race, measure=True, progress=progress)
            if plan:
                if run.json:
                    run.result(plain(bill.to_json()))
                else:
                    show_plan(bill, error=False)
                return
            show_plan(bill, error=True)
            # A script has nobody who could agree to what a study costs.
            if not sys.stdin.isatty():
                typer.echo("error: not started: this is not a terminal, so nobody can agree to the plan", err=True)
                typer.echo("help: Add --yes to start, or --plan to print the plan only.", err=True)
                raise typer.Exit(2)
            typer.echo("Start? [Y/n] ", err=True, nl=False)
            line = sys.stdin.readline()
            # Enter agrees; the end of the input (Ctrl-D) agrees to nothing, as in `improve`.
            if not line or line.strip().lower() not in {"", "y", "yes"}:
                typer.echo("nothing was started", err=True)
                raise typer.Exit(0)
        with run.progress() as progress:
            record = project.study(final=final, race=race, progress=progress)
        run.result(automation(record, project.directory), outcome(record, project.directory))
    # After the record is printed: failed answers are counted, and the verdict stands.
    if any(arm["failures"] for arm in record["arms"].values()):
        raise typer.Exit(1)


def show_plan(plan: StudyPlan, *, error: bool) -> None:
    """Print the plan like a bill: on stdout, or on stderr when it only precedes a question."""
    from rich.table import Table

    from twofold.verdict.record import asked_text, price_text

    screen = console()
    if error:
        # stdout is for the result alone.
        screen.file = sys.stderr
    policy = plan.policy
    screen.print(f"{policy['sentence']}")
    screen.print(f"train {policy['train']}, dev {policy['dev']}, asked here: {asked_text(policy)}")
    table = Table("step", "what", box=None, pad_edge=False, header_style="bold")
    for name in ("items", "cached", "time"):
        table.add_column(name, justify="right")
    for item in plan.steps:
        seconds = duration(item["seconds"])
        table.add_row(item["step"], item["detail"], str(item["items"]), str(item["cached"]), seconds)
    screen.print(table)
    screen.print(f"about {duration(plan.minutes * 60)} in all ({plan.rates}); {plan.shows}")
    for model in plan.by_model:
        cost = f", costs {price_text(model['cost'])}" if model["cost"] else ""
        about = f"tokens: {model['price']}; about {duration(60 * model['minutes'])}{cost}"
        screen.print(f"{model['name']}: {model['model']}, {model['place']}; {about}")
    for row in plan.costs:
        screen.print(f"costs {price_text(row['amount'])} for {row['step']}: {row['detail']}")
    if len(plan.costs) > 1:
        screen.print(f"costs {price_text(plan.cost)} in all, in the currency of the configured prices")
    if plan.race is not None:
        for line in plan.race.lines:
            screen.print(line)
    for line in plan.unpriced:
        screen.print(line)
    for warning in plan.warnings:
        screen.print(f"warning: {warning}")
