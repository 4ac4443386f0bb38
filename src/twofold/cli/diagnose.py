"""`twofold diagnose`: why a study's answers are wrong, found by asking again with one thing changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli import where
from twofold.cli.session import Run
from twofold.hashing import plain

if TYPE_CHECKING:
    from twofold.diagnosis.arm import ArmPlan
    from twofold.diagnosis.record import ArmDiagnosis, DiagnosisRecord, LeverRow


def diagnose(
    run: Run,
    *,
    study: Annotated[
        str, typer.Option("--study", metavar="STUDY", help="Name or number of the study; the latest by default.")
    ] = "",
    arms: Annotated[
        str,
        typer.Option(
            "--arm",
            metavar="A,B",
            help="Its arms to diagnose; by default the one that the verdict chose, else the best.",
        ),
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Diagnose at most this many wrong answers of an arm."),
    ] = None,
    fixes: Annotated[
        bool,
        typer.Option("--fixes/--no-fixes", help="Measure what mending would gain; asks right answers again as well."),
    ] = True,
    plan: Annotated[bool, typer.Option("--plan", help="Print the number of re-runs and stop.")] = False,
    on: where.On = "",
) -> None:
    """Find one cause of every wrong answer of a study by re-running it with one thing changed.

    Answers that were re-run before are read from the store, so that an interrupted diagnosis goes on where it stopped.
    The result stands in diagnosis.json beside the study's record, and in its report.
    """
    run = where.placed(run, on)
    from twofold.study.diagnosing import Scope

    names = tuple(name.strip() for name in arms.split(",") if name.strip())
    request = Scope(study=study, arms=names, limit=limit or 0, fixes=fixes)
    with run.project() as project:
        with run.progress() as progress:
            planned = project.diagnosis.plan(request, progress=progress)
        if plan:
            run.result([plain(one) for one in planned], "\n".join(map(_planned, planned)))
            return
        # On stderr, before the first model is loaded: stdout is for the result alone.
        for line in planned:
            run.note(_planned(line))
        with run.progress() as progress:
            record = project.diagnosis.run(request, progress=progress)
        named = [line.arm for line in planned]
        report = project.records / record["study"] / "report.html"
        run.result(
            {**record, "arms": {name: record["arms"][name] for name in named}, "report": str(report)},
            _text(record, named) + f"\n\nreport: {report}",
        )
    if any(record["arms"][name]["failed"] for name in named):
        sys.stdout.flush()
        raise typer.Exit(1)


def _planned(plan: ArmPlan) -> str:
    left = f" of {plan.wrong}" if plan.diagnosed < plan.wrong else ""
    return (
        f"{plan.arm}: {plan.diagnosed}{left} wrong answers (of {plan.answers}) take at most {plan.reruns} re-runs, and "
        f"the next best fix {plan.levers}; re-runs made before are free"
    )


def _text(record: DiagnosisRecord, arms: Sequence[str]) -> str:
    blocks = [_arm(record["arms"][name], record) for name in arms]
    if record["notes"]:
        blocks.append("\n".join(f"note: {note}" for note in record["notes"]))
    return "\n\n".join(blocks)


def _arm(diagnosis: ArmDiagnosis, record: DiagnosisRecord) -> str:
    """The ledger and the levers of one arm, as aligned text."""
    from twofold.diagnosis.levers import fixes_and_harms
    from twofold.verdict.record import counted, estimate_text, true_minus
    from twofold.verdict.wording import metric_title

    name = diagnosis["arm"]
    wrong = counted(diagnosis["wrong"], "wrong answer")
    lines = [f"{name}: {wrong} of {diagnosis['answers']}, {diagnosis['diagnosed']} diagnosed"]
    if not diagnosis["wrong"]:
        return lines[0]
    level = f"{100 * record['level']:.4g} %"
    for row in diagnosis["ledger"]:
        share = f"{100 * row['share']:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
        lines.append(f"  {row['cause']:<22} {row['count']:>4}  {share:<16} {row['label']}")
        lines.append(f"  {'':<22} {'':>4}  {'':<16} → {row['cure']}")
    lines.append(f"  {'in all':<22} {diagnosis['diagnosed']:>4}  100 %; intervals hold at {level}")
    fixes, harms = fixes_and_harms(diagnosis["levers"])
    metric = metric_title(record["metric"])
    if fixes:
        lines += ["", f"  next best fix: gain in {metric} over all answers, at most"]
    for lever in fixes:
        amount = "" if lever["price"] is None else f"{lever['price']:.4g} {lever.get('currency', '')}".rstrip()
        price = f"{amount} for 1,000 answers" if amount else "price unknown"
        harm = f", {counted(lever['harmed'], 'right answer')} lost" if lever["harmed"] else ""
        lines.append(
            f"  {lever['lever']:<22} {estimate_text(lever['gain'])}{harm}; {_tokens(lever)}, {price}; {lever['effort']}"
        )
        lines.append(f"  {'':<22} → {lever['action']}")
    if harms:
        lines += ["", f"  what gains nothing: change in {metric} over all answers"]
    lines += [f"  {lever['lever']:<22} {estimate_text(lever['gain'])}" for lever in harms]
    return "\n".join(map(true_minus, lines))


def _tokens(lever: LeverRow) -> str:
    if lever["tokens"] is None:
        return "further tokens unknown"
    return f"{round(lever['tokens']):+d} tokens an answer"
