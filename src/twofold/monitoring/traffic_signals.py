"""What the answers of the traffic tell without a right answer: abstentions, citations, cuts, failures, seconds, sizes.

The reference is the study's own answers of the arm that answers, where the first answers of the traffic can be a sample
of the same; else those first answers, and the reading says so. Seconds are always compared with the first answers: a
study answers in batches. A new study starts them all anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from twofold.monitoring.readings import percent, reading, share_of, unwatched_look
from twofold.monitoring.record import Observation, Reading
from twofold.monitoring.served import Watched
from twofold.monitoring.streams import PART, Kind, Reference, comparable
from twofold.monitoring.traffic_rows import Rows, new_rows
from twofold.stats.intervals import quantile_interval
from twofold.stats.sequential import MeanDetector
from twofold.traffic.record import TrafficRow
from twofold.types import Answer, Json
from twofold.verdict.record import counted

LEARN, LEARN_DAYS = 200, 3
"""Answers, and days on which there were some, that are learned from before anything is compared: the load of one day is
not that of the next."""
_LEARNED = 600
"""Values that are remembered while learning; more are thinned evenly."""
_SECONDS = "seconds"


@dataclass(frozen=True, kw_only=True)
class TrafficSignal:
    """One quantity of an answer."""

    name: str
    what: str
    """In words, after a number: ``12 % abstained``."""
    kind: Kind
    of_row: Callable[[TrafficRow], float | None]
    """Its value in a row; None where the row has none."""
    of_answer: Callable[[Answer], float | None] | None
    """Its value in an answer of the study; None where the study measured it otherwise."""
    unit: str = ""


def _answered(row: TrafficRow) -> bool:
    return not row["failed"] and not row["abstained"]


def _citing(row: TrafficRow) -> bool:
    """Could it have cited? Without passages nobody can."""
    return _answered(row) and bool(row["documents"])


def _of_citing(answer: Answer, value: float) -> float | None:
    return value if answer.failure is None and not answer.abstained and answer.hits else None


def _of_answered(answer: Answer, value: float) -> float | None:
    return value if answer.failure is None and not answer.abstained else None


def _of_made(answer: Answer, value: float) -> float | None:
    return value if answer.failure is None else None


SIGNALS: tuple[TrafficSignal, ...] = (
    TrafficSignal(
        name="answers.failed",
        what="failed",
        kind="rate",
        of_row=lambda row: float(bool(row["failed"])),
        of_answer=lambda answer: float(answer.failure is not None),
    ),
    TrafficSignal(
        name="answers.abstained",
        what="abstained",
        kind="rate",
        of_row=lambda row: None if row["failed"] else float(row["abstained"]),
        of_answer=lambda answer: _of_made(answer, float(answer.abstained)),
    ),
    TrafficSignal(
        name="answers.cut",
        what="ended at the token limit",
        kind="rate",
        of_row=lambda row: None if row["failed"] else float(row["cut"]),
        of_answer=lambda answer: _of_made(answer, float(answer.cut)),
    ),
    TrafficSignal(
        name="answers.unsupported",
        what="had a citation that its passage does not support",
        kind="rate",
        of_row=lambda row: float(row["unsupported"] > 0) if _citing(row) else None,
        of_answer=lambda answer: _of_citing(answer, float(answer.unsupported_citations + answer.invalid_citations > 0)),
    ),
    TrafficSignal(
        name="answers.uncited",
        what="cited nothing",
        kind="rate",
        of_row=lambda row: float(row["citations"] == 0) if _citing(row) else None,
        of_answer=lambda answer: _of_citing(answer, float(not answer.citations)),
    ),
    TrafficSignal(
        name="answers.length",
        what="letters",
        kind="outside",
        of_row=lambda row: float(row["letters"]) if _answered(row) else None,
        of_answer=lambda answer: _of_answered(answer, float(len(answer.text))),
        unit="letters",
    ),
    TrafficSignal(
        name="latency.retrieval",
        what="seconds of searching",
        kind="above",
        of_row=lambda row: row["retrieval_seconds"] if not row["failed"] and row["documents"] else None,
        of_answer=None,
        unit=_SECONDS,
    ),
    TrafficSignal(
        name="latency.generation",
        what="seconds of generating",
        kind="above",
        of_row=lambda row: row["generation_seconds"] if not row["failed"] and row["completion_tokens"] else None,
        of_answer=None,
        unit=_SECONDS,
    ),
    TrafficSignal(
        name="tokens.prompt",
        what="prompt tokens",
        kind="outside",
        of_row=lambda row: float(row["prompt_tokens"]) if not row["failed"] and row["prompt_tokens"] else None,
        of_answer=lambda answer: float(answer.usage.prompt_tokens) or None if answer.failure is None else None,
        unit="tokens",
    ),
    TrafficSignal(
        name="tokens.completion",
        what="completion tokens",
        kind="outside",
        of_row=lambda row: float(row["completion_tokens"]) if not row["failed"] and row["completion_tokens"] else None,
        of_answer=lambda answer: float(answer.usage.completion_tokens) or None if answer.failure is None else None,
        unit="tokens",
    ),
)
SERVED = "served.system"


class TrafficSignals:
    """Compares the answers of the traffic with the study's, or with the first ones.

    Args:
        watched: The project.
        rows: Reads the traffic log; None where it is off.
        run_length: Answers after which a false alarm of one signal is expected at the earliest.
        further: Signals beside `SIGNALS` as of the time of a look, such as the price of an answer.
    """

    name = "traffic"

    def __init__(
        self,
        watched: Watched,
        rows: Rows | None,
        *,
        run_length: float,
        further: Callable[[datetime], Sequence[TrafficSignal]] = lambda _: (),
    ) -> None:
        self._watched = watched
        self._rows = rows
        self._run_length = run_length
        self._further = further

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Take in what was answered since the look before; see `Monitor.look`."""
        watching = (*SIGNALS, *self._further(moment))
        names = [*(signal.name for signal in watching), SERVED]
        if self._rows is None:
            why = 'the traffic log is off: set [traffic].log = "metadata" to watch answers'
            return unwatched_look(names, moment, why=why, before=before)
        measured = self._watched.measured()
        state: Json = dict(before or {})
        if state.get("study", measured.study) != measured.study:
            state = {"since": state.get("since", "")}
        fresh = new_rows(self._rows, state, moment=moment)
        # Other arms may be served beside it: what they answer is no sample of this one.
        rows = [row for row in fresh.rows if row["arm"] in ("", measured.arm.name)]
        signals: dict[str, Json] = dict(state.get("signals", {}))
        readings: list[Reading] = []
        studied: list[Answer] | None = None
        for signal in watching:
            values = [value for value in map(signal.of_row, rows) if value is not None]
            known: Json = signals.get(signal.name, {})
            if "reference" not in known:
                learned = _learned(known, values, moment)
                if len(learned["values"]) < LEARN or len(learned["days"]) < LEARN_DAYS:
                    signals[signal.name] = learned
                    readings.append(_learning(learned, signal, moment))
                    continue
                if studied is None:
                    studied = self._watched.answers(measured)
                # What was learned from is not tested: the reference begins with the next look.
                known, values = _referred(signal, learned["values"], studied), []
            signals[signal.name], compared = self._compared(signal, known, values, moment)
            readings.append(compared)
        readings.append(_served(rows, measured.key, measured.study, moment))
        state |= {"study": measured.study, "since": fresh.since, "signals": signals}
        return Observation(readings=tuple(readings), state=state)

    def _compared(
        self, signal: TrafficSignal, known: Json, values: Sequence[float], moment: datetime
    ) -> tuple[Json, Reading]:
        reference = Reference.from_json(known["reference"])
        standing = MeanDetector.from_json(known).after(
            reference.unusual(values), tolerated=reference.tolerated, run_length=self._run_length, block=PART
        )
        record = {"reference": reference.to_json(), "of": known["of"], **standing.to_json()}
        return record, _read(
            signal,
            reference,
            standing=standing,
            values=values,
            of=known["of"],
            run_length=self._run_length,
            moment=moment,
        )


