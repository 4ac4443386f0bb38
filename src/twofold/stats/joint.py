"""A statistic of several means that were measured on the same questions, with its interval. Pure; numpy only.

The forecast of retrieval multiplies and adds shares that come from one sample: their errors are not independent, so no
interval can be put together from theirs. Whole groups are drawn with replacement, every mean is computed of the same
draw, and the statistic of these (Field & Welsh 2007, the cluster bootstrap). The plain percentile interval is too
narrow with few groups: its distances from the estimate are widened by Student's t and by the factor √(G / (G − 1)),
with Kish's number of groups G.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from twofold.errors import StudyError
from twofold.stats.distributions import t_quantile
from twofold.stats.intervals import Array, hidden_share, kish
from twofold.types import Estimate

_UNSEEN = 0.5
"""Part of the way to its least and greatest value that the statistic may be off on the questions that a sample cannot
show (`intervals.hidden_share`). Chosen by simulation of the forecast's gain with 8, 20 and 50 groups, where shares near
0 and 1 leave the bootstrap without variation: the worst coverage was .41 without it, .92 with half of the way and .93
with the whole of it, which is nearly twice as wide at 8 groups and shares near 0."""


def joint(
    columns: Mapping[str, npt.ArrayLike],
    groups: npt.ArrayLike,
    statistic: Callable[[Mapping[str, Array]], Array],
    *,
    reach: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A statistic of means over questions, with its interval.

    Args:
        columns: Name → value of every question, shape (questions,). NaN where a question has none: the mean is then of
            those that have one.
        groups: Integer group of each question, shape (questions,).
        statistic: Takes the means, each of shape (draws,), and returns its value for every draw. A mean of which a draw
            holds no question is NaN; where the statistic is NaN, the draw says nothing.
        reach: Least and greatest possible value.
        level: Coverage wanted.
        resamples: Draws.
        seed: Of the draws.

    Raises:
        StudyError: the statistic has no value.
    """
    values = np.stack([np.asarray(column, dtype=float) for column in columns.values()], axis=1)  # (questions, columns)
    labels = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    number = int(labels.max()) + 1 if len(labels) else 0
    present = np.isfinite(values)
    sums, counts = np.zeros((number, len(columns))), np.zeros((number, len(columns)))
    np.add.at(sums, labels, np.where(present, values, 0.0))
    np.add.at(counts, labels, present)

    def of(times: Array) -> Array:  # shape (draws, groups) → (draws,)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = (times @ sums) / (times @ counts)  # (draws, columns)
        return np.asarray(statistic({name: means[:, place] for place, name in enumerate(columns)}), dtype=float)

    value = float(of(np.ones((1, number)))[0]) if number else math.nan
    if not math.isfinite(value):
        raise StudyError("no question has all that the forecast needs", cure="Give examples doc_ids, or more of them.")
    least, most = reach
    if number == 1:
        return Estimate(mean=value, low=least, high=most, n=len(labels))
    draws = of(
        np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples).astype(float)
    )
    draws = draws[np.isfinite(draws)]
    tail, worth = (1 - level) / 2, kish(np.bincount(labels))
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (least, most)
    # Normal quantile as Student's with very many degrees of freedom.
    wider = (
        t_quantile(1 - tail, max(1.0, worth - 1)) / t_quantile(1 - tail, 1e6) * math.sqrt(worth / max(worth - 1, 0.5))
    )
    hidden = _UNSEEN * hidden_share(len(labels), worth, tail)
    low = min(value - max(0.0, value - float(low)) * wider, value - hidden * (value - least))
    high = max(value + max(0.0, float(high) - value) * wider, value + hidden * (most - value))
    return Estimate(mean=value, low=max(least, low), high=min(most, high), n=len(labels))
