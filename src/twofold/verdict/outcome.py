"""The answer of a study, and what would change it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from twofold.types import Json, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A condition that would change the verdict, computed from the study's own numbers."""

    condition: str
    """Plain words, for example ``if p95 latency may be at most 0.40 s``."""
    outcome: Outcome
    """The verdict under the condition."""
    arm: str = ""
    """The arm chosen then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The study's answer."""

    outcome: Outcome
    """``undecided`` is a proper answer."""
    arm: str = ""
    """The arm chosen; empty unless `outcome` is ``choose``."""
    headline: str = ""
    """The verdict in plain words, with counts of right answers."""
    sentence: str = ""
    """The verdict with scores and intervals, after the sentence of the split policy."""
    because: tuple[str, ...] = ()
    """Reasons, built from the numbers."""
    provisional: tuple[str, ...] = ()
    """Every reason for doubt; empty when there is none."""
    more_examples: int | None = None
    """When undecided: examples to collect so that a gain of 2 × margin is shown in 8 of 10 studies; None: no number."""
    further: Json = field(default_factory=dict)
    """When undecided between arms: what further examples would show (`verdict.power.Further`); else empty."""
    flips: tuple[Flip, ...] = ()
    """Conditions that would change the verdict."""
    looks: int = 1
    """Number of studies that looked at this test split, this one included."""
