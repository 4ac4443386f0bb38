"""What the verdict is made from: the measured differences, the facts beside them, and the rule's bare choice. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from twofold.stats import Interval
from twofold.types import Arm, Estimate, Outcome

FEW_GROUPS = 20
"""Fewer independent groups than this are a reason for doubt, and too few to call arms that never differed a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFacts:
    """What the verdict has to know besides the scores. Arms without a value are left out of a mapping."""

    policy: str = ""
    """The split policy as one sentence: the claim about the future that the verdict stands on."""
    looks: int = 1
    """The how-manieth look this is at its most looked-at question (`study.looks`)."""
    level: float = 0.95
    """Level of the intervals that decide at this look."""
    synthetic_share: float = 0.0
    """Share of test questions written by a model."""
    failed_share: Mapping[str, float] = field(default_factory=dict)
    """Arm → share of its answers that failed."""
    latency_p95: Mapping[str, float] = field(default_factory=dict)
    """Arm → seconds, one question at a time."""
    latency_answers: Mapping[str, int] = field(default_factory=dict)
    """Arm → answers that `latency_p95` stands on."""
    cut_share: Mapping[str, float] = field(default_factory=dict)
    """Arm → share of its answers that ended at the token limit."""
    effort: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tuned arm → how far it was trained (`study.effort`); one that is left out has an unknown effort."""
    unanswerable: int | None = None
    """Test questions that nobody can answer; None where no arm can abstain."""
    reserve: int = 0
    """Questions set aside in the reserve split."""
    reserve_seen: int = 0
    """How many of them were test questions of an earlier study."""
    reserve_opened: str = ""
    """Study that opened the reserve before; empty when it is sealed."""
    training_minutes: Mapping[str, float] = field(default_factory=dict)
    """Arm → minutes one training of its adapter takes."""
    dev_trials: Mapping[str, int] = field(default_factory=dict)
    """Arm → variants tried on the dev set (checkpoints, prompts, values of k)."""
    dev_examples: int = 0
    """Examples in the dev split."""
    forgetting: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → why its weights failed the forgetting gate; other arms are left out."""
    forgetting_open: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → why the forgetting gate is open: neither shown to pass nor to fail."""
    remote: frozenset[str] = frozenset()
    """Arms that need an endpoint on the network."""
    final: bool = False
    """Was the sealed reserve split opened for this study?"""
    confirms: str = ""
    """Study whose choice is confirmed or not; only two of its arms are measured then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the rule says, before it is put into words."""

    outcome: Outcome
    arm: str = ""
    route: Literal["", "only", "main effects", "pairwise", "nobody right"] = ""
    """How it came about."""
    leader: str = ""
    """When undecided: the arm the open comparisons are about."""
    open: tuple[tuple[str, str], ...] = ()
    """When undecided: comparisons (arm, other) still to settle."""
    waiting: tuple[str, ...] = ()
    """When undecided: arms that were not given their chance, over which no other arm may be chosen."""


RIGHT = 0.5
"""A score from here on counts as right. Of a metric that is 0 or 1 that is 1; of a graded metric it is half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """How many of an arm's scored answers are right, that is, score at least `RIGHT` in the deciding metric."""

    count: int
    of: int
    graded: bool
    """Has any arm a score strictly between 0 and 1? Then "right" means at least half right."""
    none: bool
    """Is every score of the arm 0?"""


def rights(scores: Mapping[str, Any]) -> dict[str, Right]:
    """Count the right answers of arms from their scores, shape (questions,), NaN where there is none."""
    known = {name: [value for value in column if math.isfinite(value)] for name, column in scores.items()}
    graded = any(value not in (0.0, 1.0) for column in known.values() for value in column)
    return {
        name: Right(
            count=sum(1 for value in column if value >= RIGHT),
            of=len(column),
            graded=graded,
            none=all(value == 0 for value in column),
        )
        for name, column in known.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything measured that the rule looks at."""

    arms: tuple[Arm, ...]
    """From simple to complex."""
    estimates: Mapping[str, Estimate]
    """Of every arm."""
    intervals: Mapping[str, Interval]
    """Of the whole family: ``A - B`` for all pairs, and the effects when there are four cells."""
    cells: Mapping[str, str]
    """Names of the arms that are ``base``, ``rag``, ``ft`` and ``both``; empty unless all were measured."""
    right: Mapping[str, Right] = field(default_factory=dict)
    """How many answers of every arm are right."""

    def difference(self, a: str, b: str) -> Interval:
        """A − b, whichever way round it was computed."""
        found = self.intervals.get(f"{a} - {b}")
        if found is not None:
            return found
        other = self.intervals[f"{b} - {a}"]
        return Interval(
            mean=0.0 - other.mean,
            low=0.0 - other.high,
            high=0.0 - other.low,
            se=other.se,
            n=other.n,
            groups=other.groups,
            critical=other.critical,
            degenerate=other.degenerate,
        )

    def interaction_within(self, limit: float) -> bool:
        """Is the interaction shown to lie within ± `limit`?"""
        interaction = self.intervals["interaction"]
        return max(abs(interaction.low), abs(interaction.high)) <= limit


def is_small(difference: Interval, margin: float) -> bool:
    """Is the gain shown to be at most `margin`, or are the two arms a tie?"""
    return difference.high <= margin or is_tie(difference)


def is_tie(difference: Interval) -> bool:
    """Do two arms score alike on every question, of at least `FEW_GROUPS` groups?"""
    return difference.degenerate and difference.mean == 0 and difference.groups >= FEW_GROUPS