def _referred(signal: TrafficSignal, learned: Sequence[float], studied: Sequence[Answer]) -> Json:
    """What a signal is compared with from now on."""
    measured: list[float] = []
    if signal.of_answer is not None:
        measured = [value for value in map(signal.of_answer, studied) if value is not None]
    # Of fewer answers nothing could be told apart.
    alike = len(measured) >= 30 and comparable(measured, learned, signal.kind)
    # Both are samples of the same: together they say it more precisely.
    sample = [*measured, *learned] if alike else list(learned)
    of = "the study and the first answers" if alike else f"the first {len(learned)} answers"
    if measured and not alike:
        theirs, mine = Reference.of(measured, signal.kind), Reference.of(learned, signal.kind)
        of += f", which are unlike the study's ({_figure(signal, mine.middle)} beside {_figure(signal, theirs.middle)})"
    return {"reference": Reference.of(sample, signal.kind).to_json(), "of": of, **MeanDetector().to_json()}


def _read(
    signal: TrafficSignal,
    reference: Reference,
    *,
    standing: MeanDetector,
    values: Sequence[float],
    of: str,
    run_length: float,
    moment: datetime,
) -> Reading:
    total, n = standing.window
    count = round(total)
    numbers: dict[str, Any] = {"n": len(values), "baseline": reference.middle}
    if values and signal.kind == "rate":
        numbers |= share_of(float(np.sum(values)), len(values))
    elif values:
        middle, low, high = quantile_interval(values, 0.5)
        numbers |= {"value": middle, "low": low, "high": high}
    usual = _figure(signal, reference.middle)
    now = f"{_figure(signal, numbers['value'])} of {len(values)} answers" if values else "no answers"
    if signal.kind == "rate":
        why = f"{now} {signal.what}, {usual} in {of}"
    else:
        unusual = f"; {percent(count / n)} unusual, {percent(reference.share)} expected" if n else ""
        why = f"median {now}, {usual} in {of}{unusual}"
    why += f"; beyond {percent(reference.tolerated)} counts as a change"
    detail = {"unusual": count, "window": n, "expected": reference.share, "tolerated": reference.tolerated, "of": of}
    return reading(
        signal.name,
        moment,
        state="alarm" if standing.alarm else "ok",
        why=why,
        statistic=standing.statistic,
        threshold=run_length,
        detail=detail,
        **numbers,
    )


