"""The report's pictures: small functions from numbers to SVG text. Pure.

Every function returns one ``<svg>`` with a title and a description, coordinates inside its view box, and no style of
its own: colours come from the page's classes (see ``templates/charts.css``). A chart has two shapes: from `COMPACT`
units of width on, labels stand beside the marks; below, above them, so that a phone shows the same facts at a
readable size.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product

from twofold.verdict.record import number_text

COMPACT = 500
"""Narrower charts put labels above the marks."""
WIDE, NARROW, HALF, CURVE = 1020, 330, 490, 400
"""Widths drawn for a page: desktop, phone, half a desktop page (labels above), and a curve that a phone can show."""
_CHAR = 7.3
"""Width of a letter at 13 px, user units: above the mean of sans-serif fonts, as `text_width` must never be short."""
_BOLD = 1.12
"""Bold letters and digits, which the winner's row has, are so much wider."""
_MARK = 20.0
"""Left free beside a column of values: half a mark at the end of the scale, and a gap."""
_LINE = 17
"""Height of a label's box, user units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """One line of an interval plot."""

    label: str
    """Name, at the left or above."""
    mean: float
    """Point estimate."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    text: str
    """The estimate as printed, interval included."""
    kind: str = "plain"
    """``winner``, ``plain`` or ``muted`` (diagnostic, or not acceptable: drawn hollow)."""
    band: float = 0.0
    """Half width of the shaded band around 0 within which a difference does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One arm in the accuracy-latency picture; seconds and score."""

    label: str
    """Name."""
    p50: float
    """Median seconds."""
    p95: float
    """95th percentile, seconds."""
    mean: float
    """Score."""
    low: float
    """Lower end of the score's interval."""
    high: float
    """Upper end."""
    kind: str = "plain"
    """As in `IntervalRow`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stacked bar: counts, or other amounts, in order, each with its colour class."""

    label: str
    """Name."""
    parts: tuple[tuple[str, float, str], ...]
    """(what it counts, count, colour class)."""
    whole: float = 0.0
    """Amount that the full width stands for, whose parts' names tell their values; 0: the sum of the bar's counts."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The coordinate of `value`, kept inside the ends."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


Box = tuple[float, float, float, float]
"""left, top, right, bottom."""


def text_width(text: str, size: float = 13) -> float:
    """A safe upper estimate of the width of `text` in user units (wide East Asian characters count double)."""
    units = sum(1.8 if unicodedata.east_asian_width(c) in "WF" else 1.0 for c in text)
    return units * _CHAR * size / 13


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between `low` and `high`, about `count` of them; the step is 1, 2, 2.5 or 5 times a power of 10."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    rough = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    # Rounding must not choose the next larger step.
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    # An end that is a tick but for rounding is one.
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    # Rounded, or .30000000000000004 would be printed; + 0.0 turns -0.0 into 0.0.
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def interval_bar(mean: float, low: float, high: float, *, title: str, width: int = 150) -> str:
    """A one-line bar from 0 to 1 with the interval and its mean, for table cells."""
    scale = Scale(0.0, 1.0, 4.0, width - 4.0)
    body = [
        _line(scale(0), 9, scale(1), 9, "track"),
        _line(scale(low), 9, scale(high), 9, "whisker"),
        _dot(scale(mean), 9, "plain", 4.5),
    ]
    return _svg(width, 18, body, title=title, describe="A line from 0 to 1 with the interval and the mean.", kind="bar")


def interval_plot(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    width: int = WIDE,
    zero: bool = False,
    axis: str = "",
    joined: bool = False,
) -> str:
    """Dots with intervals, one row each; with `zero` a forest plot around a line at 0 with the rows' bands.

    Args:
        rows: From top to bottom.
        title: Name of the picture.
        width: Width of the view box; below `COMPACT` labels stand above the marks.
        zero: Differences: symmetric around 0 as far as needed, line at 0, bands drawn.
        axis: What the axis measures.
        joined: The rows follow each other in time: a curve joins their dots.
    """
    compact = width < COMPACT
    scale_low, scale_high = _domain(rows, zero)
    left = 12.0 if compact else min(300.0, max((_wide(r.label, r) for r in rows), default=0) + 20)
    right = width - 12.0 if compact else width - max((_wide(r.text, r) for r in rows), default=0) - _MARK
    scale = Scale(scale_low, scale_high, left, right)
    step, top, over = (46, 6, 22) if compact else (32, 8, 0)  # `over`: room above the marks, where compact labels stand
    bottom = top + step * len(rows)
    body: list[str] = []
    for index, row in enumerate(rows):
        if zero and row.band > 0:
            y = top + step * index
            box = (scale(-row.band), y + over, scale(row.band), y + step)
            body.append(f'<rect class="band" {_rect(box)}/>')
    # Bands lie below grid lines, and these below the marks: SVG paints in the order of the elements.
    for tick in ticks(scale_low, scale_high, 4 if compact else 6):
        kind = "zero" if zero and tick == 0 else "grid"
        # Compact labels stand between the rows: grid lines are cut there, so that they do not strike them through.
        starts = [top + step * index for index in range(len(rows))] if compact else [top]
        body += [_line(scale(tick), y + over, scale(tick), y + step if compact else bottom, kind) for y in starts]
        body.append(_text(scale(tick), bottom + 16, _number(tick), "tick", "middle"))
    if axis:
        body.append(_text((left + right) / 2, bottom + 34, axis, "tick", "middle"))
    if joined:
        dots = ((scale(row.mean), top + step * n + (33 if compact else step / 2)) for n, row in enumerate(rows))
        body.append(f'<polyline class="trace" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in dots)}"/>')
    for index, row in enumerate(rows):
        y = top + step * index
        middle = y + (33 if compact else step / 2)
        label_y = y + 16 if compact else middle + 4.5
        room = right - left - _wide(row.text, row) - 8 if compact else left - 16
        bold = " strong" if row.kind == "winner" else ""
        described = f"<title>{escape(f'{row.label}: {row.text}')}</title>"
        body.append(
            f'<g class="row {row.kind}">{described}'
            + _text(
                left if compact else left - 12,
                label_y,
                _cut(row.label, room / (_BOLD if bold else 1.0)),
                ("label halo" if compact else "label") + bold,
                "start" if compact else "end",
            )
            + _line(scale(row.low), middle, scale(row.high), middle, "whisker")
            + _line(scale(row.low), middle - 5, scale(row.low), middle + 5, "whisker cap")
            + _line(scale(row.high), middle - 5, scale(row.high), middle + 5, "whisker cap")
            + _dot(scale(row.mean), middle, row.kind, 6.5 if row.kind == "winner" else 5)
            + _text(
                width - 8 if not compact else right,
                label_y,
                row.text,
                ("value halo" if compact else "value") + bold,
                "end",
            )
            + "</g>"
        )
    listed = "; ".join(f"{row.label} {row.text}" for row in rows)
    return _svg(width, bottom + (42 if axis else 24), body, title=title, describe=listed, kind="intervals")


def _wide(text: str, row: IntervalRow) -> float:
    """The width of one of the row's texts."""
    return text_width(text) * (_BOLD if row.kind == "winner" else 1.0)


