"""The readings of one signal as a picture: value with interval, baseline, evidence up to the alarm. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import datetime
from html import escape
from itertools import pairwise

from twofold.monitoring.record import Reading
from twofold.monitoring.wording import baseline_text, value_text
from twofold.reports.charts import CURVE, Scale, ticks
from twofold.verdict.record import number_text, true_minus

_TOP, _HEIGHT, _LEFT, _EDGE = 10.0, 104.0, 46.0, 12.0
"""Of the upper panel, user units."""
_STRIP, _GAP = 30.0, 14.0
"""Height of the lower panel, the evidence, and the space above it."""
_DAY = 86400.0
_MISSED = 2.5
"""From so many usual gaps between looks on, some were missed."""


def signal_chart(readings: Sequence[Reading], *, name: str, width: float = CURVE) -> str:
    """The picture of a signal that has values; empty where no reading has any.

    The upper panel has the value of each look in its interval, the baseline dashed, alarms as diamonds. The lower panel
    has the evidence against "nothing changed", the sequential statistic, as a share of the threshold at whose line it
    alarms; both by their logarithms.

    Args:
        readings: In the order of the looks.
        name: Of the signal, for the title.
        width: Of the view box, user units.
    """
    points = [reading for reading in readings if reading["value"] is not None]
    if not points:
        return ""
    x = _times(readings, _LEFT, width - _EDGE)
    y = _values(points)
    bottom = _TOP + _HEIGHT
    body = [f'<rect class="wash" {_box(left, _TOP, right, bottom)}/>' for left, right in _alarms(readings, x)]
    for tick in ticks(y.low, y.high, 4):
        body.append(_line(_LEFT, y(tick), width - _EDGE, y(tick), "grid"))
        body.append(_text(_LEFT - 6, y(tick) + 4, _short(tick), "end"))
    for run in _runs(readings, x):
        body += _traced(run, [x[number] for number in run], readings, y)
    body += _baseline(readings, x, y)
    for number, reading in enumerate(readings):
        if reading["state"] == "alarm" and reading["value"] is not None:
            body.append(_diamond(x[number], y(reading["value"])))
    end = bottom
    evidence = _evidence(readings)
    if evidence:
        end = bottom + _GAP + _STRIP
        body += _evidence_panel(evidence, x, end, right=width - _EDGE)
    body += _dates(readings, end + 18, right=width - _EDGE)
    return _svg(width, end + 24, body, title=name, describe=_told_in_words(readings))


def state_strip(readings: Sequence[Reading], *, name: str, width: float = 180) -> str:
    """The states of the last looks as small marks, oldest first: an alarm is a diamond, and not only of another colour.

    Args:
        readings: In the order of the looks.
        name: Of the signal, for the title.
        width: Of the view box, user units.
    """
    step = 9.0
    shown = list(readings)[-int(width // step) :]
    body = []
    for number, reading in enumerate(shown):
        middle = step * number + step / 2
        if reading["state"] == "alarm":
            body.append(_diamond(middle, 8))
        else:
            kind = "mark-ok" if reading["state"] == "ok" else "mark-none"
            body.append(f'<circle class="{kind}" cx="{middle:.1f}" cy="8" r="2.5"/>')
    alarms = sum(reading["state"] == "alarm" for reading in shown)
    return _svg(width, 16, body, title=name, describe=f"{alarms} of the last {len(shown)} looks alarm")


def _times(readings: Sequence[Reading], left: float, right: float) -> list[float]:
    """Places of the looks: by their time; evenly, where a clock was set back."""
    times = [datetime.fromisoformat(reading["at"]).timestamp() for reading in readings]
    if times != sorted(times) or times[0] == times[-1]:
        times = [float(number) for number in range(len(times))]
    # A single look stands in the middle (`Scale`).
    scale = Scale(times[0], times[-1], left, right)
    return [scale(one) for one in times]


def _values(points: Sequence[Reading]) -> Scale:
    parts = [(reading["value"], reading["low"], reading["high"], reading["baseline"]) for reading in points]
    numbers = [value for part in parts for value in part if value is not None]
    low, high = min(numbers), max(numbers)
    pad = (high - low) * 0.1 or abs(high) * 0.1 or 0.1
    # Shares, seconds and counts are not negative: room below must not invent an axis that is.
    return Scale(max(0.0, low - pad) if low >= 0 else low - pad, high + pad, _TOP + _HEIGHT, _TOP)


def _runs(readings: Sequence[Reading], x: Sequence[float]) -> list[list[int]]:
    """Numbers of the readings that have values, cut where one has none or looks were missed: nothing is drawn there."""
    gaps = [later - earlier for earlier, later in pairwise(x)]
    widest = _MISSED * statistics.median(gaps) if gaps else 0.0
    runs: list[list[int]] = [[]]
    for number, reading in enumerate(readings):
        if reading["value"] is None or (number and gaps[number - 1] > widest):
            runs.append([])
        if reading["value"] is not None:
            runs[-1].append(number)
    return [run for run in runs if run]


def _traced(run: Sequence[int], x: Sequence[float], readings: Sequence[Reading], y: Scale) -> list[str]:
    """A line through values, in the band of their intervals."""
    rows = [readings[number] for number in run]
    values = [(place, y(row["value"] or 0.0)) for place, row in zip(x, rows, strict=True)]
    lows = [(place, y(row["low"])) for place, row in zip(x, rows, strict=True) if row["low"] is not None]
    highs = [(place, y(row["high"])) for place, row in zip(x, rows, strict=True) if row["high"] is not None]
    body = []
    if len(lows) > 1 and len(lows) == len(highs):
        body.append(f'<polygon class="interval" points="{_points([*highs, *reversed(lows)])}"/>')
    elif lows and highs:
        body.append(_line(lows[0][0], lows[0][1], highs[0][0], highs[0][1], "whisker"))
    if len(values) > 1:
        body.append(f'<polyline class="trace" points="{_points(values)}"/>')
    # More dots than that would hide the curve.
    if len(values) <= 40:
        body += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in values]
    return body


def _baseline(readings: Sequence[Reading], x: Sequence[float], y: Scale) -> list[str]:
    """The baseline, which a new study or index moves: a dashed step line."""
    placed = [(x[number], row["baseline"]) for number, row in enumerate(readings) if row["baseline"] is not None]
    steps = [(place, y(value)) for place, value in placed]
    if len(steps) == 1:
        return [_line(steps[0][0] - 20, steps[0][1], steps[0][0] + 20, steps[0][1], "baseline")]
    return [f'<polyline class="baseline" points="{_points(steps)}"/>'] if steps else []


def _evidence(readings: Sequence[Reading]) -> list[tuple[int, float]]:
    """Number of a reading → its statistic as a share of the threshold, both by their logarithms."""
    shares = []
    for number, reading in enumerate(readings):
        statistic, threshold = reading["statistic"], reading["threshold"]
        if statistic is not None and threshold is not None and threshold > 0:
            shares.append((number, math.log1p(max(0.0, statistic)) / math.log1p(threshold)))
    return shares


def _evidence_panel(
    evidence: Sequence[tuple[int, float]], x: Sequence[float], bottom: float, *, right: float
) -> list[str]:
    # A quarter of the height lies above the threshold; what is far beyond it ends at the top.
    scale = Scale(0.0, 1.25, bottom, bottom - _STRIP)
    body = [_line(_LEFT, bottom, right, bottom, "grid"), _line(_LEFT, scale(1.0), right, scale(1.0), "threshold")]
    for number, share in evidence:
        kind = "proof over" if share >= 1 else "proof"
        body.append(_line(x[number], bottom, x[number], scale(share), kind))
    body.append(_text(_LEFT - 6, scale(1.0) + 4, "alarm", "end"))
    return body


def _alarms(readings: Sequence[Reading], x: Sequence[float]) -> list[tuple[float, float]]:
    """Stretches in which the signal alarms."""
    stretches: list[tuple[float, float]] = []
    before = False
    for number, reading in enumerate(readings):
        alarm = reading["state"] == "alarm"
        if alarm and before:
            stretches[-1] = (stretches[-1][0], x[number])
        elif alarm:
            stretches.append((x[number], x[number]))
        before = alarm
    return [(left - 4, right + 4) for left, right in stretches]


def _dates(readings: Sequence[Reading], y: float, *, right: float) -> list[str]:
    first, last = (datetime.fromisoformat(readings[number]["at"]) for number in (0, -1))
    # Hours matter within two days only.
    style = "%d %b %H:%M" if abs((last - first).total_seconds()) < 2 * _DAY else "%d %b %Y"
    texts = [_text(_LEFT, y, first.strftime(style), "start")]
    if last != first:
        texts.append(_text(right, y, last.strftime(style), "end"))
    return texts


def _told_in_words(readings: Sequence[Reading]) -> str:
    last = readings[-1]
    baseline = baseline_text(last)
    parts = [
        f"{len(readings)} looks",
        f"now {value_text(last) or 'not measured'}",
        f"compared with {baseline}" if baseline else "",
        f"{sum(reading['state'] == 'alarm' for reading in readings)} alarms",
    ]
    return ", ".join(filter(None, parts))


def _short(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else number_text(value).rstrip("0").rstrip(".") or "0"
    return true_minus(text if len(text) < 8 else f"{value:.1e}")


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _box(left: float, top: float, right: float, bottom: float) -> str:
    return f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _diamond(x: float, y: float, radius: float = 5.0) -> str:
    corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    return f'<polygon class="mark-alarm" points="{_points(corners)}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, body: Sequence[str], *, title: str, describe: str) -> str:
    label = escape(f"{title}: {describe}")
    return (
        f'<svg class="chart signal" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{label}">{"".join(body)}</svg>'
    )
