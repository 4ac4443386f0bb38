"""`twofold watch`: a look at a project, now or again and again; what was seen before, and what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import json_line, one_line, say
from twofold.errors import ConfigError, TwofoldError

if TYPE_CHECKING:
    from twofold.monitoring.record import OpenProposal, Reading, WatchReport

_CODES = {"ok": 0, "alarm": 1, "failed": 3}
_WAKE = 30.0
"""Seconds of one wait at most: a machine that slept is noticed so soon after it wakes."""


def watch(
    run: Run,
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once and end; so it is without --every, too.")] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="INTERVAL", help="Look again and again: 90s, 15m, 6h, 1d; until Ctrl-C.")
    ] = "",
    signal: Annotated[
        list[str] | None,
        typer.Option("--signal", metavar="NAME", help="Show this signal or group (probes) only. Repeatable."),
    ] = None,
    history: Annotated[bool, typer.Option("--list", help="Show what earlier looks saw; look at nothing.")] = False,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=10_000, help="With --list: looks shown.")] = 20,
    dismiss: Annotated[
        int | None,
        typer.Option(
            "--dismiss", metavar="N", min=1, help="Close proposal N; it does not return while its cause lasts."
        ),
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="With --dismiss: the reason, for the record.")] = "",
) -> None:
    """Look whether what was measured still holds: search, questions, sources, model, cost; name causes, propose cures.

    Nothing is changed but the record of looks, watch.sqlite. Alerts go where [watch] of twofold.toml says.

    Exit codes: 0 nothing alarms; 1 an alarm stands; 2 wrong use; 3 nothing could be looked at. With --every: 130 or 143
    when stopped.
    """
    chosen = [
        name for name, given_option in (("--once", once), ("--every", every), ("--list", history)) if given_option
    ]
    chosen += ["--dismiss"] if dismiss is not None else []
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} exclude each other", cure=f"Leave out all but {chosen[0]}.")
    if why and dismiss is None:
        raise ConfigError("--why belongs to --dismiss", cure="Name the proposal: --dismiss N --why TEXT.")
    if dismiss is not None:
        with run.project() as project:
            proposal = project.watching.dismiss(dismiss, why=why)
        run.result(proposal, f"proposal {dismiss} is dismissed: {proposal['command']}")
    elif history:
        _listed(run, signal or [], last)
    elif every:
        _repeated(run, signal or [], every)
    else:
        report = _look(run, signal or [])
        run.result(report, "\n".join(_lines(report)))
        raise typer.Exit(_CODES[report["state"]])


def _look(run: Run, signals: Sequence[str], *, every: float = 0.0) -> WatchReport:
    # Opened for each look: settings, index and models may have changed since the last one.
    with run.project() as project:
        if signals and project.watching.looked:
            with project.watching.records(readonly=True) as records:
                _require_known(signals, records.signals())
        return _only(project.watching.look(moment=datetime.now(UTC), every=every), signals)


def _repeated(run: Run, signals: Sequence[str], every: str) -> None:
    """Look again and again; a look that fails is said, and the next one comes all the same."""
    seconds = _seconds(every)
    waiting = threading.Event()
    # Monotonic: a clock that is set moves no look.
    due = time.monotonic()
    while True:
        try:
            report = _look(run, signals, every=seconds)
        except TwofoldError as error:
            # Wrong use stays wrong; a disk that is full now may have room at the next look.
            if error.exit_code != 3:
                raise
            say(f"error: {error}\nhelp: {error.cure}", err=True)
        else:
            if run.json:
                json_line(report)
            else:
                say("\n".join([f"look {report['number']} at {report['at']}", *_lines(report)]))
        due += seconds
        # After a long look, or a sleep of the machine, one look and not all that were missed.
        due = max(due, time.monotonic())
        while (left := due - time.monotonic()) > 0:
            waiting.wait(min(left, _WAKE))


def _seconds(every: str) -> float:
    from twofold.settings.watching import seconds_of

    try:
        return seconds_of(every)
    except ValueError as error:
        raise ConfigError(f"--every: {error}", cure="Write --every 15m, for example.") from error


def _listed(run: Run, signals: Sequence[str], last: int) -> None:
    with run.project() as project, project.watching.records(readonly=True) as records:
        _require_known(signals, records.signals())
        reports = [_only(report, signals) for report in records.reports(last)]
        proposals = records.proposals()
    lines = []
    for report in reports:
        if signals:
            lines += [f"{report['at']}  {_line(reading)}" for reading in report["readings"]]
        else:
            lines.append(f"{report['number']:>5}  {report['at']}  {report['state']:<6}  {_events(report)}".rstrip())
    run.result({"looks": reports, "proposals": proposals}, "\n".join([*lines, *_proposal_lines(proposals)]))


def _require_known(signals: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what no look has seen.

    Raises:
        ConfigError: a name is neither a signal's nor a group's.
    """
    for name in signals:
        if not any(_is(signal, name) for signal in known):
            listed = ", ".join(known) or "none: nothing was looked at yet"
            raise ConfigError(f"--signal {name!r} is unknown", cure=f"Name a group or one of these signals: {listed}.")


