"""The data card: a set of examples before and after cleaning, on one page that needs no network. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from markupsafe import Markup

from twofold.reports import charts, styles
from twofold.types import Json

MOST_CLASSES = 40
"""Classes drawn; the rest is counted."""


def render(name: str, before: Json, after: Json | None = None, *, done: Sequence[Json] = ()) -> str:
    """The card as HTML.

    Args:
        name: Name of the set.
        before: `cleaning.portrait` of the set.
        after: And of what was left of it, if it was cleaned.
        done: What was done, one entry each, as `cleaning.clean` gives it.
    """
    style = styles.of_reports()
    # A side for each state of the set; charts draw one series a side.
    sides = [("all", before)] if after is None else [("before", before), ("after", after)]
    plots = []
    for key, title in (
        ("question_lengths", "Length of questions, in words and marks"),
        ("answer_lengths", "Length of answers, in words and marks"),
    ):
        plots.append((title, _bars(title, sides, key)))
    counted = []
    for key, title in (("splits", "Splits"), ("origins", "Who wrote them"), ("scripts", "Letters of the questions")):
        counted.append((title, _counts(title, sides, key)))
    classes = dict(list(before["classes"].items())[:MOST_CLASSES])
    actions: dict[tuple[str, str], int] = {}
    for entry in done:
        actions[entry["code"], entry["action"]] = actions.get((entry["code"], entry["action"]), 0) + 1
    codes = sorted(set(chain.from_iterable(side["findings"] for _, side in sides)))
    return (
        styles.environment()
        .get_template("data_card.html.jinja")
        .render(
            name=name,
            sides=sides,
            style=Markup(style),
            style_digest=styles.digest_of(style),
            plots=plots,
            counted=counted,
            classes=_counts("Classes", sides, "classes", only=classes),
            more_classes=max(0, len(before["classes"]) - MOST_CLASSES),
            codes=codes,
            actions=sorted(actions.items()),
        )
    )


def _bars(title: str, sides: Sequence[tuple[str, Json]], key: str) -> Markup:
    spans = chain.from_iterable(side[key] for _, side in sides)
    names = {(low, high): f"{low}-{high}" for low, high, _ in spans}
    series = []
    for side, data in sides:
        series.append((side, {names[low, high]: count for low, high, count in data[key]}))
    return _drawn(title, [names[span] for span in sorted(names)], series)


def _counts(
    title: str, sides: Sequence[tuple[str, Json]], key: str, *, only: Mapping[str, int] | None = None
) -> Markup:
    names = list(only) if only is not None else list(dict.fromkeys(chain.from_iterable(side[key] for _, side in sides)))
    return _drawn(title, names, [(side, data[key]) for side, data in sides])


def _drawn(title: str, names: Sequence[str], series: Sequence[tuple[str, Mapping[str, int]]]) -> Markup:
    if not names:
        return Markup("")
    drawn = [charts.count_bars(names, series, title=title, width=w) for w in (charts.WIDE, charts.NARROW)]
    return Markup(f'<div class="figure wide">{drawn[0]}</div><div class="figure narrow">{drawn[1]}</div>')
