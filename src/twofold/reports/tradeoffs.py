"""What each arm gains and gives up, side by side: score, forgetting, latency, cost; and risk over coverage. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold.hashing import plain
from twofold.reports import charts
from twofold.reports.charts import IntervalRow
from twofold.reports.cost_lines import money
from twofold.stats import intervals
from twofold.types import Json
from twofold.verdict.record import AnswerRow, StudyRecord, estimate_text, number_text, true_minus
from twofold.verdict.wording import metric_title

CONFIDENCE = "hallucination"
"""The metric that says of each answer, without its reference, how little its passages support it."""
_FEWEST = 20
"""Answers below which a curve of risk over coverage is not drawn: its first half would be ten answers."""


def tradeoffs(record: StudyRecord, costs: Json) -> list[Json]:
    """A picture for each quantity that at least one arm was measured in: ``title``, ``rows``, ``note``.

    Args:
        record: The study.
        costs: What `cost_section` returns; empty where nothing was metered.
    """
    title = metric_title(record["metric"])
    seconds = _latency(record)
    pictures = [
        {"title": title, "rows": _scores(record), "note": "more is better"},
        {
            "title": "general ability lost by tuning",
            "rows": _forgetting(record),
            "note": "less is better; arms without tuning forget nothing",
        },
        {
            "title": "seconds that 95 % of the answers keep to (p95)",
            "rows": seconds,
            # Else the end of the line, which stands at the estimate, would be taken for a bound.
            "note": "less is better" + _open_ended(seconds),
        },
        {"title": _cost_title(costs), "rows": _costs(record, costs), "note": "less is better"},
    ]
    # One picture is no comparison: the table of arms has the scores already.
    shown = [picture for picture in pictures if picture["rows"]]
    return shown if len(shown) > 1 else []


def _scores(record: StudyRecord) -> list[IntervalRow]:
    rows = []
    for name, arm in record["arms"].items():
        value = arm["metrics"].get(record["metric"])
        if value is not None and not arm["diagnostic"]:
            rows.append(_row(name, (value["mean"], value["low"], value["high"]), estimate_text(value), record))
    return rows


def _forgetting(record: StudyRecord) -> list[IntervalRow]:
    rows = []
    for name, arm in record["arms"].items():
        training: Any = arm["training"] or {}
        gate = training.get("gate")
        if gate and not arm["diagnostic"]:
            drop = gate["general"]["drop"]
            rows.append(_row(name, (drop["mean"], drop["low"], drop["high"]), estimate_text(drop), record))
    return rows


def _latency(record: StudyRecord) -> list[IntervalRow]:
    rows = []
    for name, arm in record["arms"].items():
        pace = arm["latency"]
        if pace is None or arm["diagnostic"]:
            continue
        low, high = pace.get("intervals", {}).get("p95", [None, None])
        ends = ", ".join("–" if end is None else number_text(end, 2) for end in (low, high))
        # An end that so few answers do not give is drawn at the estimate; the text says that there is none.
        drawn_low, drawn_high = (pace["p95"] if end is None else end for end in (low, high))
        text = f"{number_text(pace['p95'], 2)} [{ends}]"
        rows.append(_row(name, (pace["p95"], drawn_low, drawn_high), text, record))
    return rows


def _open_ended(rows: Sequence[IntervalRow]) -> str:
    """What an end that is missing means, where one is."""
    return "; – is an end that is not known, as too few answers were timed" if any("–" in r.text for r in rows) else ""


def _cost_title(costs: Json) -> str:
    currency = costs["record"]["currency"] if costs else ""
    return f"cost of 1,000 answers{', ' + currency if currency else ''}"


def _costs(record: StudyRecord, costs: Json) -> list[IntervalRow]:
    rows: list[IntervalRow] = []
    for name, arm in (costs["record"]["arms"] if costs else {}).items():
        cost = arm["per_1000"]
        # A sum with an unknown part is no cost that could be compared.
        if cost["unknown"] or record["arms"][name]["diagnostic"]:
            continue
        low, high = (cost["mean"] if end is None else end for end in (cost["low"], cost["high"]))
        # An unknown end is drawn at the estimate; the text says that there is none.
        rows.append(_row(name, (cost["mean"], low, high), true_minus(money(cost)), record))
    return rows


def _row(name: str, value: tuple[float, float, float], text: str, record: StudyRecord) -> IntervalRow:
    mean, low, high = value
    winner = name == record["verdict"]["arm"]
    return IntervalRow(label=name, mean=mean, low=low, high=high, text=text, kind="winner" if winner else "plain")


def risk_coverage(record: StudyRecord, answers: Sequence[AnswerRow]) -> list[Json]:
    """Risk over coverage of each arm (El-Yaniv & Wiener 2010): ``arm``, ``points``, ``area``, ``blind``, ``n``.

    The least supported answers, by the metric ``hallucination``, are left out first. `area` is the mean risk over all
    coverages, `blind` that of leaving answers out by chance: the mean risk of all; both with intervals over groups.
    Abstentions and failed answers are no answers, and count in neither.
    """
    curves = []
    for name, arm in record["arms"].items():
        if arm["diagnostic"]:
            continue
        pairs: list[tuple[float, float]] = []
        groups: list[str] = []
        for row in answers:
            pair = _judged(row["arms"].get(name), record["metric"])
            if pair is not None:
                pairs.append(pair)
                groups.append(row["group"])
        if len(pairs) < _FEWEST:
            continue
        # Shape (answers,): mean risk of the best supported 1, 2, … answers.
        running = _running(pairs)
        points = [((place + 1) / len(pairs), float(value)) for place, value in enumerate(running)]
        curves.append(
            {
                "arm": name,
                # A tenth of the answers is the least whose mean says anything.
                "points": points[len(points) // 10 :: max(1, len(points) // 40)],
                "area": plain(intervals.pooled(_area, pairs, groups, level=record["level"])),
                "blind": plain(intervals.estimate([risk for _, risk in pairs], groups, level=record["level"])),
                "n": len(pairs),
            }
        )
    return curves


def _running(pairs: Sequence[tuple[float, float]]) -> Any:
    # Stable, so that ties stay in the order of the questions.
    risks = np.array([risk for _, risk in sorted(pairs, key=lambda pair: pair[0])])
    return np.cumsum(risks) / np.arange(1, len(risks) + 1)


def _area(pairs: Sequence[tuple[float, float]]) -> float:
    return float(_running(pairs).mean())


def _judged(answer: Mapping[str, Any] | None, metric: str) -> tuple[float, float] | None:
    """How little an answer is supported, and its risk; None for what is no answer or was not judged."""
    if answer is None or answer["failure"] or answer["abstained"]:
        return None
    doubt, score = answer["scores"].get(CONFIDENCE), answer["scores"].get(metric)
    return None if doubt is None or score is None else (doubt, 1.0 - score)


def drawn(record: StudyRecord, answers: Sequence[AnswerRow], costs: Json) -> Json:
    """Both sections for the template: pairs of pictures, wide and narrow, the curves and their picture."""
    pictures = []
    for picture in tradeoffs(record, costs):
        title, rows = picture["title"], picture["rows"]
        pair = [charts.interval_plot(rows, title=title, width=width) for width in (charts.WIDE, charts.NARROW)]
        pictures.append({"title": title, "note": picture["note"], "pair": pair})
    curves = risk_coverage(record, answers)
    # In one frame: on axes of their own a curve that falls by .01 would look like one that falls by a half.
    lines = [(curve["arm"], curve["points"]) for curve in curves]
    plot = ""
    if lines:
        plot = charts.curve_plot(lines, title="Risk over coverage", x_axis="share of the answers that are given")
    return {"pictures": pictures, "curves": curves, "plot": plot}
