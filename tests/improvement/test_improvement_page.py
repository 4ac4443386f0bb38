"""The page of the history: scores joined by a curve, levels beside differences, labels whole."""

from __future__ import annotations

import re

from twofold.improvement import page
from twofold.improvement.record import History, Outcome, RoundRecord
from twofold.reports import charts
from twofold.reports.charts import IntervalRow
from twofold.verdict.record import EstimateRecord


def estimate(mean: float) -> EstimateRecord:
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05, "n": 40, "failed": 0}


def round_of(number: int, outcome: Outcome, *, score: float | None) -> RoundRecord:
    proven = score is not None
    return {
        "number": number,
        "at": "2031-01-01T00:00:00+00:00",
        "step": {
            "name": "tune on questions made for the gaps (ft+rag)",
            "why": "9 wrong answers of 40",
            "values": {},
            "arm": "ft+rag",
            "share": 0.2,
            "minutes": 6.0,
            "cost": None,
            "gaps": True,
        },
        "ledger": {"unmended": 9},
        "diagnosed": 40,
        "before": "0001",
        "before_arm": "rag",
        "study": "0002" if proven else "",
        "dev": estimate(0.1),
        "difference": estimate(0.2) if proven else None,
        "level": 0.9925 if proven else None,
        "score": estimate(score) if score is not None else None,
        "outcome": outcome,
        "because": "answer_f1 .200",
        "seconds": 90.0,
    }


HISTORY: History = {
    "format": 1,
    "start": estimate(0.3),
    "metric": "answer_f1",
    "rounds": [
        round_of(1, "not better on dev", score=None),
        round_of(2, "undone", score=0.3),
        {**round_of(3, "kept", score=0.5), "resumed": True},
    ],
}


def test_a_curve_joins_the_scores_of_what_answered() -> None:
    shown = page.render(HISTORY, name="doors")
    (wide, narrow) = re.findall(r'<polyline class="trace" points="([^"]+)"', shown)
    # Before, after the round that was undone, after the one that was kept; the first had no study.
    assert len(wide.split()) == len(narrow.split()) == 3
    assert "answer_f1 of what answers, after each round" in shown


def test_a_difference_is_shown_with_the_level_of_its_look() -> None:
    shown = page.render(HISTORY, name="doors")
    assert re.findall(r'data-h="Level">([^<]*)<', shown) == ["none", "99.25 %", "99.25 %"]


def test_the_minutes_of_a_resumed_round_are_a_lower_bound() -> None:
    shown = page.render(HISTORY, name="doors")
    assert re.findall(r'real">([^<]*)<', shown) == ["6.0, 1.5", "6.0, 1.5", "6.0, at least 1.5"]


def test_the_bold_label_of_a_winner_is_cut_to_its_room() -> None:
    label = "3 tune on questions made for the gaps (ft+rag)"
    drawn = {}
    for kind in ("plain", "winner"):
        row = IntervalRow(label=label, mean=0.5, low=0.4, high=0.6, text=".5 [.4, .6]", kind=kind)
        svg = charts.interval_plot([row], title="Scores", width=charts.NARROW)
        drawn[kind] = next(text for text in re.findall(r">([^<>]+)</text>", svg) if text.startswith("3 tune"))
    assert len(drawn["winner"]) < len(drawn["plain"])
