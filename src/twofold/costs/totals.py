"""Costs of arms: a thousand answers, a right answer, a month; and the volume at which two arms cost the same. Pure.

A sum never hides what it lacks: beside the known part stand the names of the items whose price is unknown. Intervals
are those of the questions (tokens, seconds, wrong answers vary with what is asked); prices, hours of work, and a
training or an index that were timed once are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from twofold.costs.metering import QUANTITIES, MeteredStudy, halved
from twofold.costs.parts import HOURS, RISK, WRONG, CostPart, Scenario, hosted, parts_of
from twofold.costs.prices import Prices
from twofold.stats.amounts import Amount
from twofold.text.arm_names import model_of, of_model, without_passages

_SAME = 1e-12
"""Units that differ by less, relatively, are the same but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """An amount of money as far as it is known."""

    known: Amount
    unknown: tuple[str, ...] = ()
    """Items without a price, and parts that were not metered; the sum is higher by these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerRight:
    """The cost of a right answer."""

    cost: Sum | None
    """None where it has no value; `why` says so. An upper end is infinite where it is not shown that any is right."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """The monthly volume at which two arms cost the same."""

    arm: str
    """Pays less each month for what does not grow with the volume: cheaper below the break-even."""
    other: str
    """Pays more for that: cheaper above it, if it ever is."""
    outcome: Literal["from", "never", "same", "unknown"]
    """``from``: at `volume` on; ``never``: `arm` is cheaper at every volume; ``same``: alike at every volume."""
    volume: float = math.inf
    """Answers a month; infinite: never."""
    low: float = math.inf
    high: float = math.inf
    """Ends of its interval; infinite: not shown that there is such a volume, or no interval is known."""
    unknown: tuple[str, ...] = ()
    """Items whose price decides and is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMachine:
    """The monthly volume from which an own machine costs less than tokens of a hosted model."""

    arm: str
    outcome: Literal["from", "never", "unknown"]
    volume: float = math.inf
    low: float = math.inf
    high: float = math.inf
    """As in `BreakEven`."""
    capacity: float = math.inf
    """Answers that one machine makes in a month at the stated utilisation."""
    unknown: tuple[str, ...] = ()


