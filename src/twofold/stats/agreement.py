"""Agreement of people beyond chance: Cohen's κ of two, Krippendorff's α of any number, with clustered intervals. Pure.

Both are 1 when all agree, 0 when they agree as often as chance would have it, and below 0 when less often. Neither
exists where everybody says one and the same thing throughout: chance then explains all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from twofold.stats import intervals
from twofold.types import Estimate

Unit = Sequence[Hashable]
"""What each person says of one item; of a pair for κ, of any number of people for α."""
_Item = TypeVar("_Item")


class _Undefined(Exception):
    """Without some group nothing but one category is left."""


def cohen_kappa(units: Sequence[Unit]) -> float | None:
    """Cohen's κ (Cohen 1960) of two people, whose words are categories without order; None where it does not exist.

    Args:
        units: For each item what the first person says and what the second.
    """
    count = len(units)
    if not count:
        return None
    observed = sum(first == second for first, second in units) / count
    firsts, seconds = Counter(first for first, _ in units), Counter(second for _, second in units)
    expected = sum(firsts[category] * seconds[category] for category in firsts) / count**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(units: Sequence[Unit]) -> float | None:
    """Krippendorff's α for categories without order (Krippendorff 2011); None where it does not exist.

    People may have left items out: an item counts by those who say something of it, from two on.

    Args:
        units: For each item what people say of it, in any order.
    """
    totals: Counter[Hashable] = Counter()
    disagreeing = 0.0
    for unit in units:
        counts, people = Counter(unit), len(unit)
        if people < 2:
            continue
        totals.update(counts)
        # Ordered pairs of people who differ; an item of many people weighs as much as they are, not as their pairs.
        disagreeing += (people**2 - sum(count**2 for count in counts.values())) / (people - 1)
    number = sum(totals.values())
    by_chance = number**2 - sum(count**2 for count in totals.values())
    return None if not by_chance else 1 - (number - 1) * disagreeing / by_chance


def with_interval(
    statistic: Callable[[Sequence[_Item]], float | None],
    items: Sequence[_Item],
    groups: Sequence[str],
    *,
    level: float = 0.95,
) -> Estimate | None:
    """κ or α with an interval by the jackknife over groups of questions; None where the statistic does not exist.

    Args:
        statistic: Of all items, from -1 to 1.
        items: Shape (items,).
        groups: Group of each item's question, same shape.
        level: Coverage wanted.
    """
    value = statistic(items)
    if value is None:
        return None

    def share(chosen: Sequence[_Item]) -> float:
        left = statistic(chosen)
        if left is None:
            raise _Undefined
        # From -1 .. 1 to 0 .. 1, on which the interval keeps within the ends and has no zero width at them. Three
        # people who never agree on few items have an α below -1.
        return max(0.0, (left + 1) / 2)

    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    try:
        half = intervals.pooled(share, items, [numbers[group] for group in groups], level=level)
    except _Undefined:
        # One group alone shows that people use more than one word: nothing is known of others.
        return Estimate(mean=value, low=-1.0, high=1.0, n=len(items))
    return Estimate(mean=value, low=min(2 * half.low - 1, value), high=2 * half.high - 1, n=len(items))
