"""Choose the merge coefficient: less of the change, and less forgotten. Pure.

WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903) interpolates between base weights (coefficient 0) and tuned weights
(coefficient 1). In between lie weights that keep most of the gain and win back much of the lost ability. Coefficients
are measured from 1 downwards until one keeps enough and loses little enough.

Dev scores of some dozens of questions differ by chance. Scores within one standard error of the best (of the paired
difference) count as equal, and among equals the smaller change is kept (the one-standard-error rule of Breiman et al.
1984).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePoint:
    """A coefficient and the scores measured with it."""

    coefficient: float
    """Share of the weights' change that is kept."""
    dev: float
    """Mean dev score in the study's metric."""
    drop: float
    """Mean drop of general ability against the base model."""
    gate: Literal["passed", "open", "failed"]
    """Outcome of the forgetting gate."""
    se: float = 0.0
    """Standard error of the paired difference between this dev score and the dev score of coefficient 1."""


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
    """Does the point keep enough of the gain from `base` to `full` (dev scores at 0 and 1), and lose little enough?

    Enough is a share of `limits.keep` of the gain, or a dev score within one standard error of `full`.
    """
    # where tuning gained nothing there is no share to keep: the point must be no worse than the tuned weights
    least = base + limits.keep * (full - base) if full > base else full
    return point.drop <= limits.drop and point.dev >= min(least, full - point.se)


def choose(points: Sequence[ScalePoint], *, base: float, limits: Limits, apart: Apart) -> tuple[ScalePoint, str]:
    """The point to keep, and the reason in words.

    A point that reaches both limits is kept; failing that, the best on dev of the points that pass the gate; then the
    best of the points whose gate is open; then the tuned weights as they are, though they fail the gate. Of points
    within one standard error of the best dev score, the one with the smallest coefficient is kept.

    Args:
        points: The measured points, with the point of coefficient 1 among them.
        base: Dev score of the base model in the same arm.
        limits: Limits to reach.
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
        points: The points to choose from.
        apart: Standard error of the paired difference of two points' dev scores.
    """
    # of equal scores the smaller coefficient, so that the order of `points` does not matter
    best = max(points, key=lambda p: (p.dev, -p.coefficient))
    return min((p for p in points if p.dev >= best.dev - apart(p, best)), key=lambda p: p.coefficient)


def _tells(point: ScalePoint, base: float, full: ScalePoint) -> str:
    gain = full.dev - base
    share = f"{(point.dev - base) / gain:.0%} of the dev gain" if gain > 0 else "a dev score that tuning did not raise"
    return f"the share {point.coefficient:g} keeps {share} and loses {point.drop:.3f} of general ability"
