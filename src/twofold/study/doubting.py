"""Doubts that a plan tells before a study and the verdict after it, in the same words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.study.evidence import WANTED_GROUPS
from twofold.study.record import counted
from twofold.types import Arm


def few_groups(groups: int, worth: float) -> list[str]:
    """Are there too few independent groups, or groups so unequal that they are `worth` too few?"""
    if worth >= WANTED_GROUPS - 1e-9:
        return []
    uneven = f", worth {worth:.1f} of equal size" if worth < 0.95 * groups else ""
    return [f"few independent groups: {groups}{uneven} ({WANTED_GROUPS} or more are wanted)"]


def synthetic(count: int, of: int) -> list[str]:
    """Did a model write most of the questions?"""
    if 2 * count <= of:
        return []
    return [f"{count} of {counted(of, 'question')} are synthetic, which favours retrieval"]


def no_prompt_arm(arms: Sequence[Arm]) -> list[str]:
    """Is a tuned arm compared with no arm that shows examples?"""
    if not any(arm.tuning for arm in arms) or any(arm.shots for arm in arms):
        return []
    return ["no few-shot prompt arm is among the arms: tuning's gain may be overstated"]
