"""Pictures: everything inside the view box, every mark where its number says."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twofold.reports import charts
from twofold.reports.charts import Bar, IntervalRow, Point

WIDTHS = st.sampled_from([charts.WIDE, charts.NARROW, charts.HALF])
NAME = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)


def parse(svg: str):
    root = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", svg, count=1))
    return root, [float(v) for v in root.attrib["viewBox"].split()]


def inside(svg: str) -> None:
    root, (_, _, width, height) = parse(svg)
    assert root.attrib["role"] == "img"
    assert root.find("title").text == root.attrib["aria-label"] != ""
    assert root.find("desc") is not None
    for node in root.iter():
        for keys, most in ((("x", "x1", "x2", "cx"), width), (("y", "y1", "y2", "cy"), height)):
            for key in keys:
                assert 0 <= float(node.attrib.get(key, 0)) <= most, ElementTree.tostring(node)
        if node.tag == "rect":
            assert float(node.attrib["x"]) + float(node.attrib["width"]) <= width + 0.1
        if node.tag == "text" and node.text:
            wide, at = charts.text_width(node.text, 11), float(node.attrib["x"])
            left = at - {"start": 0, "middle": wide / 2, "end": wide}[node.attrib["text-anchor"]]
            assert left >= -4, node.text
            assert left + wide <= width + 4, node.text


@st.composite
def interval_rows(draw, low=-1.0):
    ends = sorted(draw(st.lists(st.floats(low, 1, allow_nan=False), min_size=3, max_size=3)))
    text = f"{ends[1]:.3f} [{ends[0]:.3f}, {ends[2]:.3f}]"
    kind = draw(st.sampled_from(["winner", "plain", "muted"]))
    return IntervalRow(label=draw(NAME), low=ends[0], mean=ends[1], high=ends[2], text=text, kind=kind, band=0.02)


def axis(root):
    """The map from coordinates to values, read off the printed ticks."""
    marks = []
    for node in root.iter("text"):
        text = (node.text or "").replace("−", "-")
        if node.attrib["class"] == "tick" and re.fullmatch(r"-?\d*\.?\d+(e-?\d+)?", text):
            marks.append((float(node.attrib["x"]), float(text)))
    (x1, v1), (x2, v2) = min(marks), max(marks)
    return lambda x: v1 + (x - x1) * (v2 - v1) / (x2 - x1)


@settings(max_examples=60, deadline=None)
@given(st.lists(interval_rows(), min_size=1, max_size=8), WIDTHS)
def test_a_forest_plot_stays_inside_and_its_intervals_stand_where_they_say(rows, width) -> None:
    svg = charts.interval_plot(rows, title="Effects", width=width, zero=True)
    inside(svg)
    root, _ = parse(svg)
    value = axis(root)
    groups = [g for g in root.iter("g") if "row" in g.attrib.get("class", "").split()]
    assert len(groups) == len(rows)
    span = max(abs(v) for r in rows for v in (r.low, r.high, 0.05)) * 2
    for row, group in zip(rows, groups, strict=True):
        line = group.findall("line")[0]
        assert value(float(line.attrib["x1"])) == pytest.approx(row.low, abs=0.012 * span)
        assert value(float(line.attrib["x2"])) == pytest.approx(row.high, abs=0.012 * span)
        dot = group.find("circle")
        if row.kind != "winner":
            assert value(float(dot.attrib["cx"])) == pytest.approx(row.mean, abs=0.012 * span)
        assert row.text in "".join(group.itertext())
    zeros = [line for line in root.iter("line") if line.attrib["class"] == "zero"]
    assert len(zeros) == (len(rows) if width < charts.COMPACT else 1)
    assert all(value(float(zero.attrib["x1"])) == pytest.approx(0, abs=0.01 * span) for zero in zeros)
    if width < charts.COMPACT:
        labels = [float(text.attrib["y"]) for text in root.iter("text") if "label" in text.attrib["class"].split()]
        assert all(not float(z.attrib["y1"]) < y < float(z.attrib["y2"]) for z in zeros for y in labels), "crossed"


@settings(max_examples=40, deadline=None)
@given(st.lists(interval_rows(low=0.0), min_size=0, max_size=9), WIDTHS)
def test_an_interval_plot_stays_inside(rows, width) -> None:
    inside(charts.interval_plot(rows, title="Arms", width=width, axis="score"))


@st.composite
def points(draw):
    row = draw(interval_rows(low=0.0))
    p50 = draw(st.floats(0.001, 20))
    p95 = p50 * draw(st.floats(1, 4))
    label = draw(st.text("abcdef+ -", min_size=1, max_size=14))
    return Point(label=label, p50=p50, p95=p95, mean=row.mean, low=row.low, high=row.high, kind=row.kind)


@settings(max_examples=60, deadline=None)
@given(st.lists(points(), min_size=0, max_size=8), WIDTHS)
def test_a_scatter_stays_inside(many, width) -> None:
    inside(charts.scatter(many, title="Pace", width=width, x_axis="seconds", y_axis="score"))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("abcdef+", min_size=1, max_size=12), st.floats(50, 310), st.floats(40, 280)),
        min_size=1,
        max_size=8,
    )
)
def test_labels_never_overlap_nor_cover_a_point(labelled) -> None:
    frame = (46.0, 30.0, 316.0, 286.0)
    places = [(x, y) for _, x, y in labelled]
    boxes = charts.place_labels([name for name, _, _ in labelled], places, frame=frame)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for left, top, right, bottom in boxes:
        assert frame[0] <= left
        assert right <= frame[2] + 1e-6
        assert frame[1] <= top
        assert bottom <= frame[3] + 1e-6
        assert not any(left < x < right and top < y < bottom for x, y in places)


def test_labels_at_one_place_are_all_readable() -> None:
    boxes = charts.place_labels(["ft+rag"] * 8, [(100.0, 100.0)] * 8, frame=(40, 20, 330, 290))
    assert len(set(boxes)) == 8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 9)), max_size=60), st.floats(0, 5000))
@example(curve=[(0.0, 6e-8)], best=0.0)
@example(curve=[(0.0, 6e-308)], best=0.0)
def test_curves_stay_inside(curve, best) -> None:
    svg = charts.line_plot(sorted(curve), title="loss", x_axis="step", best=best)
    inside(svg)
    root, (_, _, width, height) = parse(svg)
    for line in root.iter("polyline"):
        pairs = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        assert len(pairs) == len(curve)
        assert all(0 <= x <= width and 0 <= y <= height for x, y in pairs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 400), min_size=4, max_size=4), min_size=1, max_size=7), WIDTHS)
def test_stacked_bars_are_as_long_as_their_counts(counts, width) -> None:
    names = ("right", "partial", "format", "failure")
    bars = [
        Bar(label=f"arm {i}", parts=tuple(zip(names, c, ("s0", "s1", "s2", "s3"), strict=True)))
        for i, c in enumerate(counts)
    ]
    svg = charts.stacked_bars(bars, title="Causes", width=width)
    inside(svg)
    rects = [float(r.attrib["width"]) for r in parse(svg)[0].iter("rect")]
    wanted = [(n, sum(c)) for c in counts for n in c if n]
    assert len(rects) == len(wanted)
    full = max(
        (size / (n / total) for size, (n, total) in zip(rects, wanted, strict=True) if n / total > 0.5), default=0
    )
    for size, (n, total) in zip(rects, wanted, strict=True):
        if full:
            assert size == pytest.approx(full * n / total, abs=4)


def test_a_cell_bar_runs_from_0_to_1() -> None:
    svg = charts.interval_bar(0.5, 0.25, 1.0, title="base")
    inside(svg)
    root, (_, _, width, _) = parse(svg)
    line = next(n for n in root.iter("line") if n.attrib["class"] == "whisker")
    assert float(line.attrib["x1"]) == pytest.approx(4 + (width - 8) * 0.25, abs=0.06)
    assert float(line.attrib["x2"]) == pytest.approx(width - 4)
    assert float(root.find("circle").attrib["cx"]) == pytest.approx(width / 2, abs=0.06)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 9))
def test_ticks_are_round_and_inside(low, span, count) -> None:
    found = charts.ticks(low, low + span, count)
    assert all(low - 1e-6 * span <= t <= low + span + 1e-6 * span for t in found)
    assert len(found) <= count + 2
    steps = {round(b - a, 9) for a, b in pairwise(found)}
    assert len(steps) <= 1 or max(steps) - min(steps) < 1e-6 * span


def test_hostile_names_stay_text() -> None:
    name = "<script>alert(1)</script>\"'&"
    row = IntervalRow(label=name, mean=0.5, low=0.4, high=0.6, text=".500 [.400, .600]")
    svg = charts.interval_plot([row], title=name)
    assert "<script" not in svg
    root, _ = parse(svg)
    assert root.attrib["aria-label"] == name


@given(st.floats(-6, 7), st.floats(1, 12))
def test_a_logarithmic_axis_has_labelled_ticks_wherever_it_lies(low: float, span: float) -> None:
    places = charts.log_ticks(low, low + span)
    assert 1 <= len(places) <= 10
    assert all(low - 1e-9 <= place <= low + span + 1e-9 for place in places)
    assert places == sorted(places)
    leading = {f"{10.0**place:.0e}"[0] for place in places}
    assert leading <= {"1", "2", "5"}


def test_an_end_that_is_a_power_but_for_rounding_has_its_tick() -> None:
    # Of some browsers Math.log10(1000) is this.
    assert charts.log_ticks(0.0, 2.9999999999999996)[-1] == 3.0
