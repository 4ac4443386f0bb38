"""Page: what looks at the project have seen, alarms with their causes, what to do, and how each signal went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request  # noqa: TID253
from fastapi.responses import RedirectResponse  # noqa: TID253
from markupsafe import Markup

from twofold.errors import Conflict, UnknownName
from twofold.monitoring.record import Reading, WatchReport
from twofold.monitoring.signal_chart import signal_chart, state_strip
from twofold.monitoring.store import StandingAlarm, WatchStore
from twofold.monitoring.wording import baseline_text, value_text
from twofold.serving.entrance import Administers, Served
from twofold.serving.exchange import note
from twofold.serving.pages.forms import Form, form_of
from twofold.serving.pages.layout import page
from twofold.settings.watching import seconds_of
from twofold.types import Json

router = APIRouter(include_in_schema=False)
Sent = Annotated[Form, Depends(form_of)]
_SHOWN = 400
"""Readings of a signal in its picture: more are no more points on a screen."""
_ROWS = 20
"""Readings in the table below it."""
_LOOKS = 60
"""Looks of which the events are listed."""
_GROUPS = {
    "verdict": "The verdict",
    "probes": "Does the search find what it should?",
    "retrieval": "How it searches",
    "questions": "What people ask",
    "answers": "How it answers",
    "latency": "How quickly",
    "tokens": "How much it reads and writes",
    "costs": "What it costs",
    "documents": "Documents",
    "staleness": "Sources",
    "index": "The index",
    "served": "What answers",
    "fingerprints": "What it is made of",
}
"""Group of signals → its title, in the order of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalCard:
    """One signal as the page shows it."""

    reading: Reading
    """Its newest one."""
    group: str
    """What it is about, in words."""
    since: str
    """Time at which its alarm began; empty without one."""
    value: str
    baseline: str
    svg: Markup
    """Values of the looks, or their states where there are no values."""
    has_values: bool
    rows: tuple[tuple[Reading, str, str], ...]
    """The newest readings, newest first, each with its value and baseline in words."""


@router.get("/watch")
def watch(request: Request, service: Served, caller: Administers) -> Any:
    """The state, whether the verdict holds, what to do, the signals, and the looks."""
    watching = service.project.watching
    context: Json = {"report": None, "every": service.project.config.watch.every}
    # As of now: the signal of it is as of the last look.
    context["verdict"] = service.verdicts.shown(caller)
    if watching.looked:
        with watching.records(readonly=True) as records:
            context |= shown(records, moment=datetime.now(UTC), every=context["every"])
    return page(request, "watch", caller, **context)


@router.post("/watch/dismiss")
def dismiss(service: Served, form: Sent, _caller: Administers) -> Any:
    """Close a proposal."""
    with _refusals():
        service.project.watching.dismiss(form.number("number"), why=form.text("why")[:500])
    note(proposal=form.number("number"))
    return RedirectResponse("/watch", 303)


def shown(records: WatchStore, *, moment: datetime, every: str) -> Json:
    """What the page shows of the looks; nothing before the first.

    Args:
        records: Of the looks.
        moment: The time now.
        every: Interval between looks, as in ``[watch]``; empty: unknown.
    """
    reports = records.reports(_LOOKS)
    if not reports:
        return {"report": None}
    report, standing = reports[0], records.standing()
    cards = [_card(records, reading, standing) for reading in _newest(reports, standing)]
    titles = list(_GROUPS.values())
    # What alarms first; groups that are not known last.
    cards.sort(key=lambda card: (not card.since, titles.index(card.group) if card.group in titles else len(titles)))
    age = (moment - datetime.fromisoformat(report["at"])).total_seconds()
    return {
        "report": report,
        "reports": reports,
        "age": max(0.0, age),
        "late": bool(every) and age > 2 * seconds_of(every),
        "proposals": records.proposals(),
        "alarms": [card for card in cards if card.since],
        "cards": cards,
        "events": [look for look in reports if look["new"] or look["over"] or look["remarks"]],
        "unwatched": _unwatched(report["readings"]),
    }


def _newest(reports: Sequence[WatchReport], standing: dict[str, StandingAlarm]) -> list[Reading]:
    """The newest reading of each signal that is watched, and of each whose alarm stands unseen."""
    newest: dict[str, Reading] = {}
    for report in reports:
        for reading in report["readings"]:
            if report is reports[0] or reading["signal"] in standing:
                newest.setdefault(reading["signal"], reading)
    return [row for name, row in sorted(newest.items()) if row["state"] != "unwatched" or name in standing]


def _card(records: WatchStore, reading: Reading, standing: dict[str, StandingAlarm]) -> SignalCard:
    name = reading["signal"]
    history = records.history(name, _SHOWN)
    chart = signal_chart(history, name=name)
    return SignalCard(
        reading=reading,
        group=_group(name),
        since=standing[name].since if name in standing else "",
        value=value_text(reading),
        baseline=baseline_text(reading),
        svg=Markup(chart or state_strip(history, name=name)),
        has_values=bool(chart),
        rows=tuple((row, value_text(row), baseline_text(row)) for row in history[: -_ROWS - 1 : -1]),
    )


def _group(signal: str) -> str:
    prefix = signal.partition(".")[0]
    return _GROUPS.get(prefix, prefix.capitalize())


def _unwatched(readings: Sequence[Reading]) -> dict[str, list[str]]:
    """Reason → signals that are not watched for it."""
    reasons: dict[str, list[str]] = {}
    for reading in readings:
        if reading["state"] == "unwatched":
            reasons.setdefault(reading["why"], []).append(reading["signal"])
    return reasons


@contextmanager
def _refusals() -> Iterator[None]:
    """A proposal that somebody else dismissed, or whose cause is over, is no fault of the server."""
    try:
        yield
    except UnknownName as error:
        raise Conflict(error.message, cure="Open the page again: it shows what is open now.") from error