def scatter(points: Sequence[Point], *, title: str, width: int = WIDE, x_axis: str, y_axis: str) -> str:
    """Score against latency: dot at the median, whisker to p95, vertical interval of the score; labels never overlap.

    Raises nothing for few points; an empty sequence gives an empty frame.
    """
    compact = width < COMPACT
    height = 330 if compact else 380
    left, right, top, bottom = 46.0, width - 14.0, 30.0, height - 44.0
    x_high = max((p.p95 for p in points), default=1.0) * 1.08 or 1.0
    # Only for `_domain`, which knows how scores are framed.
    rows = [IntervalRow(label=p.label, mean=p.mean, low=p.low, high=p.high, text="") for p in points]
    y_low, y_high = _domain(rows, False)
    x, y = Scale(0.0, x_high, left, right), Scale(y_low, y_high, bottom, top)
    body: list[str] = []
    for tick in ticks(0.0, x_high, 4 if compact else 7):
        body.append(_line(x(tick), top, x(tick), bottom, "grid"))
        body.append(_text(x(tick), bottom + 17, _number(tick), "tick", "middle"))
    for tick in ticks(y_low, y_high, 5):
        body.append(_line(left, y(tick), right, y(tick), "grid"))
        body.append(_text(left - 6, y(tick) + 4, _number(tick), "tick", "end"))
    body.append(_text((left + right) / 2, bottom + 36, x_axis, "tick", "middle"))
    body.append(_text(8, 16, y_axis, "tick", "start"))
    places = [(x(p.p50), y(p.mean)) for p in points]
    whiskers = [(x(p.p50), y(p.mean) - 2, x(p.p95), y(p.mean) + 2) for p in points]
    stems = [(x(p.p50) - 2, y(p.high), x(p.p50) + 2, y(p.low)) for p in points]
    # Whiskers are four units high, stems four units wide: boxes that labels are kept off where there is room.
    boxes = place_labels(
        [p.label for p in points], places, frame=(left + 2, top, right, bottom - 2), avoid=[*whiskers, *stems]
    )
    for point, (cx, cy), box in zip(points, places, boxes, strict=True):
        tooltip = f"{point.label}: p50 {number_text(point.p50, 2)} s, p95 {number_text(point.p95, 2)} s"
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        # A label that found no room beside its point gets a line to it.
        far = math.hypot(middle[0] - cx, middle[1] - cy) > (box[2] - box[0]) / 2 + 26
        bold = " strong" if point.kind == "winner" else ""
        body.append(
            f'<g class="row {point.kind}"><title>{escape(tooltip)}</title>'
            + (_line(cx, cy, *middle, "leader") if far else "")
            + _line(cx, y(point.low), cx, y(point.high), "whisker")
            + _line(cx, cy, x(point.p95), cy, "whisker dashed")
            + _line(x(point.p95), cy - 5, x(point.p95), cy + 5, "whisker cap")
            + _dot(cx, cy, point.kind, 6.5 if point.kind == "winner" else 5)
            + _text(box[0] + 2, box[3] - 4, _cut(point.label, box[2] - box[0]), "label halo" + bold, "start")
            + "</g>"
        )
    listed = "; ".join(f"{p.label} p50 {number_text(p.p50, 2)} s, p95 {number_text(p.p95, 2)} s" for p in points)
    return _svg(width, height, body, title=title, describe=listed, kind="scatter")


