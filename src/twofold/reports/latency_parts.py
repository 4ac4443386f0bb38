"""Where the seconds for one question go (search, prompt, decoding), and what else the machine did meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.reports import charts
from twofold.types import Json
from twofold.verdict.latency_record import LatencyPart, LatencyRecord
from twofold.verdict.record import StudyRecord, number_text

COLOURS = {"retrieval": "s2", "prompt": "s1", "decoding": "s0"}
"""Part of the seconds → colour class."""
MEANINGS = {
    "retrieval": "embedding, search, and whatever plans or ranks anew",
    "prompt": "rendering and reading it, up to the first token",
    "decoding": "writing the other tokens",
}


def quantile_text(pace: Mapping[str, Any] | None, name: str = "", *, digits: int = 2) -> str:
    """Seconds with their interval: of ``p50`` or ``p95`` of a latency record, or of a `QuantileRecord`."""
    if not pace:
        return "–"
    if not name:
        return f"{number_text(pace['value'], digits)} {_ends(pace['low'], pace['high'], digits)}"
    value = number_text(pace[name], digits)
    if name not in pace.get("intervals", {}):
        return value  # a record of before
    low, high = pace["intervals"][name]
    return f"{value} {_ends(low, high, digits)}"


def _ends(low: float | None, high: float | None, digits: int) -> str:
    return f"[{', '.join('–' if end is None else number_text(end, digits) for end in (low, high))}]"


def _parts(pace: LatencyRecord | None) -> dict[str, LatencyPart]:
    return pace.get("parts", {}) if pace else {}


def parts_table(record: StudyRecord) -> list[list[str]]:
    """A line for each arm, after the titles of its columns; empty where no arm's seconds were divided."""
    rows = []
    for name, arm in record["arms"].items():
        parts = _parts(arm["latency"])
        if parts:
            cells = [quantile_text(parts[part][share], digits=3) for part in COLOURS for share in ("p50", "p95")]
            rows.append([f"  {name}", *cells, str(parts["decoding"]["p50"]["n"])])
    titles = [f"{part} {share}" for part in COLOURS for share in ("p50", "p95")]
    return [["of one question", *titles, "answers"], *rows] if rows else []


def load_text(record: StudyRecord) -> str:
    """What other programs took of the processor while the arms were timed; empty where no record tells."""
    timed = [arm["latency"] for arm in record["arms"].values() if arm["latency"]]
    loads = [pace["load"] for pace in timed if "load" in pace]
    taken = [round(100 * load["others"]) for load in loads if load["others"] is not None]
    if not taken:
        return ""
    low, high = min(taken), max(taken)
    share = f"{low} %" if low == high else f"{low} to {high} %"
    averages = [load["average"] for load in loads if load["average"] is not None]
    average = f"; load average up to {number_text(max(averages), 1)}" if averages else ""
    return f"meanwhile other programs took {share} of the processor, by arm{average}"


def divided(record: StudyRecord) -> Json:
    """The stacked bars (mean seconds, wide and narrow), their legend, the table and the sentence on the load."""
    known = {name: parts for name, arm in record["arms"].items() if (parts := _parts(arm["latency"]))}
    means: dict[str, float] = {}
    for name, value in known.items():
        means[name] = sum(value[part]["mean"]["value"] for part in COLOURS)
    bars = []
    for name, value in known.items():
        shown: list[tuple[str, float, str]] = []
        for part, colour in COLOURS.items():
            shown.append(
                (f"{part} {quantile_text(value[part]['mean'], digits=3)} s", value[part]["mean"]["value"], colour)
            )
        bars.append(charts.Bar(label=name, parts=tuple(shown), whole=max(means.values())))
    title = "Mean seconds for one question: retrieval, prompt, decoding"
    drawn = [charts.stacked_bars(bars, title=title, width=width) for width in (charts.WIDE, charts.NARROW)]
    return {
        "plot": drawn if bars else [],
        "legend": [(part, colour, MEANINGS[part]) for part, colour in COLOURS.items()],
        "table": parts_table(record),
        "load": load_text(record),
    }