class CostBook:
    """All costs of one study's arms under one table of prices and one use.

    Args:
        meter: The metered quantities.
        prices: The table.
        scenario: The use.
    """

    def __init__(self, meter: MeteredStudy, prices: Prices, scenario: Scenario) -> None:
        self.meter = meter
        self.prices = prices
        self.scenario = scenario

    @property
    def arms(self) -> list[str]:
        """Names of the arms."""
        return self.meter.record["arms"]

    @cached_property
    def parts(self) -> dict[str, list[CostPart]]:
        """Arm → the parts of its cost."""
        return {arm: parts_of(self.meter, arm, self.scenario.section) for arm in self.arms}

    # ------------------------------------------------------------ what is paid whatever the volume

    def fixed_units(self, arm: str) -> dict[str, float]:
        """Item → units a month that do not grow with the volume; a part that was not metered → 1, under its name."""
        times = self.times(arm)
        units: dict[str, float] = {}
        for part in self.parts[arm]:
            if part.basis == "answer" or not times[part.basis]:
                continue
            if part.units is None:
                units[unmetered(part)] = 1.0
            else:
                units[part.item] = units.get(part.item, 0.0) + part.units * times[part.basis]
        return units

    def times(self, arm: str) -> dict[str, float]:
        """Basis → how often it is paid a month; of ``once``, spread over the months."""
        # Weights that learned no document are not stale with an update of one.
        kind = self.meter.record["tuned"].get(arm, "") if self.meter.has_documents else ""
        return {
            "once": 1 / self.scenario.months,
            "month": 1.0,
            "retraining": self.scenario.retrainings_of(kind),
            "update": self.scenario.updates,
        }

    def fixed(self, arm: str) -> Sum:
        """Monthly cost that does not grow with the volume."""
        return self._priced(self.fixed_units(arm), self.prices.amounts)

    def once(self, arm: str) -> Sum:
        """What is paid before the first answer."""
        units: dict[str, float] = {}
        for part in self.parts[arm]:
            if part.basis == "once":
                name, count = (unmetered(part), 1.0) if part.units is None else (part.item, part.units)
                units[name] = units.get(name, 0.0) + count
        return self._priced(units, self.prices.amounts)

    @staticmethod
    def _priced(units: Mapping[str, float], amounts: Mapping[str, float]) -> Sum:
        known = sum(amounts[item] * count for item, count in units.items() if item in amounts)
        lacking = tuple(sorted(item for item, count in units.items() if count and item not in amounts))
        return Sum(known=Amount(mean=known, low=known, high=known), unknown=lacking)

    # ------------------------------------------------------------ what every answer costs

    def answer_weights(self, arm: str, *, risk: bool = False, sign: float = 1.0) -> tuple[Any, tuple[str, ...]]:
        """Weights of the metered quantities that give the price of an answer, and the items without a price.

        Args:
            arm: Of the study.
            risk: Count what wrong answers cost.
            sign: −1 for a difference.

        Returns:
            Shape (arms · quantities,), and names.
        """
        vector = np.zeros(len(self.arms) * len(QUANTITIES))
        lacking: set[str] = set()
        for part in self.parts[arm]:
            if part.basis != "answer" or (part.name == RISK and not risk):
                continue
            price = self.prices.amounts.get(part.item)
            if price is None:
                lacking.add(part.item)
            elif any(math.isnan(self.meter.mean(arm, name)) for name in part.per_answer):
                lacking.add(unmetered(part))
            else:
                vector += price * self.meter.weights(arm, part.per_answer, sign=sign)
        return vector, tuple(sorted(lacking))

    def running(self, arm: str, *, risk: bool = False, level: float | None = None) -> Sum:
        """Cost of one more answer."""
        vector, lacking = self.answer_weights(arm, risk=risk)
        known = self.meter.moments.sum(vector, level=level or self.meter.level).natural
        if risk:
            # At best no answer is wrong, at worst each: an interval by a standard error goes beyond both.
            rest = self.running(arm, level=level).known
            known = known.within(rest.low, rest.high + self.prices.amounts.get(WRONG, 0.0))
        return Sum(known=known, unknown=lacking)

    def monthly(self, arm: str, *, volume: float | None = None, risk: bool = False, level: float | None = None) -> Sum:
        """Cost of a month: everything, with what is paid once spread over the months."""
        running = self.running(arm, risk=risk, level=level)
        fixed = self.fixed(arm)
        known = running.known.times(self.scenario.volume if volume is None else volume).plus(fixed.known.mean)
        return Sum(known=known, unknown=tuple(sorted({*running.unknown, *fixed.unknown})))

    def per_answer(self, arm: str, *, level: float | None = None) -> Sum:
        """Cost of a month divided by its answers."""
        month = self.monthly(arm, level=level)
        return Sum(known=month.known.times(1 / self.scenario.volume), unknown=month.unknown)

    def per_right(self, arm: str) -> PerRight:
        """Cost of a month divided by its right answers.

        The interval divides the ends of two intervals that hold together at the meter's level (`metering.halved`).
        """
        share = self.meter.split.get(arm)
        if share is None:
            return PerRight(cost=None, why="the metric does not say which answers are right")
        if not share.mean:
            return PerRight(cost=None, why="no answer is right")
        cost = self.per_answer(arm, level=halved(self.meter.level))
        low, high = cost.known.low / share.high, cost.known.high / share.low if share.low else math.inf
        known = Amount(mean=cost.known.mean / share.mean, low=low, high=high)
        return PerRight(cost=Sum(known=known, unknown=cost.unknown))

    def passages(self, arm: str) -> tuple[str, Amount] | None:
        """The counterpart without passages, and by how many tokens an arm's prompt is longer than that one's."""
        other = without_passages(arm)
        if other not in self.arms:
            return None
        vector = self.meter.weights(arm, {"prompt_tokens": 1.0}) + self.meter.weights(
            other, {"prompt_tokens": 1.0}, sign=-1.0
        )
        return other, self.meter.moments.sum(vector, level=self.meter.level)

    # ------------------------------------------------------------ comparisons

    def break_even(self, arm: str, other: str, *, risk: bool = False) -> BreakEven:
        """The volume at which two arms cost the same; see `BreakEven`.

        The interval has every volume at which the two are not shown to differ: the ends of the paired difference of an
        answer's cost, turned into volumes.
        """
        fixed, lacking = self._fixed_difference(arm, other)
        if fixed > 0:  # so that `arm` pays less whatever the volume
            arm, other = other, arm
        here, missing = self.answer_weights(arm, risk=risk)
        there, more = self.answer_weights(other, risk=risk, sign=-1.0)
        # An unknown price of what both need in amounts that vary cannot cancel.
        unknown = tuple(sorted({*lacking, *missing, *more}))
        if unknown:
            return BreakEven(arm=arm, other=other, outcome="unknown", unknown=unknown)
        gain = self.meter.moments.sum(here + there, level=self.meter.level)  # that an answer of `other` costs less
        if not fixed:
            return self._without_fixed(arm, other, gain)
        more_fixed = abs(fixed)
        low, volume, high = (_volume(more_fixed, end) for end in (gain.high, gain.mean, gain.low))
        outcome: Literal["from", "never"] = "from" if math.isfinite(volume) else "never"
        return BreakEven(arm=arm, other=other, outcome=outcome, volume=volume, low=low, high=high)

    @staticmethod
    def _without_fixed(arm: str, other: str, gain: Amount) -> BreakEven:
        """Neither pays more whatever the volume: the cheaper answer is cheaper from the first on, or none is."""
        if gain.mean == 0:
            return BreakEven(arm=arm, other=other, outcome="same")
        if gain.mean < 0:
            arm, other, gain = other, arm, Amount(mean=-gain.mean, low=-gain.high, high=-gain.low)
        shown = gain.low > 0
        return BreakEven(arm=arm, other=other, outcome="from", volume=0.0, low=0.0, high=0.0 if shown else math.inf)

    def _fixed_difference(self, arm: str, other: str) -> tuple[float, tuple[str, ...]]:
        """By how much an arm's fixed monthly cost exceeds another's, and the unknown items that do not cancel."""
        mine, theirs = self.fixed_units(arm), self.fixed_units(other)
        difference = 0.0
        lacking: list[str] = []
        for item in sorted({*mine, *theirs}):
            a, b = mine.get(item, 0.0), theirs.get(item, 0.0)
            same = abs(a - b) <= _SAME * max(abs(a), abs(b))
            if item in self.prices.amounts:
                difference += 0.0 if same else (a - b) * self.prices.amounts[item]
            elif not same:
                lacking.append(item)
        return difference, tuple(lacking)

    def own_machine(self, arm: str) -> OwnMachine:
        """From which volume on does a machine of one's own, paid by the month, cost less than a hosted model's tokens?

        Only what answers is compared: searching, data and training are paid either way.
        """
        section = self.scenario.section
        seconds = self.meter.mean(arm, "generation_seconds")
        unknown = set[str]()
        if not seconds > 0:
            unknown.add("generation (not metered)")
        elif hosted(self.meter, arm, section) and section.serving == "auto":
            # Seconds at an endpoint are its waiting times, not those of a machine that could be bought.
            unknown.add("generation on a machine of your own (not metered)")
        vector = np.zeros(len(self.arms) * len(QUANTITIES))
        for quantity in ("prompt_tokens", "completion_tokens"):
            item = of_model(quantity, model_of(arm))
            price = self.prices.amounts.get(item)
            if price is None:
                unknown.add(item)
            else:
                vector += price / 1e6 * self.meter.weights(arm, {quantity: 1.0})
        machine = self.prices.amounts.get("machine")
        if machine is None:
            unknown.add("machine")
        capacity = HOURS * 3600 * section.utilisation / seconds if seconds > 0 else math.inf
        if unknown or machine is None:
            return OwnMachine(arm=arm, outcome="unknown", unknown=tuple(sorted(unknown)), capacity=capacity)
        answer = self.meter.moments.sum(vector, level=self.meter.level)
        month = HOURS * machine
        low, volume, high = (_volume(month, end) for end in (answer.high, answer.mean, answer.low))
        # More answers than a machine makes need a second one, which costs as much again: then it never pays.
        if volume > capacity:
            return OwnMachine(arm=arm, outcome="never", capacity=capacity, low=low if low <= capacity else math.inf)
        high = high if high <= capacity else math.inf
        return OwnMachine(arm=arm, outcome="from", volume=volume, low=low, high=high, capacity=capacity)

    # ------------------------------------------------------------ curves

    def over_volume(self, arm: str, volumes: Sequence[float]) -> list[Sum]:
        """Monthly cost at each volume."""
        return [self.monthly(arm, volume=volume) for volume in volumes]

    def over_updates(self, arm: str, updates: Iterable[float]) -> list[Sum]:
        """Monthly cost at each number of updates of the documents a month."""
        costs = []
        for number in updates:
            costs.append(CostBook(self.meter, self.prices, replace(self.scenario, updates=number)).monthly(arm))
        return costs


def _volume(fixed: float, gain: float) -> float:
    """The volume at which a gain with each answer pays what is fixed; infinite where none does, or nobody knows.

    An infinite gain is the end of an interval that nothing tells: the volume 0 would be a number where none is known.
    """
    return fixed / gain if gain > 0 and math.isfinite(gain) else math.inf


def unmetered(part: CostPart) -> str:
    """The name under which a part that was not metered is missing from a sum."""
    return f"{part.name} (not metered)"