def place_labels(
    labels: Sequence[str], places: Sequence[tuple[float, float]], *, frame: Box, avoid: Sequence[Box] = ()
) -> list[Box]:
    """A box for every label near its point: no two boxes overlap, none covers a point, all lie in the frame.

    Positions around the point are tried first, then every place of a grid from near to far. `avoid` (whiskers) is kept
    clear where that is possible. Where the frame has no room left a label may cover a whisker, then a point; labels
    overlap only when the frame cannot hold them all.
    """
    # The largest mark has a radius of 6.5.
    dots = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    taken: list[Box] = []
    for label, (x, y) in zip(labels, places, strict=True):
        wide = min(text_width(label) + 6, frame[2] - frame[0])
        candidates = list(_around(x, y, wide)) + sorted(
            _grid(frame, wide), key=lambda box: (math.hypot((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y), box)
        )
        inside = [box for box in candidates if _inside(box, frame)]
        # Whiskers are covered before points, points before other labels; the last resort is any place at all.
        obstacles: Sequence[Sequence[Box]] = ([*taken, *dots, *avoid], [*taken, *dots], taken, ())
        taken.append(next(box for blocked in obstacles for box in inside if _is_clear(box, blocked)))
    return taken


def _is_clear(box: Box, blocked: Sequence[Box]) -> bool:
    return not any(_overlap(box, other) for other in blocked)


def log_ticks(low: float, high: float) -> list[float]:
    """Exponents of the ticks of a logarithmic axis between two exponents.

    Powers of ten; 2 and 5 times these, too, where fewer than three powers would stand there alone.
    """
    exponents = range(math.floor(low), math.floor(high + 1e-9) + 1)
    every = max(1, math.ceil(len(exponents) / 7))
    factors = (1, 2, 5) if high - low < 3 else (1,)
    places = [exponent + math.log10(factor) for exponent, factor in product(exponents[::every], factors)]
    # An end that is a tick but for rounding is one.
    return [place for place in places if low - 1e-9 <= place <= high + 1e-9]


def line_plot(
    points: Sequence[tuple[float, float]], *, title: str, x_axis: str, width: int = NARROW, best: float | None = None
) -> str:
    """A small curve with its points; `best` marks one place on the x axis with a dashed line."""
    height, right, top, bottom = 170, width - 12.0, 12.0, 128.0
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_low, x_high = min([0.0, *xs]), max([*xs, 1.0])
    y_low, y_high = (min(ys), max(ys)) if ys else (0.0, 1.0)
    pad = (y_high - y_low) * 0.08 or abs(y_high) * 0.1 or 0.1
    # Losses and scores are not negative: room below must not invent an axis that is.
    y_low, y_high = max(0.0, y_low - pad) if y_low >= 0 else y_low - pad, y_high + pad
    marks = ticks(y_low, y_high, 4)
    # 44 pixels hold what losses and scores are, not 5.5e−08.
    left = max(44.0, 10 + max(text_width(_number(tick), 11) for tick in marks))
    x, y = Scale(x_low, x_high, left, right), Scale(y_low, y_high, bottom, top)
    body = []
    for tick in marks:
        body.append(_line(left, y(tick), right, y(tick), "grid"))
        body.append(_text(left - 6, y(tick) + 4, _number(tick), "tick", "end"))
    for tick in ticks(x_low, x_high, 4):
        body.append(_text(x(tick), bottom + 16, _number(tick), "tick", "middle"))
    body.append(_text((left + right) / 2, bottom + 34, x_axis, "tick", "middle"))
    if best is not None:
        body.append(_line(x(best), top, x(best), bottom, "best"))
    if len(points) > 1:
        body.append(f'<polyline class="trace" points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)}"/>')
    # More dots than that would hide the curve.
    if len(points) <= 40:
        body += [_dot(x(a), y(b), "plain", 3) for a, b in points]
    span = f"{len(points)} points from {_number(ys[0])} to {_number(ys[-1])}" if ys else "no points"
    return _svg(width, height, body, title=title, describe=span, kind="traced")


def curve_plot(
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    title: str,
    x_axis: str,
    logarithmic: bool = False,
    width: int = CURVE,
) -> str:
    """Several curves in one frame, told apart by colour and dashes (classes ``k0`` …); the y axis begins at 0.

    Args:
        lines: (name, points).
        title: Name of the picture.
        x_axis: What the x axis measures.
        logarithmic: Both axes are logarithmic; points at 0 lie on the lower edge.
        width: Width of the view box.
    """
    height, left, right, top, bottom = 260.0, 62.0, width - 14.0, 10.0, 214.0
    ys = [y for _, points in lines for _, y in points]
    xs = [x for _, points in lines for x, _ in points]
    least = min((y for y in ys if y > 0), default=0.1)
    put = math.log10 if logarithmic else float
    y_low = math.floor(put(least)) if logarithmic else 0.0
    y_high = max(put(max([*ys, least])), y_low + 1) if logarithmic else max([*ys, 0.0]) * 1.05 or 1.0
    x, y = Scale(put(min(xs)), put(max(xs)), left, right), Scale(y_low, y_high, bottom, top)
    body = []
    marks = log_ticks if logarithmic else ticks
    for tick in marks(y_low, y_high):
        body.append(_line(left, y(tick), right, y(tick), "grid"))
        body.append(_text(left - 6, y(tick) + 4, _power(tick) if logarithmic else _number(tick), "tick", "end"))
    for tick in marks(put(min(xs)), put(max(xs))):
        body.append(_text(x(tick), bottom + 17, _power(tick) if logarithmic else _number(tick), "tick", "middle"))
    body.append(_text((left + right) / 2, bottom + 36, x_axis, "tick", "middle"))
    for number, (name, points) in enumerate(lines):
        drawn = " ".join(f"{x(put(a)):.1f},{y(put(b) if b > 0 or not logarithmic else y_low):.1f}" for a, b in points)
        body.append(f'<g><title>{escape(name)}</title><polyline class="curve k{number % 6}" points="{drawn}"/></g>')
    ends = "; ".join(f"{name} from {_number(points[0][1])} to {_number(points[-1][1])}" for name, points in lines)
    return _svg(width, height, body, title=title, describe=ends, kind="curves-plot")


def _power(exponent: float) -> str:
    """A tick of a logarithmic axis: ``10``, ``20``, ``1k``, ``1M``."""
    for size, letter in ((6, "M"), (3, "k")):
        if exponent >= size:
            return f"{10 ** (exponent - size):.3g}{letter}"
    return _number(float(f"{10.0**exponent:.3g}"))


def stacked_bars(bars: Sequence[Bar], *, title: str, width: int = WIDE) -> str:
    """One bar per row: the parts' shares of its total, with counts where there is room, or of `Bar.whole`."""
    compact = width < COMPACT
    left = 8.0 if compact else min(220.0, max((text_width(b.label) for b in bars), default=0) + 20)
    right = width - 8.0
    step = 56 if compact else 38
    body: list[str] = []
    for index, bar in enumerate(bars):
        top = 4 + step * index
        y = top + 20 if compact else top + 4
        anchor, label_x, label_y = ("start", left, top + 14) if compact else ("end", left - 12, y + 18)
        body.append(_text(label_x, label_y, _cut(bar.label, (right if compact else left) - 16), "label", anchor))
        total = bar.whole or sum(count for _, count, _ in bar.parts)
        at = left
        for name, count, colour in bar.parts:
            size = (right - left) * count / total if total else 0.0
            if size <= 0:
                continue
            # A gap between parts; a part too small for it stays a hairline, as a count above 0 must be seen.
            box = (at, y, max(at + 0.5, at + size - 1.5), y + 26)
            number = "" if bar.whole else str(count)
            says = f"{bar.label}: {name}" + ("" if bar.whole else f", {count} of {total}")
            fits = number and size > 10 * len(number)
            inner = _text(at + size / 2, y + 18, number, "count", "middle") if fits else ""
            body.append(f'<g><title>{escape(says)}</title><rect class="{colour}" {_rect(box)}/>{inner}</g>')
            at += size
    descriptions = []
    for bar in bars:
        named = [name if bar.whole else f"{name} {count}" for name, count, _ in bar.parts if count]
        descriptions.append(f"{bar.label}: {', '.join(named)}")
    return _svg(width, 8 + step * len(bars), body, title=title, describe="; ".join(descriptions), kind="stacked")


def count_bars(
    names: Sequence[str], counts: Sequence[tuple[str, Mapping[str, int]]], *, title: str, width: int = HALF
) -> str:
    """Counts by name as lying bars, one for each series (before, after) under each other, the counts beside them.

    Args:
        names: From top to bottom.
        counts: (series, name → count).
        title: Name of the picture.
        width: Width of the view box; labels stand above the bars when it is below `COMPACT`.
    """
    compact = width < COMPACT
    right = width - 8.0
    left = 8.0 if compact else min(220.0, max((text_width(n) for n in names), default=0) + 20)
    most = max((by_name.get(name, 0) for name, (_, by_name) in product(names, counts)), default=0)
    # The counts stand to the right of their bars.
    room = text_width(str(most)) + text_width(max((s for s, _ in counts), key=len, default="")) + 14
    scale = Scale(0.0, float(most or 1), left, right - room)
    thick = 14
    step = thick * len(counts) + (26 if compact else 10)
    body: list[str] = []
    for index, name in enumerate(names):
        top = 4 + step * index
        anchor, label_x, label_y = ("start", left, top + 13) if compact else ("end", left - 12, top + thick)
        body.append(_text(label_x, label_y, _cut(name, (right if compact else left) - 16), "label", anchor))
        for series, (label, by_name) in enumerate(counts):
            y = top + (18 if compact else 2) + thick * series
            count = by_name.get(name, 0)
            box = (left, y, max(left + 0.5 * bool(count), scale(count)), y + thick - 3)
            described = f"<title>{escape(f'{name}, {label}: {count}')}</title>"
            shown = f"{count} {label}" if len(counts) > 1 else str(count)
            drawn = f'<rect class="s{series}" {_rect(box)}/>' + _text(box[2] + 5, y + 11, shown, "tick", "start")
            body.append(f"<g>{described}{drawn}</g>")
    descriptions = []
    for name in names:
        parts = ", ".join(f"{by_name.get(name, 0)} {label}" for label, by_name in counts)
        descriptions.append(f"{name} {parts}")
    description = "; ".join(descriptions)
    return _svg(width, 8 + step * len(names), body, title=title, describe=description, kind="counts")


def picture(rows: Sequence[IntervalRow], *, sentence: str, caption: str) -> str:
    """A picture that stands alone (for a README): the sentence over the interval plot, with its own colours."""
    width = 900
    lines = wrapped(sentence, 98)
    head = 26 + 24 * len(lines)
    # The plot is drawn by the function that the page uses, then lifted out of its own svg element.
    plot = interval_plot(rows, title=sentence, width=width - 60)
    inner_height = float(plot.split('viewBox="', 1)[1].split('"', 1)[0].split()[3])
    height = max(420.0, head + inner_height + 66)
    offset = head + 14 + max(0.0, (height - head - 66 - inner_height) / 3)
    inner = plot.split(">", 1)[1].rsplit("</svg>", 1)[0].split("</desc>", 1)[1]
    body = [
        f"<style>{PICTURE_STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1:g}" rx="12"/>',
        *(_text(30, 38 + 24 * i, line, "headline", "start") for i, line in enumerate(lines)),
        f'<g transform="translate(30 {offset:.1f})">{inner}</g>',
        _text(30, height - 18, caption, "tick", "start"),
    ]
    listed = "; ".join(f"{row.label} {row.text}" for row in rows)
    return _svg(width, height, body, title=sentence, describe=listed, kind="picture")


PICTURE_STYLE = (
    "svg{--ink:#1c2430;--soft:#566072;--line:#d9dee6;--accent:#0b6e4f;--mark:#3b5b8c;--paper:#fff}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e8ecf2;--soft:#a9b3c2;--line:#3a4454;--accent:#4cc79a;"
    "--mark:#8fb4ea;--paper:#161b22}}"
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}"
    ".tick{fill:var(--soft);font-size:12px}.headline{font-size:16px;font-weight:600}.strong{font-weight:700}"
    ".paper{fill:var(--paper);stroke:var(--line)}.grid{stroke:var(--line)}.whisker{stroke:var(--mark);stroke-width:2}"
    ".dot{fill:var(--mark);stroke:var(--mark);stroke-width:2}.winner .whisker{stroke:var(--accent);stroke-width:3}"
    ".winner .dot{fill:var(--accent);stroke:var(--accent)}.muted .whisker{stroke:var(--soft)}"
    ".muted .dot{fill:var(--paper);stroke:var(--soft)}.value{font-variant-numeric:tabular-nums}"
)
"""Colours of a picture that stands alone, light and dark."""


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at spaces (a longer word stands alone, cut)."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word[:width])
    return lines


