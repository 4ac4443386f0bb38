"""Prices and volumes at which the chosen arm stops being cheaper than an arm that answers as well. Pure.

The rule chooses the cheaper of two arms that are alike (`evidence.from_simple`), and whoever reads a verdict between
such arms takes the cost into account. The monthly cost of an arm is linear in each price and in the volume, so the
difference of two arms is, too, and one division gives the price at which it is 0. Means decide (decision 21); the
interval of the difference is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from twofold.costs.prices import Prices, unit_of
from twofold.costs.totals import CostBook
from twofold.stats.amounts import Amount
from twofold.verdict.record import price_text
from twofold.verdict.validity import Bound, Dimension, EndReason

_ALIKE = 1e-9
"""A difference of monthly costs below this share of them is rounding, not a price that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGap:
    """By how much the chosen arm costs more than a rival in a month; below 0 it is the cheaper one."""

    amount: Amount
    unknown: tuple[str, ...] = ()
    """Items whose price decides and is unknown: then `amount` says nothing."""


def gap(book: CostBook, chosen: str, rival: str) -> CostGap:
    """The monthly cost of the chosen arm less that of a rival, with the interval of their paired difference."""
    pair = book.break_even(chosen, rival)
    if pair.outcome == "unknown":
        return CostGap(amount=Amount(mean=math.nan, low=-math.inf, high=math.inf), unknown=pair.unknown)
    here, _ = book.answer_weights(chosen)
    there, _ = book.answer_weights(rival, sign=-1.0)
    running = book.meter.moments.sum(here + there, level=book.meter.level).times(book.scenario.volume)
    # Items without a price are in neither: `break_even` knows that they cancel.
    return CostGap(amount=running.plus(book.fixed(chosen).known.mean - book.fixed(rival).known.mean))


def cheaper(book: CostBook, chosen: str, rivals: Sequence[str]) -> list[str]:
    """The rivals that cost more than the chosen arm."""
    return [rival for rival in rivals if gap(book, chosen, rival).amount.mean < 0]


def bounds(book: CostBook, chosen: str, rivals: Sequence[str]) -> list[Bound]:
    """For each rival that costs more: how far each price, and the volume, may move before it does not.

    With the difference D < 0 at the price p and D′ for each unit more, the difference is 0 at ``p − D/D′``: an upper
    limit where D′ > 0, a lower one where D′ < 0 and the price is above 0. The same for the volume.

    Args:
        book: The costs at the time of the study.
        chosen: The arm of the verdict.
        rivals: Arms that it is not shown to beat.
    """
    listed: list[Bound] = []
    for rival in cheaper(book, chosen, rivals):
        for item, price in sorted(book.prices.amounts.items()):
            at = _price_at(book, chosen, rival, item=item)
            why = f"from there on {rival} costs no more in a month, all else as it was"
            listed += _bound(
                "price",
                f"price of {item}, {chosen} against {rival}",
                then=price,
                at=at,
                why=why,
                unit=(f"{book.prices.currency} per {unit_of(item)}"),
            )
        volume = book.scenario.volume
        at = _root(gap(book, chosen, rival).amount.mean, _with_volume(book, 2 * volume, chosen, rival), volume)
        why = f"from there on {rival} costs no more in a month, at the prices of the study"
        listed += _bound(
            "volume", f"answers a month, {chosen} against {rival}", then=volume, at=at, why=why, unit="answers"
        )
    return listed


def _bound(dimension: Dimension, what: str, *, then: float, at: float | None, why: str, unit: str) -> list[Bound]:
    if at is None:
        return []
    low, high = (None, at) if at > then else (at, None)
    return [{"dimension": dimension, "what": what, "unit": unit, "then": then, "low": low, "high": high, "why": why}]


def _price_at(book: CostBook, chosen: str, rival: str, *, item: str) -> float | None:
    price = book.prices.amounts[item]
    # A price of 0 has no double: any other point on the line does as well.
    other = 2 * price or 1.0
    amounts: Mapping[str, float] = {**book.prices.amounts, item: other}
    moved = CostBook(book.meter, replace(book.prices, amounts=amounts), book.scenario)
    return _root(gap(book, chosen, rival).amount.mean, gap(moved, chosen, rival).amount.mean, price, other)


