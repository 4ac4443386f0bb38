"""What the verdict is made from: the measured differences, the facts beside them, and the rule's bare choice. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
    """Studies that have looked at this test split, this one included."""
    synthetic_share: float = 0.0
    """Share of test questions written by a model."""
    failed_share: Mapping[str, float] = field(default_factory=dict)
    """Arm → share of its answers that failed."""
    latency_p95: Mapping[str, float] = field(default_factory=dict)
    """Arm → seconds, one question at a time."""
    cost_per_1000: Mapping[str, float] = field(default_factory=dict)
    """Arm → money for 1000 answers, where prices are known."""
    training_minutes: Mapping[str, float] = field(default_factory=dict)
    """Arm → minutes one training of its adapter takes."""
    dev_trials: Mapping[str, int] = field(default_factory=dict)
    """Arm → variants tried on the dev set (checkpoints, prompts, values of k)."""
    dev_examples: int = 0
    """Examples in the dev split."""
    forgetting: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → why its weights failed the forgetting gate; arms that passed it are left out."""
    remote: frozenset[str] = frozenset()
    """Arms that need an endpoint on the network."""
    final: bool = False
    """Was the sealed reserve split opened for this study?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the rule says, before it is put into words."""

    outcome: Outcome
    arm: str = ""
    route: Literal["", "only", "main effects", "pairwise"] = ""
    """How it came about."""
    leader: str = ""
    """When undecided: the arm the open comparisons are about."""
    open: tuple[tuple[str, str], ...] = ()
    """When undecided: comparisons (arm, other) still to settle."""


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
