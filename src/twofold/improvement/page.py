"""The page of the loop that improves: a curve of the score and every round, in one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from twofold.files import writing
from twofold.improvement.record import History, RoundRecord
from twofold.reports import charts, styles
from twofold.reports.charts import IntervalRow
from twofold.verdict.record import EstimateRecord, counted, estimate_text

PAGE = "improvement.html"
"""File beside the studies."""


def write_page(records: Path, history: History, *, name: str) -> Path:
    """Write the page beside the studies.

    Raises:
        OSError: the disk refuses.
    """
    path = records / PAGE
    writing.write(path, render(history, name=name), mode=0o600)
    return path


def render(history: History, *, name: str) -> str:
    """The page as HTML."""
    style = styles.of_reports()
    return (
        styles.environment()
        .get_template("improvement.html.jinja")
        .render(
            name=name,
            style=Markup(style),
            style_digest=styles.digest_of(style),
            headline=_headline(history),
            curve=_drawn(_scores(history), f"{history['metric']} of what answers, after each round", joined=True),
            differences=_drawn(_differences(history), f"difference in {history['metric']}", zero=True),
            rows=[_row(record) for record in history["rounds"]],
        )
    )


def _headline(history: History) -> str:
    rounds = history["rounds"]
    winners = [record for record in rounds if record["outcome"] == "kept"]
    if not rounds:
        return "No round was run yet"
    last = winners[-1]["score"] if winners else None
    gain = f": {estimate_text(history['start'])} → {estimate_text(last)}" if last and history["start"] else ""
    return f"{counted(len(winners), 'step')} kept in {counted(len(rounds), 'round')}{gain}"


def _scores(history: History) -> list[IntervalRow]:
    rows = [_interval("before", history["start"])] if history["start"] else []
    for record in history["rounds"]:
        if record["score"] is not None:
            kind = "winner" if record["outcome"] == "kept" else "muted"
            rows.append(_interval(f"{record['number']} {record['step']['name']}", record["score"], kind))
    return rows


def _differences(history: History) -> list[IntervalRow]:
    rows = []
    for record in history["rounds"]:
        if record["difference"] is not None:
            kind = "winner" if record["outcome"] == "kept" else "plain"
            rows.append(_interval(f"{record['number']} {record['step']['name']}", record["difference"], kind))
    return rows


def _interval(label: str, value: EstimateRecord, kind: str = "plain") -> IntervalRow:
    return IntervalRow(
        label=label, mean=value["mean"], low=value["low"], high=value["high"], text=estimate_text(value), kind=kind
    )


def _drawn(rows: list[IntervalRow], title: str, *, zero: bool = False, joined: bool = False) -> Markup:
    if not rows:
        return Markup("")
    wide, narrow = (
        charts.interval_plot(rows, title=title, width=width, zero=zero, axis=title, joined=joined)
        for width in (charts.WIDE, charts.NARROW)
    )
    return Markup(f'<div class="figure wide">{wide}</div><div class="figure narrow">{narrow}</div>')


def _row(record: RoundRecord) -> dict[str, object]:
    forecast = record["step"]["minutes"]
    # Nobody counted the minutes of the run that was killed.
    least = "at least " if record.get("resumed") else ""
    return {
        "number": record["number"],
        "step": record["step"]["name"],
        "why": record["step"]["why"],
        "outcome": record["outcome"],
        "because": record["because"],
        "study": record["study"] or "none",
        "level": "none" if record["level"] is None else f"{100 * record['level']:.4g} %",
        "forecast": "unknown" if forecast is None else f"{forecast:.1f}",
        "real": f"{least}{record['seconds'] / 60:.1f}",
    }
