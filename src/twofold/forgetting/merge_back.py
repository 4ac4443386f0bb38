"""Choose the merge coefficient: less of the change, and less forgotten. Pure.

WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903) interpolates between base weights (coefficient 0) and tuned ones (1):
between them lies a front on which most of what was learned stays, and much of what was lost comes back. Coefficients
are measured from 1 downwards until one keeps enough and loses little enough.

Dev scores of some dozens of questions differ by chance: what lies within one standard error of the best (of the paired
difference) counts as equal, and among equals the smaller change is kept (the one-standard-error rule of Breiman et al.
1984).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePoint:
    """One measured coefficient."""

    coefficient: float
    """Share of the change that is kept."""
    dev: float
    """Mean dev score in the study's metric."""
    drop: float
    """Mean drop of general ability against the base model."""
    gate: Literal["passed", "open", "failed"]
    """What the forgetting gate says."""
    se: float = 0.0
    """Standard error of the paired difference of its dev score to that of all of the change."""


Apart = Callable[[ScalePoint, ScalePoint], float]
"""Two points → the standard error of the paired difference of their dev scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The targets of a merge coefficient."""

    keep: float
    """Share of the tuned model's dev gain over the base model."""
    drop: float
    """Drop of general ability, in score."""


def reaches(point: ScalePoint, *, base: float, full: float, limits: Limits) -> bool:
    """Does it keep enough of the gain from `base` to `full` (dev scores at 0 and 1), and lose little enough?

    Enough is `limits.keep` of the gain, or within one standard error of `full`.
    """
    least = base + limits.keep * (full - base) if full > base else full
    return point.drop <= limits.drop and point.dev >= min(least, full - point.se)


def choose(points: Sequence[ScalePoint], *, base: float, limits: Limits, apart: Apart) -> tuple[ScalePoint, str]:
    """The point to keep, and why.

    One that reaches both limits; else the best on dev of those that pass the gate; else of those that it leaves open;
    else the tuned weights as they are, which the gate fails. The smaller coefficient where dev scores lie within one
    standard error of the best.

    Args:
        points: At least that of coefficient 1.
        base: Dev score of the base model in the same arm.
        limits: What to reach.
        apart: Standard error of the paired difference of two points' dev scores.
    """
    full = next(point for point in points if point.coefficient == 1)
    reached = [point for point in points if reaches(point, base=base, full=full.dev, limits=limits)]
    if reached:
        best = smallest(reached, apart)
        return best, _tells(best, base, full)
    shortfall = f"no share keeps {limits.keep:.0%} of the dev gain and loses at most {limits.drop:g}"
    for outcome, those in (("passed", "that pass the gate"), ("open", "whose gate is open")):
        candidates = [point for point in points if point.gate == outcome]
        if candidates:
            best = smallest(candidates, apart)
            return best, f"{shortfall}; of those {those} the best on dev: {_tells(best, base, full)}"
    return full, "no share passes the gate: the weights stay as they were tuned"


def smallest(points: Sequence[ScalePoint], apart: Apart) -> ScalePoint:
    """The smallest coefficient whose dev score is within one standard error of the best of these.

    Args:
        points: To choose from.
        apart: Standard error of the paired difference of two points' dev scores.
    """
    best = max(points, key=lambda p: (p.dev, -p.coefficient))
    return min((p for p in points if p.dev >= best.dev - apart(p, best)), key=lambda p: p.coefficient)


def _tells(point: ScalePoint, base: float, full: ScalePoint) -> str:
    gain = full.dev - base
    share = f"{(point.dev - base) / gain:.0%} of the dev gain" if gain > 0 else "a dev score that tuning did not raise"
    return f"the share {point.coefficient:g} keeps {share} and loses {point.drop:.3f} of general ability"
