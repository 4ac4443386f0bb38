"""Which merge coefficient to keep: less of the change, and less forgotten. Pure.

WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903) interpolates between base weights (coefficient 0) and tuned ones (1):
between them lies a front on which most of what was learned stays, and much of what was lost comes back. Coefficients
are measured from 1 downwards until one keeps enough and loses little enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured coefficient."""

    coefficient: float
    """Share of the change that is kept."""
    dev: float
    """Mean dev score in the study's metric."""
    drop: float
    """Mean drop of general ability against the base model."""
    passed: bool
    """Does it pass the forgetting gate?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a coefficient should reach."""

    keep: float
    """Share of the tuned model's dev gain over the base model."""
    drop: float
    """Drop of general ability, in score."""


def reaches(point: Point, *, base: float, full: float, limits: Limits) -> bool:
    """Does it keep enough of the gain from `base` to `full` (dev scores at 0 and 1), and lose little enough?"""
    least = base + limits.keep * (full - base) if full > base else full
    return point.drop <= limits.drop and point.dev >= least


def choose(points: Sequence[Point], *, base: float, limits: Limits) -> tuple[Point, str]:
    """The point to keep, and why.

    One that reaches both limits; else the best on dev of those that pass the gate; else the tuned weights as they
    are, which the gate fails. Among equals on dev the smaller coefficient.

    Args:
        points: At least that of coefficient 1.
        base: Dev score of the base model in the same arm.
        limits: What to reach.
    """
    full = next(point for point in points if point.coefficient == 1)
    best = sorted(points, key=lambda p: (-p.dev, p.coefficient))
    for point in best:
        if reaches(point, base=base, full=full.dev, limits=limits):
            return point, _tells(point, base, full)
    for point in best:
        if point.passed:
            wanted = f"no share keeps {limits.keep:.0%} of the dev gain and loses at most {limits.drop:g}"
            return point, f"{wanted}; of those that pass the gate the best on dev: {_tells(point, base, full)}"
    return full, "no share passes the gate: the weights stay as they were tuned"


def _tells(point: Point, base: float, full: Point) -> str:
    gain = full.dev - base
    kept = f"{(point.dev - base) / gain:.0%} of the dev gain" if gain > 0 else "a dev score that tuning did not raise"
    return f"the share {point.coefficient:g} keeps {kept} and loses {point.drop:.3f} of general ability"
