"""What would turn the ranking round: another answer, another weight. Pure.

Answers are tried one by one, constraints included: there are some eighty. Weights are solved for: with the first way a
and a rival b, score(a) − score(b) changes along the weight w of one criterion by d = points(a) − points(b), so that
they are equal at w − (score(a) − score(b)) / d.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from twofold.advice.questionnaire import INQUIRIES
from twofold.advice.ranking import ALIKE, Ground, Ranking, Situation, followed, rank
from twofold.advice.weights import MEASURED, WeightTable, levels_of

NEAR = 1.5
"""A ranking that one weight changed by less than this factor turns round is called close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFlip:
    """Another answer (or another fact) with which another way would come first."""

    criterion: str
    before: str
    """Level as it is; empty for what is unknown."""
    after: str
    """Level that it would have."""
    first: str
    """The way that would come first; empty where none would be left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFlip:
    """A weight from which on another way comes first."""

    criterion: str
    weight: float
    """As it is."""
    bound: float
    """Where both ways are equal."""
    direction: str
    """``below`` or ``above``: the side of `bound` on which the other way comes first."""
    first: str
    """The other way."""

    @property
    def factor(self) -> float:
        """By how much the weight has to change, as a factor of at least 1; infinite where it has to reach 0."""
        small, large = sorted((self.weight, self.bound))
        return large / small if small > 0 else float("inf")


def level_flips(known: Situation, table: WeightTable) -> Iterator[LevelFlip]:
    """Every single change of a known criterion that puts another way first."""
    first = rank(known, table).first
    for name in known.grounds:
        yield from _changes(known, table, name, first)


def open_flips(known: Situation, table: WeightTable) -> Iterator[LevelFlip]:
    """Every answer to an open question, and every fact still to be measured, that would put another way first."""
    first = rank(known, table).first
    for name in (*INQUIRIES, *MEASURED):
        if name not in known.grounds:
            yield from _changes(known, table, name, first)


def _changes(known: Situation, table: WeightTable, name: str, first: str) -> Iterator[LevelFlip]:
    before = known.levels.get(name, "")
    for level in levels_of(name):
        if level != before:
            other = rank(with_level(known, name, level), table).first
            if other != first:
                yield LevelFlip(criterion=name, before=before, after=level, first=other)


def with_level(known: Situation, name: str, level: str) -> Situation:
    """The same situation with another level of one criterion."""
    ground = Ground(criterion=name, level=level, text=level, source="supposed")
    return replace(known, grounds=followed({**known.grounds, name: ground}))


def weight_flips(known: Situation, table: WeightTable) -> list[WeightFlip]:
    """For each criterion and direction the nearest weight that puts another way first, the nearest of all first.

    Only changes of a weight alone are looked at; no weight is negative, so that some criteria cannot turn it round.
    """
    ranking = rank(known, table)
    if not ranking.second:
        return []
    flips = []
    for name, ground in known.grounds.items():
        flips += _bounds(ranking, table, ground, table.criteria[name].weight)
    return sorted(flips, key=lambda flip: (flip.factor, abs(flip.bound - flip.weight)))


def _bounds(ranking: Ranking, table: WeightTable, ground: Ground, weight: float) -> list[WeightFlip]:
    """The nearest bounds on both sides of a weight."""
    criterion = table.criteria[ground.criterion]
    first, *rivals = ranking.eligible
    nearest: dict[str, tuple[float, float, float, str]] = {}
    for rival in rivals:  # in the order of the ranking: of two that stay equal the better placed takes over
        slope = criterion.points(ground.level, first.way) - criterion.points(ground.level, rival.way)
        if abs(slope) <= ALIKE:
            continue
        bound = weight - (first.score - rival.score) / slope
        direction = "below" if slope > 0 else "above"
        # No weight is negative, and at 0 there is nothing below.
        if bound < 0 or (direction == "below" and bound <= ALIKE):
            continue
        # Of two with the same bound the steeper is ahead past it.
        order = (round(abs(bound - weight), 9), -abs(slope))
        if direction not in nearest or order < nearest[direction][:2]:
            nearest[direction] = (*order, bound, rival.way)
    return [
        WeightFlip(criterion=ground.criterion, weight=weight, bound=bound, direction=direction, first=way)
        for direction, (_, _, bound, way) in nearest.items()
    ]


def close(flips: list[WeightFlip]) -> bool:
    """Is the ranking so close that one weight, changed by less than `NEAR`, turns it round?"""
    return bool(flips) and flips[0].factor < NEAR
