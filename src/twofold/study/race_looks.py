"""What a race sees at each look, and a race that is run again from its outcomes alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twofold.settings.sections import StudySection
from twofold.stats.betting import Array, Race, Standing, settled
from twofold.types import Arm
from twofold.verdict.certificate import OutcomeRow, RaceRow
from twofold.verdict.constrained import lasting
from twofold.verdict.evidence import RaceEvidence, VerdictFacts
from twofold.verdict.racing import evidence_of, sentences
from twofold.verdict.record import RaceLook, RaceRecord

UNSCORED = -1.0
"""In place of the score of an answer that the metric does not score."""


def by_complexity(arms: Sequence[Arm]) -> list[Arm]:
    """The arms from simple to complex."""
    return sorted(arms, key=lambda arm: arm.complexity)


def contenders(arms: Sequence[Arm], section: StudySection, *, uncited: str) -> list[Arm]:
    """From simple to complex, the arms that no constraint rules out whatever they answer.

    Args:
        arms: Of the race.
        section: Has the constraints.
        uncited: Why no answer can cite (`VerdictFacts.uncited`).
    """
    objections = lasting(arms, section, facts=VerdictFacts(uncited=uncited))
    return [arm for arm in by_complexity(arms) if not objections[arm.name]]


def grouped(values: Array, places: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """The mean score of each arm in each group, shape (groups, arms), and the questions that count of each group.

    Args:
        values: Scores, a failed answer 0, `UNSCORED` or NaN where an arm was not asked; shape (questions, arms).
        places: Places of the questions of each group, in the order of the race.
    """
    # A question that the metric does not score counts for no arm.
    counts = ~(values == UNSCORED).any(axis=1)
    table = np.full((len(places), values.shape[1]), np.nan)
    sizes = np.zeros(len(places))
    for group, these in enumerate(places):
        counted_places = [place for place in these if counts[place]]
        sizes[group] = len(counted_places)
        if counted_places:
            table[group] = values[counted_places].mean(axis=0)
    return table, sizes


def look_row(race: Race, names: Sequence[str], *, shard: int, answered: Sequence[int], questions: int) -> RaceLook:
    """How a race stands, as the record has it.

    Args:
        race: The bets, after this look.
        names: Of the arms, from simple to complex.
        shard: From 1.
        answered: Numbers of the arms that answered for this look.
        questions: Asked so far.
    """
    standing = race.standing()
    wealth = {}
    for place, a in enumerate(names):
        for other, b in enumerate(names[:place]):
            wealth[f"{a} - {b}"] = [_tens(race.peaks[place, other]), _tens(race.peaks[other, place])]
    return {
        "shard": shard,
        "answered": [names[arm] for arm in answered],
        "questions": questions,
        "leader": names[standing.leader],
        "crowned": "" if standing.crowned is None else names[standing.crowned],
        "going": [names[arm] for arm in standing.going],
        "wealth": wealth,
    }


def _tens(log: float) -> float:
    """A natural logarithm as a power of ten, to three digits: enough to see that a wealth has reached its bar."""
    return round(float(log) / math.log(10), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceAgain:
    """A race that was run again."""

    record: RaceRecord
    """With the looks, the end and the counts that follow; what would have been saved is as it was recorded."""
    evidence: RaceEvidence
    """For the questions that count."""


def raced_again(
    race: RaceRow, outcomes: Sequence[OutcomeRow], arms: Sequence[Arm], *, section: StudySection, uncited: str
) -> RaceAgain:
    """Run a race again: who is asked what follows from the outcomes, the groups' order and the level.

    Args:
        race: Its part of the certificate.
        outcomes: What came of every question that it asked.
        arms: Of the race.
        section: [study], with the level of this look.
        uncited: See `contenders`.

    Raises:
        ValueError: it would ask an arm a question that has no outcome, or does not end.
    """
    ordered = by_complexity(arms)
    names = [arm.name for arm in ordered]
    scored = _values(outcomes, names, metric=section.metric.name)
    shards = _places(race, outcomes)
    groups = [group for shard in shards for group in shard]
    values = np.full(scored.shape, np.nan)
    stake = (1 - section.level) / 2  # the other half is for the test of all questions at the end
    eligible = {arm.name for arm in contenders(arms, section, uncited=uncited)}
    bets = Race(
        [len(group) for group in groups],
        arms=len(names),
        alpha=stake,
        contenders=[number for number, name in enumerate(names) if name in eligible],
    )
    looks: list[RaceLook] = []
    standing = Standing(leader=0, crowned=None, going=tuple(range(len(names))))
    reached: list[int] = []
    stopped = ""

    def missing(arm: int) -> list[int]:
        return [place for place in reached if np.isnan(values[place, arm])]

    for number, shard in enumerate(shards, 1):
        reached += [place for group in shard for place in group]

        def ask(late: Sequence[int], number: int = number) -> None:
            for arm in late:
                places = missing(arm)
                if np.isnan(scored[places, arm]).any():
                    raise ValueError(f"shard {number} of the race asks {names[arm]} a question without an outcome")
                values[places, arm] = scored[places, arm]
            table, sizes = grouped(values, groups)
            bets.look(table, sizes=sizes)
            known = int(np.isfinite(values).any(axis=1).sum())
            looks.append(look_row(bets, names, shard=number, answered=late, questions=known))

        last = number == race["record"]["shards"]
        standing = settled(bets, standing.going, ask=ask, behind=lambda arm: bool(missing(arm)), last=last)
        looks[-1]["crowned"] = "" if standing.crowned is None else names[standing.crowned]
        stopped = "crown" if standing.crowned is not None else "end" if last else ""
        if stopped:
            break
    if not stopped:
        raise ValueError("the race does not end with the last shard that was asked")
    if not np.array_equal(np.isnan(values), np.isnan(scored)):
        raise ValueError("there are outcomes of questions that the race does not ask")
    asked_of = np.isfinite(values)  # (questions, arms)
    record: RaceRecord = {
        **race["record"],
        "questions": len(outcomes),
        "alpha": 1 - section.level,
        "stopped": stopped,
        "crowned": looks[-1]["crowned"],
        "answers": {name: int(asked_of[:, arm].sum()) for arm, name in enumerate(names)},
        "looks": looks,
    }
    counts = np.array([row["counts"] for row in outcomes], dtype=np.bool_)
    evidence = evidence_of(
        bets,
        names,
        covers={name: asked_of[counts, arm] for arm, name in enumerate(names)},
        level=section.level,
        test=stopped == "end",
        crowned=record["crowned"],
    )
    reasons, doubts = sentences(record)
    return RaceAgain(record=record, evidence=replace(evidence, reasons=reasons, doubts=doubts))


def _values(outcomes: Sequence[OutcomeRow], names: Sequence[str], *, metric: str) -> Array:
    """Score of each arm, a failed answer 0, NaN where it was not asked; shape (questions, arms)."""
    values = np.full((len(outcomes), len(names)), np.nan)
    for place, row in enumerate(outcomes):
        for arm, name in enumerate(names):
            if name in row["scores"]:
                score = row["scores"][name].get(metric)
                unscored = 0.0 if name in row["failed"] else UNSCORED
                values[place, arm] = unscored if score is None else score
    return values


def _places(race: RaceRow, outcomes: Sequence[OutcomeRow]) -> list[list[list[int]]]:
    """Shard → group → places of its questions."""
    members: dict[int, list[int]] = {}
    for place, row in enumerate(outcomes):
        members.setdefault(row["group"], []).append(place)
    listed: list[Any] = [number for shard in race["shards"] for number in shard]
    if sorted(listed) != sorted(members):
        raise ValueError("the shards of the race are not the groups of the outcomes, each once")
    shards = []
    for shard in race["shards"]:
        shards.append([members[number] for number in shard])
    return shards