# ---------------------------------------------------------------- pieces


def _domain(rows: Sequence[IntervalRow], zero: bool) -> tuple[float, float]:
    lows = [min(r.low, r.mean) for r in rows]
    highs = [max(r.high, r.mean) for r in rows]
    if zero:
        # Never so near that a difference of one point in a thousand fills the width.
        far = max([0.02, *(abs(v) for v in (*lows, *highs)), *(r.band * 1.2 for r in rows)])
        # Symmetric where both sides are used; a side that is nearly empty is cut, but 0 and the bands stay in sight.
        low = -far if min([0.0, *lows]) < -far / 3 else min([0.0, *lows, *(-1.2 * r.band for r in rows)]) - 0.06 * far
        high = far if max([0.0, *highs]) > far / 3 else max([0.0, *highs, *(1.2 * r.band for r in rows)]) + 0.06 * far
        return low * 1.04, high * 1.04
    top = max([0.1, *highs])
    # Scores end at 1, so the axis does; metrics that go beyond get room.
    return min([0.0, *lows]), top * 1.04 if top > 1 else min(1.0, top * 1.08)


def _around(x: float, y: float, wide: float) -> Iterable[Box]:
    # Nearest places first: four corners, then above and below.
    for gap in (9, 16, 26):
        for dx, dy in ((gap, -gap), (gap, gap), (-gap, -gap), (-gap, gap)):
            left = x + dx if dx > 0 else x + dx - wide
            yield (left, y + dy - _LINE / 2, left + wide, y + dy + _LINE / 2)
        for dy in (-gap - 4, gap + 4):
            yield (x - wide / 2, y + dy - _LINE / 2, x + wide / 2, y + dy + _LINE / 2)


