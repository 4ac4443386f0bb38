"""The judged score of each arm: people's marks of some answers joined with a judge's marks of all. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from twofold.hashing import plain
from twofold.judge.items import JudgeItem, Name
from twofold.judge.record import JudgedArm
from twofold.stats.predictions import predicted


def judged_arms(
    items: Sequence[JudgeItem],
    words: Mapping[Name, str],
    people: Mapping[Name, Sequence[str]],
    *,
    failed: Mapping[str, int],
    level: float,
) -> dict[str, JudgedArm]:
    """Arm → its judged score; arms without a mark by people, or by the judge, are left out.

    Args:
        items: All items of the study.
        words: What the judge says of each; an empty word, or none, is no mark.
        people: What people say of some.
        failed: Arm → its failed answers, which nobody marks.
        level: Of the intervals, over groups of questions.
    """
    scored: dict[str, JudgedArm] = {}
    numbers: dict[str, int] = {}
    for arm in sorted({arm for item in items for arm in item.arms}):
        mine = [item for item in items if arm in item.arms]
        marks: list[float] = []
        predictions: list[float] = []
        for item in mine:
            human, word = people.get(item.name, ()), words.get(item.name, "")
            # People who differ on an answer count as their mean.
            marks.append(statistics.fmean(item.value(arm, each) for each in human) if human else math.nan)
            predictions.append(item.value(arm, word) if word else math.nan)
        if all(map(math.isnan, marks)) or all(map(math.isnan, predictions)):
            continue
        groups = [numbers.setdefault(item.group, len(numbers)) for item in mine]
        value = predicted(marks, predictions, groups, level=level, failed=failed.get(arm, 0))
        scored[arm] = {
            "score": plain(value.estimate),
            "people": plain(value.alone),
            "weight": value.weight,
            "judged": value.items,
        }
    return scored