def _figure(signal: TrafficSignal, value: float) -> str:
    if signal.kind == "rate":
        return percent(value)
    return f"{value:.4g} {signal.unit}"


def _learned(known: Json, values: Sequence[float], moment: datetime) -> Json:
    """What a signal has learned from, with these values."""
    together = [*known.get("values", []), *values]
    days = {*known.get("days", []), *([moment.date().isoformat()] if values else [])}
    if len(together) > _LEARNED:
        together = [together[number * len(together) // _LEARNED] for number in range(_LEARNED)]
    return {"values": together, "days": sorted(days)}


def _learning(learned: Json, signal: TrafficSignal, moment: datetime) -> Reading:
    count, days = len(learned["values"]), len(learned["days"])
    seen = f"learned from {counted(count, 'answer')} of {counted(days, 'day')}"
    why = f"{seen}; compares from {LEARN} answers of {LEARN_DAYS} days on"
    return reading(signal.name, moment, state="learning", why=why, n=count)


def _served(rows: Sequence[TrafficRow], key: str, study: str, moment: datetime) -> Reading:
    """Did what was measured answer? A later index alone is no other system."""
    if not key:
        return reading(SERVED, moment, state="unwatched", why="no study has measured what answers: run `twofold study`")
    if not rows:
        return reading(SERVED, moment, state="ok", why="no answers")
    # None: the log does not know of which index it was, which is no evidence.
    others = [row for row in rows if row["system"] not in ("", key) and row["later_index"] is False]
    numbers = share_of(len(others), len(rows))
    if not others:
        why = f"all of {len(rows)} answers are of the system that study {study} measured, or of a later index of it"
        return reading(SERVED, moment, state="ok", why=why, baseline=0.0, **numbers)
    systems: Mapping[str, int] = _counted(others)
    why = f"{len(others)} of {len(rows)} answers are of a system that study {study} did not measure"
    detail = {"systems": dict(systems), "models": sorted({row["model"] for row in others if row["model"]})}
    return reading(SERVED, moment, state="alarm", why=why, baseline=0.0, detail=detail, **numbers)


def _counted(rows: Sequence[TrafficRow]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["system"]] = counts.get(row["system"], 0) + 1
    return counts
