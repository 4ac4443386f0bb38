"""Gains and costs of arms side by side; risk over coverage."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.reports import study_page, tradeoffs
from twofold.reports.cost_section import cost_section

Made = Callable[[str], tuple[Any, list[Any], str]]


def test_each_quantity_that_was_measured_has_a_picture(made: Made) -> None:
    record, _, page = made("costs")
    pictures = {picture["title"]: picture["rows"] for picture in tradeoffs.tradeoffs(record, cost_section(record))}
    (cost,) = [title for title in pictures if title.startswith("cost of 1,000 answers")]
    assert cost == "cost of 1,000 answers, EUR"
    assert {row.label for row in pictures[cost]} == {"base", "rag", "ft", "ft+rag"}
    assert "What each arm gains and gives up" in page


def test_a_cost_with_an_unknown_part_is_not_drawn(made: Made) -> None:
    record, _, _ = made("costs unknown")
    titles = [picture["title"] for picture in tradeoffs.tradeoffs(record, cost_section(record))]
    assert not [title for title in titles if title.startswith("cost")]


def test_arms_that_only_explain_are_left_out(made: Made) -> None:
    record, _, _ = made("choose")
    diagnostic = {name for name, arm in record["arms"].items() if arm["diagnostic"]}
    assert diagnostic
    shown = {row.label for picture in tradeoffs.tradeoffs(record, {}) for row in picture["rows"]}
    assert shown.isdisjoint(diagnostic)


def judged(made: Made, *, telling: bool) -> tuple[Any, list[Any]]:
    """A study whose answers have a support; `telling`: it tells right answers from wrong ones."""
    record, rows, _ = made("two arms")
    chance = np.random.default_rng(5)
    out = []
    for row in rows:
        arms = {}
        for name, answer in row["arms"].items():
            score = answer["scores"][record["metric"]] or 0.0
            doubt = 1 - score if telling else float(chance.random())
            arms[name] = {**answer, "abstained": False, "scores": {**answer["scores"], tradeoffs.CONFIDENCE: doubt}}
        out.append({**row, "arms": arms})
    return record, out


def test_withholding_unsupported_answers_lowers_the_risk_where_support_tells(made: Made) -> None:
    record, rows = judged(made, telling=True)
    curves = tradeoffs.risk_coverage(record, rows)
    assert {curve["arm"] for curve in curves} == {"base", "rag"}
    for curve in curves:
        assert curve["area"]["high"] < curve["blind"]["mean"]
        risks = [risk for _, risk in curve["points"]]
        assert risks == sorted(risks)
        assert curve["points"][-1][0] <= 1


def test_by_chance_the_area_is_about_the_mean_risk(made: Made) -> None:
    record, rows = judged(made, telling=False)
    for curve in tradeoffs.risk_coverage(record, rows):
        assert curve["area"]["low"] <= curve["blind"]["mean"] <= curve["area"]["high"]


def test_abstentions_and_failures_are_no_answers(made: Made) -> None:
    record, rows = judged(made, telling=True)
    for row in rows:
        row["arms"]["rag"]["abstained"] = True
        row["arms"]["base"]["failure"] = {"code": "x", "message": "y"}
    assert tradeoffs.risk_coverage(record, rows) == []


def test_without_the_metric_there_is_no_curve(made: Made) -> None:
    record, rows, page = made("choose")
    assert tradeoffs.risk_coverage(record, rows) == []
    assert "Risk over coverage" not in page


def test_curves_of_risk_share_one_frame(made: Made) -> None:
    record, rows = judged(made, telling=True)
    plot = tradeoffs.drawn(record, rows, {})["plot"]
    assert plot.count("<polyline") == 2
    page = study_page.render(record, rows, None)
    assert "mean risk over all coverages" in page
    assert 'href="#risk"' in page


def test_an_end_that_too_few_answers_give_is_not_taken_for_a_bound(made: Made) -> None:
    record = copy.deepcopy(made("choose")[0])
    for ends, remark in (([0.5, 2.0], False), ([0.5, None], True)):
        for arm in record["arms"].values():
            if arm["latency"]:
                arm["latency"]["intervals"] = {"p50": [0.5, 2.0], "p95": ends}
        [seconds] = [picture for picture in tradeoffs.tradeoffs(record, {}) if "p95" in picture["title"]]
        assert seconds["title"] == "seconds that 95 % of the answers keep to (p95)"
        assert ("an end that is not known" in seconds["note"]) is remark