def _only(report: WatchReport, signals: Sequence[str]) -> WatchReport:
    """A look with the readings of these signals or groups; of all without any."""
    if not signals:
        return report
    return {**report, "readings": [row for row in report["readings"] if _among(row["signal"], signals)]}


def _among(signal: str, names: Sequence[str]) -> bool:
    return any(_is(signal, name) for name in names)


def _is(signal: str, name: str) -> bool:
    return signal == name or signal.startswith(f"{name}.")


def _lines(report: WatchReport) -> list[str]:
    """A look for people: a line for each signal, then causes, what to do, and remarks."""
    # What alarms first; what is not watched last, a line for each reason.
    order = ("alarm", "ok", "learning")
    readings = [reading for reading in report["readings"] if reading["state"] in order]
    lines = [_line(reading) for reading in sorted(readings, key=lambda reading: order.index(reading["state"]))]
    unwatched: dict[str, list[str]] = {}
    for reading in report["readings"]:
        if reading["state"] == "unwatched":
            unwatched.setdefault(one_line(reading["why"]), []).append(reading["signal"])
    lines += [f"unwatched  {', '.join(names)}: {reason}" for reason, names in unwatched.items()]
    for cause in report["causes"]:
        lines += ["", f"cause: {cause['cause']}", *(f"  {one_line(sentence)}" for sentence in cause["evidence"])]
    lines += _proposal_lines(report["proposals"])
    if report["remarks"]:
        lines += ["", *(f"note: {one_line(remark)}" for remark in report["remarks"])]
    return lines or ["nothing is watched"]


def _line(reading: Reading) -> str:
    from twofold.monitoring.wording import baseline_text, value_text

    now = value_text(reading) or "–"
    baseline = baseline_text(reading)
    against = f"was {baseline}" if baseline else ""
    return (
        f"{reading['state']:<9}  {reading['signal']:<24}  {now:<20}  {against:<10}  {one_line(reading['why'])}".rstrip()
    )


def _events(report: WatchReport) -> str:
    parts = [("new: ", report["new"]), ("over: ", report["over"])]
    events = [title + ", ".join(names) for title, names in parts if names]
    return "; ".join([*events, *map(one_line, report["remarks"])])


def _proposal_lines(proposals: Sequence[OpenProposal]) -> list[str]:
    if not proposals:
        return []
    lines = ["", "to do (nothing was done; --dismiss N closes a proposal):"]
    for proposal in proposals:
        lines.append(
            f"  {proposal['number']}  {proposal['command']:<28}  {proposal['cause']}: {one_line(proposal['why'])}"
        )
    return lines
