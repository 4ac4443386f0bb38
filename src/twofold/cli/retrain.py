"""`twofold tune --from MODEL` and `--if-due`: training again, for people, cron and CI.

Exit codes: 0 promoted, not due, or nothing new; 1 trained and not promoted (worse, not shown to be better, or not given
its chance), or (with ``--plan``) due; else as always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from twofold.cli.session import Run
from twofold.hashing import plain

if TYPE_CHECKING:
    from twofold.lifecycle.record import Retraining, Trigger


def retrain(run: Run, *, champion: str, arm: str, minutes: float | None, if_due: bool, plan: bool, by: str) -> None:
    """Train again from the base and promote what is better and does not forget; ends the command with its code."""
    with run.project(tuning__trainer__options__minutes=minutes) as project, run.progress() as progress:
        report = project.tuning.retrain(champion=champion, arm=arm, if_due=if_due, plan=plan, who=by, progress=progress)
    run.result(plain(report.to_json()), "\n".join(_lines(report)))
    # Exit code 1 tells cron that nothing was promoted, or (with --plan) that something is due.
    if report.outcome in ("kept", "undecided", "due"):
        raise typer.Exit(1)


def cancel(run: Run, *, arm: str) -> None:
    """Cancel what trainers have under way at endpoints."""
    with run.project() as project:
        jobs = project.tuning.cancel(arm=arm)
    lines = [f"{row['trainer']}: {row['job'] or 'no job'} {row['status']}" for row in jobs]
    run.result(jobs, "\n".join(lines) or "no trainer of this arm works elsewhere: stop the command itself")


def trigger_line(row: Trigger) -> str:
    """A trigger of training again in words: what was found, and from what on it is due."""
    from twofold.lifecycle.record import NO_CHAMPION

    state = "due" if row["due"] else "not due"
    if row["reason"] == NO_CHAMPION:
        return f"{state}: there is no champion yet"
    if row["reason"].startswith("another "):
        # Digests: of a kind, not of a size, so that no limit can be named.
        kind = row["reason"].removeprefix("another ")
        return f"{state}: the {kind} is {'not ' if row['due'] else ''}the one that the champion was trained with"
    return f"{state}: {row['value']} {row['reason']} (due from {row['limit']})"


def _lines(report: Retraining) -> list[str]:
    from twofold.reports.model_card import estimate
    from twofold.store.model_registry import short
    from twofold.verdict.record import true_minus

    lines = [trigger_line(row) for row in report.triggers]
    lines = lines or ["no trigger is set: see [retraining] in twofold.toml"]
    retrained = report.retrained
    if retrained is None:
        return lines
    data = retrained.data
    lines.append(
        f"learned from {data['old']} old and {data['new']} new examples; {data['gone']} taken out, "
        f"{data['moved']} kept on the training side"
    )
    compared = retrained.comparison
    if compared:
        lines += [f"{name}: {compared.metric} {true_minus(estimate(value))}" for name, value in compared.scores.items()]
    lines += [f"note: {note}" for note in retrained.notes]
    return [*lines, f"{retrained.outcome}: {short(retrained.candidate)}: {true_minus(retrained.because)}"]
