"""One look at a project: every monitor, what alarms and why, what to do, and who is to hear of it."""

from __future__ import annotations

import json
import logging
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal, cast

from twofold.errors import TwofoldError
from twofold.monitoring.proposals import proposals
from twofold.monitoring.record import AlarmCause, Monitor, Observation, Reading, WatchReport
from twofold.monitoring.store import StandingAlarm, WatchStore
from twofold.store.lock import ProjectLock
from twofold.types import Json

log = logging.getLogger(__name__)

Explain = Callable[[Sequence[Reading], Sequence[Sequence[Reading]]], Sequence[AlarmCause]]
"""Readings of this look, and those of the looks before it, the newest first → causes of what alarms."""
_EARLIER = 30
"""Looks before this one that causes are told from."""
_REGULAR = 6
"""Gaps between looks from which a schedule is recognised, where the settings name none."""
_NUMBERS = ("value", "low", "high", "baseline", "statistic", "threshold")
_SENT = ("signal", "value", "low", "high", "baseline", "n", "why")
"""What an alert has of a reading."""
_CURE = "Wait for the look that runs to end, or stop the other `twofold watch`; `--list` shows what was seen meanwhile."


@dataclass(frozen=True, kw_only=True)
class _Seen:
    looks: dict[str, Observation] = field(default_factory=dict)
    """Monitor → what it saw."""
    readings: list[Reading] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@contextmanager
def looking(lock: Callable[..., ProjectLock]) -> Iterator[None]:
    """Let nobody else look at the project meanwhile.

    Args:
        lock: Makes a lock of the project by its name.

    Raises:
        ProjectLocked: somebody else looks.
    """
    with lock("watch.lock", doing="watching", cure=_CURE):
        yield


def watch(
    monitors: Sequence[Monitor],
    store: WatchStore,
    *,
    moment: datetime,
    explain: Explain,
    every: float = 0.0,
    tuned: bool = False,
    channels: Sequence[str] = (),
) -> WatchReport:
    """Look once, and store what was seen in one transaction.

    Args:
        monitors: What to look by; where one cannot look, the others go on.
        store: Of the project; the caller holds the lock (`looking`).
        moment: The time now, with a zone.
        explain: Tells causes.
        every: Seconds between two looks, where a schedule is known; else it is recognised from regular looks.
        tuned: A tuned model answers: training it again may be proposed.
        channels: Whom alerts are sent to, ``webhook`` or ``email``; see `alerts.deliver`.

    Returns:
        The look. `new` and `over` are against the alarms that stood before; an alarm whose signal cannot be seen now
        stands, and a remark says so.
    """
    moment = moment.astimezone(UTC)
    at = moment.isoformat(timespec="seconds")
    last = store.last()
    before = store.standing()
    seen = _seen(monitors, store.states(), moment=moment)
    failing = len(seen.looks) < len(monitors)
    standing = _standing(seen.readings, before, failing=failing)
    alarming = {reading["signal"] for reading in seen.readings if reading["state"] == "alarm"}
    unseen = [name for name in standing if name not in alarming]
    earlier = store.reports(_EARLIER)
    # What alarms is explained by its last reading, where it could not be seen now.
    readings = [*seen.readings, *_last_readings(earlier, [name for name in unseen if _absent(name, seen.readings)])]
    causes = list(explain(readings, [report["readings"] for report in earlier])) if standing else []
    state: Literal["ok", "alarm", "failed"] = "alarm" if standing else "ok"
    if not seen.looks:
        state = "failed"
    report: WatchReport = {
        "at": at,
        "number": last["number"] + 1 if last else 1,
        "state": state,
        "readings": seen.readings,
        "new": [name for name in standing if name not in before],
        "over": [name for name in before if name not in standing],
        "causes": causes,
        "proposals": [],
        "remarks": [
            *clock_remarks(store.times(_REGULAR + 2), moment, every=every),
            *seen.remarks,
            *(_stands(before[name]) for name in unseen if name in before),
        ],
    }
    if not monitors:
        report["remarks"].append("nothing can be watched yet: run `twofold sync` first")
    proposed = proposals(causes, tuned=tuned)
    newly_failed = state == "failed" and (last is None or last["state"] != "failed")
    body = None
    if report["new"] or report["over"] or newly_failed:
        body = message(report, [proposal["command"] for proposal in proposed])
        # People who watch logs hear of it too, whatever else is configured.
        log.warning("%s", body["text"])
    return store.record(
        report,
        looks=seen.looks,
        proposals=proposed,
        standing=standing,
        alerts={} if body is None else dict.fromkeys(channels, body),
    )


def message(report: WatchReport, commands: Sequence[str]) -> Json:
    """An alert's body: new alarms and those that are over, causes, and what to do; `text` says it in words."""
    readings = {reading["signal"]: reading for reading in report["readings"]}
    alarms = [readings[name] for name in report["new"] if name in readings]
    lines = [f"alarm: {reading['signal']}: {reading['why']}" for reading in alarms]
    lines += [f"over: {name}" for name in report["over"]]
    if report["state"] == "failed":
        lines += ["nothing could be looked at", *report["remarks"]]
    for cause in report["causes"] if alarms else ():
        lines.append(f"cause: {cause['cause']}: {'; '.join(cause['evidence'])}")
    lines += [f"to do: {command}" for command in commands if alarms]
    return {
        "type": "twofold.watch",
        "at": report["at"],
        "look": report["number"],
        "state": report["state"],
        "new": [_shown(reading) for reading in alarms],
        "over": report["over"],
        "causes": [{"cause": cause["cause"], "evidence": cause["evidence"]} for cause in report["causes"]],
        "commands": list(commands),
        "text": "\n".join(lines),
    }


