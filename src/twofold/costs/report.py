"""The costs of a study as a record, for ``--json`` and the page. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain, combinations
from typing import TypedDict

from twofold.costs.metering import MeteredStudy
from twofold.costs.parts import RISK, Scenario, hosted
from twofold.costs.prices import PriceRow, Prices, unit_of
from twofold.costs.totals import BreakEven, CostBook, OwnMachine, Sum
from twofold.stats.amounts import Amount
from twofold.text.arm_names import model_of, of_model

VOLUMES = (100.0, 1e3, 1e4, 1e5, 1e6)
"""Answers a month of the curve over volume, beside the stated volume."""
UPDATES = (0.0, 1.0, 4.0, 30.0)
"""Updates of the documents a month of the other curve: never, monthly, weekly, daily."""


class SumRecord(TypedDict):
    """A `totals.Sum`: the known part with its interval, and what is missing from it."""

    mean: float
    low: float | None
    high: float | None
    """Ends; None where nothing tells one."""
    unknown: list[str]


class AmountRecord(TypedDict):
    """A `stats.amounts.Amount` that is not money."""

    mean: float | None
    """None: not metered."""
    low: float | None
    high: float | None


class PartRecord(TypedDict):
    """One part of an arm's cost."""

    part: str
    basis: str
    item: str
    unit: str
    units: AmountRecord
    """Units of the item each time the part is paid."""
    cost: SumRecord


class PassageTax(TypedDict):
    """What the passages in the prompt add to every answer."""

    beside: str
    """The arm without them."""
    tokens: AmountRecord
    """Further prompt tokens of an answer."""
    cost: SumRecord
    """Of a thousand answers at a hosted model, every token read anew."""
    cached_share: float | None
    """Share of the arm's prompt tokens at the beginning of a prompt that an earlier one had, too."""


class ArmCosts(TypedDict):
    """All costs of one arm."""

    serving: str
    """``hosted`` or ``own``."""
    per_1000: SumRecord
    """Everything that a month costs, for a thousand of its answers."""
    running_per_1000: SumRecord
    """A thousand more answers."""
    per_right: SumRecord | None
    """The same month for each of its right answers; None: `per_right_why`."""
    per_right_why: str
    monthly: SumRecord
    monthly_with_risk: SumRecord
    """What wrong answers cost included."""
    once: SumRecord
    right: AmountRecord | None
    """Share of right answers."""
    parts: list[PartRecord]
    passages: PassageTax | None


class BreakEvenRecord(TypedDict):
    """A `totals.BreakEven`; a volume is None where there is none."""

    arm: str
    other: str
    outcome: str
    volume: float | None
    low: float | None
    high: float | None
    unknown: list[str]
    with_risk: bool
    """Does the cost of wrong answers count? It does where its price is known."""


class OwnMachineRecord(TypedDict):
    """A `totals.OwnMachine`; a volume is None where there is none."""

    arm: str
    outcome: str
    volume: float | None
    low: float | None
    high: float | None
    capacity: float | None
    unknown: list[str]


class CurveRecord(TypedDict):
    """Monthly costs of all arms along one scale."""

    at: list[float]
    arms: dict[str, list[SumRecord]]


class CostRecord(TypedDict):
    """What `twofold cost --json` prints."""

    study: str
    currency: str
    """Empty where no price is known."""
    level: float
    hardware: str
    """The machine on which seconds were measured; empty where the record does not say."""
    scenario: dict[str, float | str | bool | None]
    prices: list[PriceRow]
    warnings: list[str]
    arms: dict[str, ArmCosts]
    break_even: list[BreakEvenRecord]
    own_machine: list[OwnMachineRecord]
    over_volume: CurveRecord
    over_updates: CurveRecord


