"""A forecast beside what a study measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.advice.probes.record import ForecastRecord, moment
from twofold.verdict.record import EstimateRecord, ForecastCheck, ForecastRow, StudyRecord

_CHANGED = "settings, model or documents are others now than when it was forecast"


def newest(forecasts: Sequence[ForecastRecord], record: StudyRecord, *, metric: str) -> ForecastRecord | None:
    """The newest forecast in the study's metric, not made after it; None where there is none.

    One of the systems that the study measured comes before a newer one of others: of settings that were tried and taken
    back, or probed a second time, which stores no second forecast.

    Args:
        forecasts: Those of the project, oldest first.
        record: Of the study.
        metric: Key of its deciding metric: with other options it is another metric.
    """
    until = moment(record["created"])
    before = [f for f in forecasts if f["metric_key"] == metric and moment(f["created"]) <= until]
    # Of two of the same second the later one in the list, as `forecasts.stored` orders them.
    ordered = sorted(before, key=lambda forecast: moment(forecast["created"]))
    same = [forecast for forecast in ordered if _of_its_systems(forecast, record)]
    return (same or ordered)[-1] if ordered else None


def _of_its_systems(forecast: ForecastRecord, record: StudyRecord) -> bool:
    probed = {name: arm["system"] for name, arm in forecast["arms"].items() if arm["system"]}
    measured = {name: key for name, key in probed.items() if name in record["arms"]}
    # Of arms that the study did not measure nothing could be compared.
    return bool(measured) and all(record["arms"][name]["key"] == key for name, key in measured.items())


def against(forecast: ForecastRecord, record: StudyRecord) -> ForecastCheck:
    """Every prediction of a measured arm beside what was measured of it.

    A prediction stands for the system that was probed: an arm whose key is another one by now is left out, and named.

    Args:
        forecast: In the study's metric.
        record: The study's.
    """
    metric, rows, left_out = record["metric"], list[ForecastRow](), list[str]()
    same = {}
    for name, predicted in forecast["arms"].items():
        arm = record["arms"].get(name)
        if arm is None or metric not in arm["metrics"]:
            left_out.append(f"{name}: the study has no score of it")
            continue
        # What is trained only now has no key to compare: it stands or falls with the untuned model.
        twin = name if predicted["system"] else "base"
        known = record["arms"].get(twin)
        same[name] = known is not None and known["key"] == forecast["arms"][twin]["system"]
        if known is None:
            left_out.append(f"{name}: it stands with {twin}, which the study did not measure")
        elif same[name]:
            rows.append(_row(name, predicted["expected"], arm["metrics"][metric]))
        else:
            left_out.append(f"{name}: {_CHANGED}")
    measured = {effect["name"]: effect for effect in record["comparisons"]}
    for name, difference in forecast["differences"].items():
        if name in measured and all(same.get(arm) for arm in name.split(" - ")):
            effect = measured[name]
            rows.append(_row(name, difference["expected"], effect.get("decides") or effect["estimate"]))
    return {
        "key": forecast["key"],
        "created": forecast["created"],
        "questions": forecast["sample"]["questions"],
        "level": forecast["level"],
        "rows": rows,
        "left_out": left_out,
    }


def _row(what: str, expected: EstimateRecord, measured: EstimateRecord) -> ForecastRow:
    inside = expected["low"] <= measured["mean"] <= expected["high"]
    return {"what": what, "expected": expected, "measured": measured, "inside": inside}
