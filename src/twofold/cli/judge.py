"""`twofold judge`: a model judges a study's answers, once it is shown to agree with people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli import where
from twofold.cli.session import Run
from twofold.hashing import plain

if TYPE_CHECKING:
    from twofold.study.judgement import JudgePlan


def judge(
    run: Run,
    *,
    study: Annotated[
        str, typer.Option("--study", metavar="STUDY", help="Name or number of the study; the latest by default.")
    ] = "",
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the number of questions and their price, and stop.")
    ] = False,
    on: where.On = "",
) -> None:
    """Let the model of [judge] judge a study's answers, if it repeats itself and agrees with the marks of people.

    Marks come from `twofold label` or the server's page of labels. Replies are stored: an interrupted run goes on where
    it stopped. The result stands in judgement.json beside the study's record, and in its report.
    """
    run = where.placed(run, on)
    with run.project() as project:
        planned = project.judging.plan(study)
        if plan:
            run.result(plain(planned), _planned(planned))
            return
        # On stderr, before the model is loaded: stdout is for the result alone.
        run.note(_planned(planned))
        with run.progress() as progress:
            record = project.judging.run(study, progress=progress)
        report = project.records / record["study"] / "report.html"
        from twofold.reports.judged_lines import judge_lines

        run.result({**record, "report": str(report)}, "\n".join([*judge_lines(record), "", f"report: {report}"]))
    if record["failed"]:
        sys.stdout.flush()
        raise typer.Exit(1)


def _planned(plan: JudgePlan) -> str:
    from twofold.cli.progress import duration
    from twofold.verdict.record import counted, price_text

    thing = ("answer", "answers") if plan.mode == "rubric" else ("pair of answers", "pairs of answers")
    text = (
        f"{plan.judge} judges {counted(plan.items, *thing)} of {plan.study}, {plan.marked} of them marked by people: "
        f"{counted(plan.probation, 'question')} of probation, and {plan.rest} more if it passes; "
        f"about {plan.tokens:,} tokens; replies that are stored are free"
    )
    if plan.seconds:
        text += f"; about {duration(plan.seconds)} on this machine"
    if plan.amount:
        text += f"; at most {price_text(plan.amount)} in the currency of the configured prices"
    return "\n".join([text, *plan.unpriced])