def costs_of(study: str, meter: MeteredStudy, *, prices: Prices, scenario: Scenario) -> CostRecord:
    """Work out all costs of a study's arms.

    Args:
        study: Its name.
        meter: What it metered.
        prices: The table.
        scenario: The use.
    """
    book = CostBook(meter, prices, scenario)
    volumes = sorted({*VOLUMES, scenario.volume})
    updates = sorted({*UPDATES, scenario.updates})
    # Wrong answers count where somebody says what one costs, and the metric which answers are wrong.
    risk = "wrong_answer" in prices.amounts and bool(meter.split)
    pairs = [book.break_even(a, b, risk=risk) for a, b in combinations(book.arms, 2)]
    stated = scenario.section.model_dump(mode="json")
    return {
        "study": study,
        "currency": prices.currency,
        "level": meter.level,
        "hardware": meter.record["hardware"],
        "scenario": {**stated, "retrainings": scenario.retrainings, "prices": prices.file},
        "prices": list(prices.rows),
        "warnings": [*prices.warnings, *_remarks(book)],
        "arms": {arm: _arm(book, arm) for arm in book.arms},
        "break_even": [_break_even(pair, risk=risk) for pair in pairs],
        "own_machine": [_own_machine(book.own_machine(arm)) for arm in book.arms],
        "over_volume": {
            "at": volumes,
            "arms": {arm: _sums(book.over_volume(arm, volumes)) for arm in book.arms},
        },
        "over_updates": {
            "at": updates,
            "arms": {arm: _sums(book.over_updates(arm, updates)) for arm in book.arms},
        },
    }


def _remarks(book: CostBook) -> list[str]:
    remarks = []
    if not book.prices.amounts:
        remarks.append(
            "no price is known: write a table with `twofold cost --template > prices.csv`, fill in the amounts that "
            "you know, and run `twofold cost`"
        )
    if len(book.arms) == 1:
        other = "rag" if book.meter.has_documents else "prompt"
        remarks.append(
            f"only the arm {book.arms[0]} was measured, so that no break-even can be named: measure another beside "
            f"it, as in `twofold study --arms base,{other if book.arms == ['base'] else book.arms[0]}`"
        )
    if not any(part.name.startswith("hours") for part in chain.from_iterable(book.parts.values())):
        remarks.append("no hours of people's work are stated in [costs], so that none are counted")
    if book.scenario.updates and not book.meter.has_documents:
        remarks.append(
            f"[costs].updates is {book.scenario.updates:g}, and the project has no documents: nothing is trained or "
            "embedded again for updates; state how often examples change as [costs].retrainings"
        )
    if not book.meter.split:
        remarks.append(
            "the study's metric does not say which answers are right, so that no right answer has a cost: set "
            "[study].metric to one that does, such as answer_f1, and run `twofold study`"
        )
    for arm, count in book.meter.record.get("failed", {}).items():
        remarks.append(
            f"{arm}: {count} of {book.meter.record['questions']} answers failed and are in no mean of tokens and "
            "seconds: remove the cause of the failures, and run `twofold study` again"
        )
    if together := [arm for arm in book.arms if _timed_together(book, arm)]:
        alone = (
            ", and `batched = false` in [costs] takes the seconds of one question at a time"
            if book.scenario.section.batched
            else ""
        )
        remarks.append(
            f"all answers of {' and of '.join(together)} were made, or all their passages searched for, in one batch, "
            "whose time was divided evenly among them: how their seconds vary is unknown, and so are the intervals; a "
            f"new study divides by tokens{alone}"
        )
    if book.meter.record["covariance"] is None:
        remarks.append(
            "the record was written before studies kept the amounts of each answer: costs have no intervals; a new "
            "study keeps them"
        )
    return remarks


def _timed_together(book: CostBook, arm: str) -> bool:
    """Is it unknown how the seconds of an arm vary that is paid by them (`metering.opened`)?"""
    # Of one group alone no interval is known, of seconds or of anything else.
    if book.meter.record["covariance"] is None or not book.meter.moments.worth > 1:
        return False
    paid = [] if hosted(book.meter, arm, book.scenario.section) else ["generation_seconds"]
    # An own search is paid by seconds at whoever's model.
    paid += ["retrieval_seconds"] if arm in book.meter.record["retrieves"] else []
    return any(math.isinf(book.meter.amount(arm, quantity).high) for quantity in paid)


