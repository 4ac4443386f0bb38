"""Pictures of signals: what they show, and that no readings break them."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from watched import NOON, reading

from twofold.monitoring.record import Reading
from twofold.monitoring.signal_chart import signal_chart, state_strip
from twofold.monitoring.wording import baseline_text, value_text

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.none() | st.floats(-1e12, 1e12)


def days(*values: float | None, alarm_from: int = 99) -> list[Reading]:
    rows = []
    for day, value in enumerate(values):
        limits = (None, None) if value is None else (value - 0.05, value + 0.05)
        at = (NOON + timedelta(days=day)).isoformat()
        named = {"at": at, "value": value, "low": limits[0], "high": limits[1]}
        rows.append(reading("probes.hit", alarm=day >= alarm_from, **named))
    return rows


def marks(svg: str, kind: str, tag: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(svg).iter(f"{SVG}{tag}") if one.get("class") == kind]


def test_values_alarms_and_evidence_are_drawn() -> None:
    svg = signal_chart(days(0.9, 0.91, 0.7, 0.71, alarm_from=2), name="probes.hit")
    assert len(marks(svg, "mark-alarm", "polygon")) == 2
    assert len(marks(svg, "wash", "rect")) == 1, "one stretch of alarms"
    assert len(marks(svg, "proof over", "line")) == 2
    assert len(marks(svg, "proof", "line")) == 2
    (trace,) = marks(svg, "trace", "polyline")
    assert len(trace.attrib["points"].split()) == 4
    label = ElementTree.fromstring(svg).attrib["aria-label"]
    assert label == "probes.hit: 4 looks, now .710 [.660, .760], compared with .910, 2 alarms"


def test_nothing_is_drawn_over_what_was_not_seen() -> None:
    unseen = days(0.9, 0.9, None, 0.9, 0.9)
    assert len(marks(signal_chart(unseen, name="x"), "trace", "polyline")) == 2
    missed = [row for day, row in enumerate(days(*[0.9] * 9)) if day not in (4, 5, 6)]
    assert len(marks(signal_chart(missed, name="x"), "trace", "polyline")) == 2
    assert signal_chart(days(None, None), name="x") == ""
    strip = state_strip(days(None, None, None, alarm_from=2), name="x")
    assert (len(marks(strip, "mark-ok", "circle")), len(marks(strip, "mark-alarm", "polygon"))) == (2, 1)


def test_numbers_have_as_many_digits_as_people_compare() -> None:
    values = [0.91234, 0.0021, 1234.5, 12.345, 2.0, 0.0, 5e-17, -0.5]
    shown = [value_text(reading("x", value=value, low=None, high=None)) for value in values]
    assert shown == [".912", ".0021", "1,234", "12.3", "2", ".000", ".000", "−.500"]
    assert value_text(reading("x", value=None)) == ""
    assert baseline_text(reading("x", baseline=None)) == ""


Row = tuple[int, float | None, float | None, float | None, float | None]


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), numbers, numbers, numbers, numbers), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_readings_are_a_picture(
    rows: list[Row],
) -> None:
    readings = []
    for seconds, value, low, high, statistic in rows:
        at = (NOON + timedelta(seconds=seconds)).isoformat()
        named = {"at": at, "value": value, "low": low, "high": high, "baseline": low, "statistic": statistic}
        readings.append(reading("<x>", alarm=seconds > 0, **named))
    svg = signal_chart(readings, name="<x>")
    assert (svg == "") == all(row[1] is None for row in rows)
    if svg:
        assert "nan" not in svg
        width = float(ElementTree.fromstring(svg).attrib["width"])
        for line in ElementTree.fromstring(svg).iter(f"{SVG}line"):
            assert -30 <= float(line.attrib["x1"]) <= width + 30
