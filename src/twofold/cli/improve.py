"""`twofold improve`: find where answers fall short, take a step, prove it, keep it only if it won."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli import where
from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.errors import ConfigError

if TYPE_CHECKING:
    from twofold.improvement.loop import Agreement
    from twofold.improvement.record import Improvement, RoundRecord, Step


def improve(
    run: Run,
    *,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="MINUTES",
            min=0.01,
            help="Work unattended for at most so long: steps that are forecast to take longer are not taken.",
        ),
    ] = None,
    cost: Annotated[
        float | None,
        typer.Option("--cost", metavar="AMOUNT", min=0.0, help="Spend at most so much, in the configured currency."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="Take at most so many steps.")] = 5,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            help="Diagnose and try on at most so many questions of train and dev, drawn evenly.",
        ),
    ] = 120,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Print the steps with their prices, and take none; documents are synced and answers diagnosed for it.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take every step without asking; --budget does so too.")
    ] = False,
    on: where.On = "",
) -> None:
    """Improve the arm that answers: diagnose train and dev, take a step, prove it by a study, keep it if it won.

    Each proven step is written into twofold.toml; every other is undone. Each study is a look at the test questions. An
    interrupted run goes on where it was. Exit code 1: no step was kept.
    """
    run = where.placed(run, on)
    from twofold.improvement.ledger import causes_of
    from twofold.improvement.loop import BY_YOU, Improver, StopRules
    from twofold.improvement.page import write_page

    unattended = yes or budget is not None
    if not (plan or unattended or sys.stdin.isatty()):
        raise ConfigError(
            "not started: this is not a terminal, so nobody can agree to a step",
            cure="Add --budget MINUTES or --yes to start, or --plan to print the steps only.",
        )

    def agree(step: Step) -> Agreement:
        if plan:
            return "stop"
        if unattended:
            run.note(step_line(step))
            return "yes"
        typer.echo(f"{step_line(step)}\nTake it? [Y/n/stop] ", err=True, nl=False)
        line = sys.stdin.readline()
        if not line:  # the end of the input agrees to nothing
            return "stop"
        reply = line.strip().lower()
        return "stop" if reply in {"s", "stop", "q", "quit"} else "yes" if reply in {"", "y", "yes"} else "no"

    with run.project() as project:
        name = project.config.project.name
    with run.progress() as progress:
        improver = Improver(
            directory=run.directory,
            overrides=run.overrides,
            diagnose=causes_of,
            agree=agree,
            limits=StopRules(minutes=budget, cost=cost, rounds=rounds, diagnosed=limit),
            progress=progress,
            publish=partial(write_page, name=name),
        )
        improvement = improver.run()
        if plan:
            # Nobody was asked: a plan answers every step with `stop`.
            improvement = replace(
                improvement, stopped=improvement.stopped.replace(BY_YOU, "only planned: no step was taken")
            )
        with run.project() as project:
            page = write_page(project.records, improvement.history, name=name)
    run.result({**improvement.to_json(), "page": str(page)}, "\n".join(lines(improvement, str(page), plan=plan)))
    if not (plan or improvement.steps_kept):
        raise typer.Exit(1)


def step_line(step: Step) -> str:
    """A step with what it could mend and what it takes."""
    if step.for_a_person:
        return f"for you: {step.name} ({step.why})"
    price = f"about {duration(60 * (step.minutes or 0.0))}"
    if step.cost:
        price += f", {step.cost:.2f} in the configured currency"
    return f"{step.name}: {step.why}; {price}"


def round_line(record: RoundRecord) -> str:
    """What became of a round."""
    return f"round {record['number']}: {record['step']['name']}: {record['outcome']} ({record['because']})"


def lines(improvement: Improvement, page: str, *, plan: bool) -> list[str]:
    """The run for people."""
    if plan:
        # With the reason: an interrupted round comes before any other step, and a spent budget hides steps.
        return [*map(step_line, improvement.open_steps), improvement.stopped]
    out = [round_line(record) for record in improvement.rounds]
    out.append(f"stopped: {improvement.stopped}")
    out += [step_line(step) for step in improvement.open_steps if step.for_a_person]
    return [*out, f"page: {page}"]