def _shown(reading: Reading) -> Json:
    # Without details: they have ids of documents, and an alert leaves the machine.
    return {name: reading[name] for name in _SENT}  # type: ignore[literal-required]


def clock_remarks(times: Sequence[datetime], moment: datetime, *, every: float = 0.0) -> list[str]:
    """What is to be said of the time of a look beside those before it: a clock that was set back, looks that lack.

    All times are UTC, so that daylight saving moves none.

    Args:
        times: Of the looks before, in their order.
        moment: The time now.
        every: Seconds between two looks; 0: told from the looks, where they are regular.
    """
    if not times:
        return []
    gap = (moment - times[-1]).total_seconds()
    if gap < 0:
        return [
            f"the clock was set back: the last look was at {times[-1].isoformat(timespec='seconds')}, "
            f"{timedelta(seconds=round(-gap))} after this one"
        ]
    usual = every or _usual(times)
    # A look that is late by less than one interval lacks nothing.
    missed = round(gap / usual) - 1 if usual else 0
    if missed < 1:
        return []
    since = times[-1].isoformat(timespec="seconds")
    return [f"{missed} {'look' if missed == 1 else 'looks'} missed since {since}: what happened then was not seen"]


def _usual(times: Sequence[datetime]) -> float:
    """Seconds between looks that come by a schedule; 0 where they do not."""
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    if len(gaps) < _REGULAR:
        return 0.0
    usual = statistics.median(gaps)
    # One gap may be longer: a missed look is no end of a schedule.
    regular = sum(abs(gap - usual) <= usual / 4 for gap in gaps)
    return usual if usual > 0 and regular >= len(gaps) - 1 else 0.0


def _seen(monitors: Sequence[Monitor], states: dict[str, Json], *, moment: datetime) -> _Seen:
    seen = _Seen()
    signals: set[str] = set()
    for monitor in monitors:
        try:
            look = monitor.look(states.get(monitor.name), moment=moment)
            # Here, where it costs this monitor alone: what is no JSON cannot be stored.
            json.dumps([look.state, [reading["detail"] for reading in look.readings]], allow_nan=False)
        except Exception as error:
            # Any: a fault in one monitor must not blind the others.
            words = error.message if isinstance(error, TwofoldError) else f"{type(error).__name__}: {error}"
            seen.remarks.append(f"{monitor.name} could not look: {words}")
            log.debug("the monitor %s failed", monitor.name, exc_info=error)
            continue
        seen.looks[monitor.name] = look
        for reading in look.readings:
            if reading["signal"] in signals:
                seen.remarks.append(f"{monitor.name}: the signal {reading['signal']} was read twice; the first counts")
                continue
            signals.add(reading["signal"])
            seen.readings.append(_finite(reading, moment))
    # As they are read again from the store.
    seen.readings.sort(key=lambda reading: reading["signal"])
    return seen


def _finite(reading: Reading, moment: datetime) -> Reading:
    """A reading of this look, without numbers that JSON does not know."""
    numbers = {name: _number(reading[name]) for name in _NUMBERS}  # type: ignore[literal-required]
    return cast(Reading, {**reading, **numbers, "at": moment.isoformat(timespec="seconds")})


def _number(value: float | None) -> float | None:
    if value is None or math.isnan(value):
        return None
    # A statistic that grows without bound stays an alarm.
    return math.copysign(min(abs(value), sys.float_info.max), value)


def _standing(readings: Sequence[Reading], before: dict[str, StandingAlarm], *, failing: bool) -> list[str]:
    """Signals whose alarm is not over: those that alarm, and those that alarmed and cannot be seen now."""
    states = {reading["signal"]: reading["state"] for reading in readings}
    alarms = [name for name, state in states.items() if state == "alarm"]
    for name in before:
        # A signal that nobody reads any more is over, unless its monitor may be the one that failed.
        if states.get(name) == "unwatched" or (name not in states and failing):
            alarms.append(name)
    return sorted(alarms)


def _absent(name: str, readings: Sequence[Reading]) -> bool:
    return all(reading["signal"] != name for reading in readings)


def _last_readings(earlier: Sequence[WatchReport], names: Sequence[str]) -> list[Reading]:
    """The newest alarm of each signal among earlier looks."""
    latest: dict[str, Reading] = {}
    for report in earlier:
        for reading in report["readings"]:
            if reading["signal"] in names and reading["state"] == "alarm":
                latest.setdefault(reading["signal"], reading)
    return list(latest.values())


def _stands(alarm: StandingAlarm) -> str:
    return f"{alarm.signal} could not be seen: its alarm of {alarm.since} stands"