def _arm(book: CostBook, arm: str) -> ArmCosts:
    section = book.scenario.section
    right = book.per_right(arm)
    share = book.meter.split.get(arm)
    return {
        "serving": "hosted" if hosted(book.meter, arm, section) else "own",
        "per_1000": sum_record(book.per_answer(arm), 1000),
        "running_per_1000": sum_record(book.running(arm), 1000),
        "per_right": None if right.cost is None else sum_record(right.cost),
        "per_right_why": right.why,
        "monthly": sum_record(book.monthly(arm)),
        "monthly_with_risk": sum_record(book.monthly(arm, risk=True)),
        "once": sum_record(book.once(arm)),
        "right": None if share is None else {"mean": share.mean, "low": share.low, "high": share.high},
        "parts": _parts(book, arm),
        "passages": _passages(book, arm),
    }


def _parts(book: CostBook, arm: str) -> list[PartRecord]:
    rows: list[PartRecord] = []
    for part in book.parts[arm]:
        price = book.prices.amounts.get(part.item)
        unmetered = part.units is None or any(math.isnan(book.meter.mean(arm, q)) for q in part.per_answer)
        units = Amount(mean=part.units or 0.0, low=part.units or 0.0, high=part.units or 0.0)
        if part.per_answer and not unmetered:
            weights = book.meter.weights(arm, part.per_answer)
            units = book.meter.moments.sum(weights, level=book.meter.level).natural
            if part.name == RISK:
                units = units.within(0.0, 1.0)
        missing = (part.item,) if price is None else ("not metered",) if unmetered else ()
        cost = Sum(known=units.times(0.0 if missing or price is None else price), unknown=missing)
        rows.append(
            {
                "part": part.name,
                "basis": part.basis,
                "item": part.item,
                "unit": unit_of(part.item),
                "units": {"mean": None, "low": None, "high": None} if unmetered else amount_record(units),
                "cost": sum_record(cost),
            }
        )
    return rows


def _passages(book: CostBook, arm: str) -> PassageTax | None:
    longer = book.passages(arm)
    if longer is None:
        return None
    other, tokens = longer
    item = of_model("prompt_tokens", model_of(arm))
    price = book.prices.amounts.get(item)
    cached = book.meter.mean(arm, "cached_prompt_tokens") / (book.meter.mean(arm, "prompt_tokens") or math.nan)
    cost = Sum(known=tokens.times(1000 * (price or 0.0) / 1e6), unknown=() if price is not None else (item,))
    return {
        "beside": other,
        "tokens": amount_record(tokens),
        "cost": sum_record(cost),
        "cached_share": None if math.isnan(cached) else cached,
    }


def _break_even(pair: BreakEven, *, risk: bool) -> BreakEvenRecord:
    values = asdict(pair)
    return {
        "arm": pair.arm,
        "other": pair.other,
        "outcome": pair.outcome,
        **{name: _finite(values[name]) for name in ("volume", "low", "high")},  # type: ignore[typeddict-item]
        "unknown": list(pair.unknown),
        "with_risk": risk,
    }


def _own_machine(machine: OwnMachine) -> OwnMachineRecord:
    values = asdict(machine)
    return {
        "arm": machine.arm,
        "outcome": machine.outcome,
        **{name: _finite(values[name]) for name in ("volume", "low", "high", "capacity")},  # type: ignore[typeddict-item]
        "unknown": list(machine.unknown),
    }


def _sums(sums: Sequence[Sum]) -> list[SumRecord]:
    return [sum_record(cost) for cost in sums]


def sum_record(cost: Sum, times: float = 1.0) -> SumRecord:
    """A sum of money, so many times."""
    amount = amount_record(cost.known.times(times))
    return {
        "mean": cost.known.mean * times,
        "low": amount["low"],
        "high": amount["high"],
        "unknown": list(cost.unknown),
    }


def amount_record(amount: Amount) -> AmountRecord:
    """An amount with its interval; an infinite end is None."""
    return {"mean": _finite(amount.mean), "low": _finite(amount.low), "high": _finite(amount.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
