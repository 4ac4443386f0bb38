"""Scores of several training runs of one recipe: their spread, and intervals that include it. Pure; numpy only.

The mean over runs and questions has two sources of error: the questions that were drawn, and the runs (Bouthillier et
al. 2021, *Accounting for variance in machine learning benchmarks*; Reimers & Gurevych 2017). Runs and questions are
crossed: every run answers every question. The interval of the mean over questions, of scores that are means over runs,
knows the first source; Student's interval of the runs' own means, with one degree of freedom less than there are runs,
knows the second. Their half widths are added in quadrature (Banerjee 1960, whose interval holds its level whatever the
two variances are; end by end, Zou & Donner 2008). What runs and questions vary together is in both, which errs on the
safe side.

Chosen by simulation of known ratios of the two variances, 95 % wanted: Satterthwaite's degrees of freedom cover .87
with two runs, .92 with three and .94 with five at worst, a bootstrap over runs less, this .95 always. It is wide with
two runs (12.7 standard errors), because two runs tell little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from twofold.stats.distributions import chi_square_quantile, t_quantile
from twofold.stats.intervals import Array, Interval
from twofold.types import Estimate


def half_width(values: npt.ArrayLike, *, level: float) -> float:
    """Half width of Student's interval of the mean of runs, shape (runs,); 0 where they do not differ at all."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return 0.0
    return t_quantile(0.5 + level / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))


def spread(values: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """Standard deviation between runs with the χ² interval of normal values; `values`: shape (runs,), two or more.

    Scores in [0, 1] have one of .5 at most, which the upper end allows for.
    """
    x = np.asarray(values, dtype=float)
    sd, freedom = float(x.std(ddof=1)), len(x) - 1
    low, high = (
        sd * math.sqrt(freedom / chi_square_quantile(probability, freedom))
        for probability in (0.5 + level / 2, 0.5 - level / 2)
    )
    return Estimate(mean=sd, low=low, high=max(sd, min(high, 0.5)), n=len(x))


def widened_estimate(value: Estimate, values: npt.ArrayLike, *, level: float) -> Estimate:
    """The interval of a mean score in [0, 1] over questions, with what runs add to it; `values`: shape (runs,)."""
    half = half_width(values, level=level)
    low, high = _ends(value.mean, value.low, value.high, (half, half))
    return replace(value, low=max(0.0, low), high=min(1.0, high)) if half else value


def widened(
    intervals: Mapping[str, Interval],
    weights: Mapping[str, npt.ArrayLike],
    runs: npt.ArrayLike,
    *,
    level: float,
    joint: bool = False,
) -> dict[str, Interval]:
    """Intervals of contrasts over questions, with what the training runs add to each.

    Runs of two arms are paired by their number: arms that share their adapters move together, and of others the pairs
    are as good as any.

    Args:
        intervals: Of scores that are means over runs (`intervals.contrasts`).
        weights: Name → weight of every arm.
        runs: Scores, shape (runs, questions, arms); an arm without runs has the same scores in each.
        level: Coverage wanted.
        joint: All intervals are to hold together (Bonferroni's share of the level for each).
    """
    scores = np.asarray(runs, dtype=float)
    members = len(weights) if joint else 1
    alone = 1 - (1 - level) / members
    out = {}
    for name, interval in intervals.items():
        weight = np.asarray(weights[name], dtype=float)
        used = scores[:, :, weight != 0]  # (runs, questions, arms of the contrast)
        whole = np.isfinite(used).all(axis=(0, 2))
        out[name] = interval
        # An arm without runs moves no difference; sums of equal numbers would, by rounding.
        if (np.ptp(used[:, whole], axis=0) > 0).any():
            half = half_width((used[:, whole] @ weight[weight != 0]).mean(axis=1), level=alone)
            room = _room(used[:, whole], weight[weight != 0])
            out[name] = _widened(interval, weight, half, room=room, members=members, runs=len(scores), level=alone)
    return out


def _room(scores: Array, weight: Array) -> tuple[float, float]:
    """How far other runs could move a contrast of these questions, down and up; scores (runs, questions, arms).

    Scores lie in [0, 1], and an arm without runs stays: none is better than one that has everything right.
    """
    means, moves = scores.mean(axis=(0, 1)), (np.ptp(scores, axis=0) > 0).any(axis=0)
    gains = weight > 0
    least, most = np.where(moves, ~gains, means), np.where(moves, gains, means)
    return float(weight @ (means - least)), float(weight @ (most - means))


def _widened(
    interval: Interval,
    weight: Array,
    half: float,
    *,
    room: tuple[float, float],
    runs: int,
    members: int,
    level: float,
) -> Interval:
    halves = min(half, room[0]), min(half, room[1])
    low, high = _ends(interval.mean, interval.low, interval.high, halves)
    low, high = max(float(weight[weight < 0].sum()), low), min(float(weight[weight > 0].sum()), high)
    # Of the side on which 0 lies.
    p = _p(interval, halves[0] if interval.mean > 0 else halves[1], runs=runs, level=level)
    return replace(interval, low=low, high=high, p=max(interval.p, min(1.0, members * p)), trained=half)


def _ends(mean: float, low: float, high: float, halves: tuple[float, float]) -> tuple[float, float]:
    return mean - math.hypot(mean - low, halves[0]), mean + math.hypot(high - mean, halves[1])


def _p(interval: Interval, half: float, *, runs: int, level: float) -> float:
    """Smallest 1 − level at which 0 is left out, by halves.

    At `level` exactly that of the ends; elsewhere the questions' part is taken to grow with Student's quantile.
    """
    questions = interval.mean - interval.low if interval.mean > 0 else interval.high - interval.mean
    freedom = max(1.0, interval.worth - 1)
    first = t_quantile(0.5 + level / 2, freedom), t_quantile(0.5 + level / 2, runs - 1)
    low, high = 1e-6, 1.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        now = (t_quantile(1 - middle / 2, freedom) / first[0], t_quantile(1 - middle / 2, runs - 1) / first[1])
        outside = abs(interval.mean) > math.hypot(questions * now[0], half * now[1])
        low, high = (low, middle) if outside else (middle, high)
    return high