def _grid(frame: Box, wide: float) -> Iterable[Box]:
    y = frame[1]
    while y + _LINE <= frame[3]:
        x = frame[0]
        while x + wide <= frame[2]:
            yield (x, y, x + wide, y + _LINE)
            x += 8
        yield (frame[2] - wide, y, frame[2], y + _LINE)
        y += _LINE + 1


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] + 1e-6 and box[3] <= frame[3] + 1e-6


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _number(value: float) -> str:
    text = f"{value:.6g}".replace("-", "\u2212")
    return text.replace("0.", ".", 1) if 0 < abs(value) < 1 else text


def _cut(text: str, room: float) -> str:
    if text_width(text) <= room:
        return text
    start = text
    while start and text_width(start) + _CHAR > room:
        start = start[:-1]
    return start.rstrip() + "…"


def _rect(box: Box) -> str:
    return f'x="{box[0]:.1f}" y="{box[1]:.1f}" width="{max(0.0, box[2] - box[0]):.1f}" height="{box[3] - box[1]:.1f}"'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, kind: str, radius: float) -> str:
    # A diamond, not only another colour: told apart in black and white as well.
    if kind == "winner":
        path = f"M{x:.1f} {y - radius:.1f}L{x + radius:.1f} {y:.1f}L{x:.1f} {y + radius:.1f}L{x - radius:.1f} {y:.1f}Z"
        return f'<path class="dot" d="{path}"/>'
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, body: Sequence[str], *, title: str, describe: str, kind: str) -> str:
    return (
        f'<svg class="chart {kind}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(describe)}</desc>{''.join(body)}</svg>"
    )
