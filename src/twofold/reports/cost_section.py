"""The report's section on cost: tables and curves for the study's use, and the data that its sliders need. Pure.

The page's script works everything out again for other volumes and prices, from the same means and covariance
(`stats.amounts`) by the same sums (`costs.totals`): a test in a browser holds both to the same figures.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from twofold.costs.metering import QUANTITIES, MeteredStudy, halved, opened, without_nan
from twofold.costs.parts import RISK, Scenario, parts_of, scenario
from twofold.costs.prices import UNITS, of_rows, unit_of
from twofold.costs.report import CostRecord, costs_of
from twofold.costs.totals import CostBook
from twofold.reports import charts
from twofold.reports.cost_lines import break_even_text, machine_text, money, unknown_text
from twofold.settings.sections import CostsSection
from twofold.types import Json
from twofold.verdict.record import StudyRecord, true_minus
from twofold.verdict.wording import percent

SERVINGS = ("auto", "hosted", "own")
_POINTS = 41
"""Points of a curve: between two of them a straight line is not told from the curve."""


def cost_section(record: StudyRecord) -> Json:
    """What the template shows and, under ``data``, what the script reads; empty for a record without metering."""
    metered = record.get("metered")
    if metered is None or not metered["arms"]:
        return {}
    prices = of_rows(record.get("prices", []), file="study.json")
    config = record["config"]
    # Only these sections: the rest of an older record's configuration may not be valid any more.
    use = scenario(
        CostsSection.model_validate(config.get("costs", {})),
        max_age_days=float(config.get("retraining", {}).get("max_age_days", 0.0)),
    )
    study = opened(metered, batched=use.section.batched)
    costs = costs_of(record["study"], study, prices=prices, scenario=use)
    book = CostBook(study, prices, use)
    return {
        "record": costs,
        # That of [study], whatever the look: a report's other intervals may have another one.
        "level": percent(costs["level"]),
        "rows": _rows(costs),
        "break_even": [true_minus(break_even_text(pair)) for pair in costs["break_even"]],
        "machines": [machine_text(machine) for machine in costs["own_machine"]],
        "curves": [
            _curve(book, "volume", title="A month's cost by answers a month", x_axis="answers a month"),
            _curve(book, "updates", title="A month's cost by updates of the documents", x_axis="updates a month"),
        ],
        "units": _units(costs),
        "data": _data(study, use, costs),
    }


def _units(costs: CostRecord) -> dict[str, str]:
    """Item → unit of its price: those of a table, and those of further models that answered."""
    paid = [part["item"] for arm in costs["arms"].values() for part in arm["parts"]]
    return {**UNITS, **{item: unit_of(item) for item in paid}}


def _rows(costs: CostRecord) -> list[Json]:
    rows: list[Json] = []
    for name, arm in costs["arms"].items():
        rows.append(
            {
                "arm": name,
                "per_1000": true_minus(money(arm["per_1000"])),
                "per_right": true_minus(money(arm["per_right"])) if arm["per_right"] else arm["per_right_why"],
                "monthly": true_minus(money(arm["monthly"])),
                "risk": true_minus(money(arm["monthly_with_risk"])),
                # What wrong answers cost stands in the last sum alone, and is named where that is unknown.
                "unknown": unknown_text(arm["monthly_with_risk"]),
            }
        )
    return rows


def places(scale: str) -> list[float]:
    """Where a curve has its points: volumes on a logarithmic scale, updates on a linear one."""
    if scale == "volume":
        return [10.0 ** (2 + 5 * number / (_POINTS - 1)) for number in range(_POINTS)]
    return [30.0 * number / (_POINTS - 1) for number in range(_POINTS)]


def _curve(book: CostBook, scale: str, *, title: str, x_axis: str) -> Markup:
    at = places(scale)
    lines = []
    for arm in book.arms:
        sums = book.over_volume(arm, at) if scale == "volume" else book.over_updates(arm, at)
        lines.append((arm, [(x, cost.known.mean) for x, cost in zip(at, sums, strict=True)]))
    drawn = charts.curve_plot(lines, title=title, x_axis=x_axis, logarithmic=scale == "volume")
    return Markup(drawn)


def _data(study: MeteredStudy, use: Scenario, costs: CostRecord) -> Json:
    """Means, covariance, parts and prices, for the page's script."""
    record = study.record
    critical = [study.moments.critical(level) for level in (study.level, halved(study.level))]
    parts: dict[str, dict[str, list[Json]]] = {}
    # Who switches between tokens and seconds switches between lists of parts, which the script need not know to make.
    for serving in SERVINGS:
        section = use.section.model_copy(update={"serving": serving})
        parts[serving] = {arm: _parts(study, arm, section) for arm in record["arms"]}
    return {
        "arms": record["arms"],
        "width": len(QUANTITIES),
        "means": [None if math.isnan(mean) else float(mean) for mean in study.moments.means],
        "covariance": None if record["covariance"] is None else without_nan(study.moments.covariance),
        "critical": [value if math.isfinite(value) else None for value in critical],
        "right": {name: [share.mean, share.low, share.high] for name, share in study.split.items()},
        # By these the script trains again with every update of the documents.
        "kinds": record["tuned"] if study.has_documents else {},
        "parts": parts,
        "prices": {row["item"]: row["amount"] for row in costs["prices"]},
        "currency": costs["currency"],
        "points": {scale: places(scale) for scale in ("volume", "updates")},
        "use": {
            "volume": use.volume,
            "months": use.months,
            "retrainings": use.retrainings,
            "updates": use.updates,
            "utilisation": use.section.utilisation,
            "serving": use.section.serving,
        },
    }


def _parts(study: MeteredStudy, arm: str, section: CostsSection) -> list[Json]:
    rows: list[Json] = []
    for part in parts_of(study, arm, section):
        row: dict[str, Any] = asdict(part)
        row["per_answer"] = {str(QUANTITIES.index(name)): weight for name, weight in part.per_answer.items()}
        row["risk"] = part.name == RISK
        row["metered"] = not any(math.isnan(study.mean(arm, name)) for name in part.per_answer)
        rows.append(row)
    return rows