def _with_volume(book: CostBook, volume: float, chosen: str, rival: str) -> float:
    return gap(CostBook(book.meter, book.prices, replace(book.scenario, volume=volume)), chosen, rival).amount.mean


def _root(here: float, there: float, at: float, other: float | None = None) -> float | None:
    """Where a line is 0 that has two values at two places; None where it is never, or only below 0."""
    second = 2 * at if other is None else other
    slope = (there - here) / (second - at)
    if abs(slope * at) <= _ALIKE * abs(here) and abs(there - here) <= _ALIKE * abs(here):
        return None
    root = at - here / slope
    return root if root > 0 else None


def turned(
    then: CostBook, now: CostBook, *, chosen: str, rivals: Sequence[str]
) -> tuple[list[EndReason], list[EndReason]]:
    """Rivals that cost more when the study was made and do not now, and those of which that is not known.

    Prices and use are told apart: by each alone the order may have turned, or only by both together.

    Args:
        then: The costs by prices and use of the study.
        now: The same quantities by those of today.
        chosen: The arm of the verdict.
        rivals: Arms that it is not shown to beat.
    """
    reasons: list[EndReason] = []
    unknown: list[EndReason] = []
    for rival in cheaper(then, chosen, rivals):
        before, after = gap(then, chosen, rival), gap(now, chosen, rival)
        if after.unknown:
            items = ", ".join(after.unknown)
            why = f"the price of {items} is unknown now, and {chosen} cost less than {rival} when it was known"
            unknown.append({"dimension": "price", "then": _costs(before, then), "now": "unknown", "why": why})
            continue
        if after.amount.mean < 0:
            continue
        by_price = gap(CostBook(then.meter, now.prices, then.scenario), chosen, rival).amount.mean >= 0
        moved = [_moves(then.prices, now.prices)] if by_price or then.scenario == now.scenario else []
        if not by_price and then.scenario != now.scenario:
            moved.append(_use(then, now))
            if gap(CostBook(now.meter, then.prices, now.scenario), chosen, rival).amount.mean < 0:
                moved.append(_moves(then.prices, now.prices))
        dimension: Dimension = "price" if by_price or then.scenario == now.scenario else "volume"
        why = (
            f"{chosen} was cheaper than {rival}, over which it is not shown better, and is not any more: a month cost "
            f"{_costs(before, then)}, and costs {_costs(after, now)} now ({'; '.join(filter(None, moved))})"
        )
        reasons.append({"dimension": dimension, "then": _costs(before, then), "now": _costs(after, now), "why": why})
    return reasons, unknown


def _costs(difference: CostGap, book: CostBook) -> str:
    """``4.10 [3.00, 5.20] EUR less``."""
    amount = difference.amount
    less = amount.mean < 0
    ends = (-amount.high, -amount.low) if less else (amount.low, amount.high)
    shown = [price_text(end) if math.isfinite(end) else "?" for end in ends]
    word = "less" if less else "more"
    return f"{price_text(abs(amount.mean))} [{shown[0]}, {shown[1]}] {book.prices.currency} {word}"


def _moves(then: Prices, now: Prices) -> str:
    items = sorted(then.amounts.keys() | now.amounts.keys())
    moved = []
    for item in items:
        before, after = then.amounts.get(item), now.amounts.get(item)
        if before != after:
            shown = ["unknown" if price is None else price_text(price) for price in (before, after)]
            moved.append(f"price of {item} {shown[0]}, now {shown[1]}")
    return ", ".join(moved)


def _use(then: CostBook, now: CostBook) -> str:
    sides = [
        {"answers a month": book.scenario.volume, "updates a month": book.scenario.updates} for book in (then, now)
    ]
    moved = [
        f"{what} {before:,.10g}, now {sides[1][what]:,.10g}"
        for what, before in sides[0].items()
        if before != sides[1][what]
    ]
    return ", ".join(moved) or "[costs] is another"
