"""Means, paired differences and their intervals, for scores that come in groups. Pure; numpy only.

Questions about one document are alike, so the group (`types.Example.group`) is the unit of everything here. A score
matrix has shape (questions, arms); NaN means that there is no score (a failure, or a metric that does not apply). A
difference uses the questions where every arm in it has a score.

Groups of unequal size are worth fewer groups than there are: Kish's (Σn)² / Σn². Degrees of freedom are that number
less one (Korn & Graubard 1999; Kish 1965), everywhere.

- `estimate`: one mean of scores in [0, 1]. A Wilson interval with the effective sample size that the standard error of
  the delete-a-group jackknife implies (Cameron & Miller 2015) and Student's t (Korn & Graubard 1998; Dean & Pagano
  2015): it keeps its coverage near 0 and 1, where mean ± 2 standard errors does not.
- `contrasts`: several paired differences, each with an interval of its own or all with simultaneous ones, by the
  quantile of |t|, or of the largest |t| over the family, in a wild cluster bootstrap-t (Cameron, Gelbach & Miller
  2008; Romano & Wolf 2005). Differences that few groups show have Clopper-Pearson's bound under them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from twofold.errors import StudyError
from twofold.stats import draws
from twofold.stats.distributions import binomial_upper, t_below, t_quantile
from twofold.types import Estimate

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
Item = TypeVar("Item")

BOOTSTRAP_GROUPS = 10
"""Below this many groups a bootstrap has too few distinct draws; Bonferroni's t is then the least width."""
SPARSE_GROUPS = 10
"""A difference that fewer groups than this show has no reliable standard error; the ends are at least exact bounds."""
TOGETHER = 0.3
"""Correlation of rare losses of two questions of one group, where none was seen to tell."""
_TINY = 1e-12  # rounding of sums of scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A paired difference and its interval."""

    mean: float
    """Point estimate."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    se: float
    """Cluster-robust standard error; 0 when every group shows the same difference."""
    n: int
    """Questions used."""
    groups: int
    """Independent groups used."""
    worth: float
    """How many groups of equal size these are worth (`kish`)."""
    critical: float
    """Half width / standard error, before exact bounds."""
    p: float
    """Smallest 1 − level at which the interval leaves 0 out."""
    seen: tuple[float, float] = (-1.0, 1.0)
    """Least and greatest difference of a question."""
    degenerate: bool = False
    """Do the arms score alike on every question?"""
    trained: float = 0.0
    """Half width that the chance of training has in the interval (`repeats.widened`); in `se` and `critical` it is not.
    """

    def estimate(self, failed: int = 0) -> Estimate:
        """The same as a record."""
        return Estimate(mean=self.mean, low=self.low, high=self.high, n=self.n, failed=failed)

    def turned(self) -> Interval:
        """The difference the other way round."""
        seen = (0.0 - self.seen[1], 0.0 - self.seen[0])
        return replace(self, mean=0.0 - self.mean, low=0.0 - self.high, high=0.0 - self.low, seen=seen)


def kish(sizes: npt.ArrayLike) -> float:
    """How many groups of equal size groups of these sizes are worth: (Σn)² / Σn² (Kish 1965); 0 for none."""
    x = np.asarray(sizes, dtype=float)
    return float(x.sum() ** 2 / (x**2).sum()) if x.sum() else 0.0


# ---------------------------------------------------------------- one mean


def estimate(
    values: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
    failed: int = 0,
) -> Estimate:
    """The mean of scores with a cluster-robust interval: the modified Wilson interval (see the module).

    When all values are equal the effective sample size is the number of groups that these are worth: the interval
    never has zero width.

    Args:
        values: Scores in [0, 1], shape (questions,); NaN is left out.
        groups: Integer group of each question, same shape; None: every question stands alone.
        level: Coverage wanted.
        failed: Failed answers, carried into the record and into no mean.

    Raises:
        StudyError: there is no value at all (no estimate exists, and 0 would be a lie), or one lies outside 0 to 1.
    """
    x, g = _clean(values, groups)  # both (scored questions,)
    n = len(x)
    if n == 0:
        raise StudyError("no question has a score to average", cure="Look at the failures: every answer failed.")
    number = int(g.max()) + 1
    mean = float(x.mean())
    sums, counts = np.bincount(g, x, number).astype(float), np.bincount(g, minlength=number).astype(float)
    _refuse_outside(x)
    if number == 1:
        return Estimate(mean=mean, low=0.0, high=1.0, n=n, failed=failed)
    worth, tail = kish(counts), (1 - level) / 2
    # The mean bends to a large group, whose residuals are then too small: each is taken from the mean without its own.
    se = (1 - 1 / number) * standard_error((sums - mean * counts) / (1 - counts / n), n)
    low, high = wilson(mean, max(se, float(x.std(ddof=1)) / math.sqrt(n)), worth=worth, level=level)
    # Where few groups score anything, or miss anything, the standard error is no guide: exact bounds.
    if (sums > _TINY).sum() < SPARSE_GROUPS:
        high = max(high, _share_above(sums, counts, worth, tail))
    if (counts - sums > _TINY).sum() < SPARSE_GROUPS:
        low = min(low, 1 - _share_above(counts - sums, counts, worth, tail))
    # A share that may be unseen may score 0, or 1, where the least and greatest score seen are others.
    hidden = hidden_share(n, worth, tail)
    low, high = min(low, mean - hidden * float(x.min())), max(high, mean + hidden * (1 - float(x.max())))
    return Estimate(mean=mean, low=min(low, mean), high=max(high, mean), n=n, failed=failed)


def pooled(
    function: Callable[[Sequence[Item]], float],
    items: Sequence[Item],
    groups: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
    failed: int = 0,
) -> Estimate:
    """A statistic of all items together that is no mean of scores, such as macro-F1, with its interval.

    Delete-a-group jackknife (Kott 2001) with at most 200 random folds of whole groups, on the Wilson scale when the
    value lies in [0, 1].

    Raises:
        StudyError: there are no items.
    """
    if not items:
        raise StudyError("no question has a score to average", cure="Look at the failures: every answer failed.")
    _, g = _clean(np.zeros(len(items)), groups)
    number = int(g.max()) + 1
    value = float(function(items))
    if number > 200:  # whole groups share a fold: a statistic of all items is dear to compute
        g = (np.random.default_rng(seed).permutation(number) % 200)[g]
    folds = int(g.max()) + 1
    if folds == 1:
        return Estimate(mean=value, low=min(0.0, value), high=max(1.0, value), n=len(items), failed=failed)
    left_out = np.empty(folds)  # (folds,)
    for left in range(folds):
        left_out[left] = float(function([item for item, fold in zip(items, g, strict=True) if fold != left]))
    se = math.sqrt((folds - 1) / folds * float(((left_out - left_out.mean()) ** 2).sum()))
    worth = kish(np.bincount(g))
    if 0 <= value <= 1:
        low, high = wilson(value, se, worth=worth, level=level)
    else:
        half = t_quantile(0.5 + level / 2, _freedom(worth)) * se
        low, high = value - half, value + half
    return Estimate(mean=value, low=min(low, value), high=max(high, value), n=len(items), failed=failed)


def quantile_interval(
    values: npt.ArrayLike, share: float, *, level: float = 0.95
) -> tuple[float, float | None, float | None]:
    """A quantile of independent values with its distribution-free interval (David & Nagaraja 2003, section 7.1).

    The ends are order statistics: the number of values below the true quantile is binomial, so each end leaves out
    at most (1 − level) / 2 whatever the distribution. With few values there is no such order statistic: an upper end
    of the 95th percentile needs 72 values at 95 %, both ends of the median need 6.

    Args:
        values: Shape (n,); NaN is left out.
        share: Which quantile, in (0, 1).
        level: Coverage wanted.

    Returns:
        The quantile (linear interpolation), its lower end and its upper end; an end is None where there is none.

    Raises:
        StudyError: there is no value.
    """
    x = np.sort(np.asarray(values, dtype=float).reshape(-1))
    x = x[np.isfinite(x)]
    n, tail = len(x), (1 - level) / 2
    if n == 0:
        raise StudyError("no value to take a quantile of", cure="Look at the failures: every answer failed.")
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]  # (n + 1,)
    odds = [k * math.log(share) + (n - k) * math.log1p(-share) for k in range(n + 1)]  # (n + 1,)
    below = np.cumsum(np.exp(np.add(logs, odds)))  # below[k]: probability that at most k values lie below the quantile
    lower = int((below <= tail).sum())  # the largest rank whose value lies above the quantile in at most `tail`
    upper = int((below < 1 - tail - 1e-12).sum()) + 1
    low = float(x[lower - 1]) if lower >= 1 else None
    high = float(x[upper - 1]) if upper <= n else None
    return float(np.quantile(x, share)), low, high


def least_for_upper_end(share: float, *, level: float = 0.95) -> int:
    """How many values an upper end of `quantile_interval` needs: 72 for the 95th percentile at 95 %."""
    return math.ceil(math.log((1 - level) / 2) / math.log(share) - 1e-9)


def wilson(mean: float, se: float, *, worth: float, level: float) -> tuple[float, float]:
    """Wilson's interval with effective sample size mean(1 − mean)/se² and t with `worth` − 1 degrees of freedom."""
    critical = t_quantile(0.5 + level / 2, _freedom(worth))
    spread = mean * (1 - mean)
    size = spread / se**2 if se > _TINY and spread > _TINY else worth
    centre = (mean + critical**2 / (2 * size)) / (1 + critical**2 / size)
    half = critical / (1 + critical**2 / size) * math.sqrt(spread / size + critical**2 / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _freedom(worth: float) -> float:
    """Degrees of freedom of groups worth so many of equal size; at least 1."""
    return max(1.0, worth - 1)


# ---------------------------------------------------------------- paired differences


def contrasts(
    values: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    weights: Mapping[str, npt.ArrayLike],
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
    joint: bool = True,
    bounded: bool = True,
) -> dict[str, Interval]:
    """Intervals for weighted sums of arm means, simultaneous or each alone.

    Joint: all intervals of the family hold together with probability `level`. Not joint: each holds with probability
    `level`, whatever else is in the family. Wild cluster bootstrap-t with Rademacher signs, one sign a group for the
    whole family, both with the residuals and (the null imposed) with the group sums; the critical value is the largest
    of the two quantiles of |t| (joint: of max |t|) and Student's t. Below `BOOTSTRAP_GROUPS` groups a joint one is at
    least Bonferroni's t.

    Of bounded scores, an end that decides the sign has a bound for what the sample may hide (`_doubted`): rare large
    losses behind many small gains, of which the standard error knows nothing. The other end has an exact bound under
    it where fewer than `SPARSE_GROUPS` groups differ: no more than the upper Clopper-Pearson bound of the share of
    groups that show a gain can be gained, and likewise lost. Where no group differs from the mean at all (the standard
    error is 0), what was not seen may still be there in a share 1 − ((1 − level)/2)^(1/groups) of them. Joint bounds
    are Bonferroni's.

    Args:
        values: Scores, shape (questions, arms); NaN where there is none.
        groups: Integer group of each question, shape (questions,); None: every question stands alone.
        weights: Name → weight of every arm, for example ``[-1, 1, 0]``.
        level: Coverage wanted.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.
        joint: The whole family at once, or each member alone.
        bounded: The values are scores in [0, 1]; False for seconds and other quantities without bounds.

    Raises:
        StudyError: a contrast has no question where all its arms have a score, or a bounded value lies outside 0 to 1.
    """
    matrix = np.asarray(values, dtype=float)
    if bounded:
        _refuse_outside(matrix[np.isfinite(matrix)])
    family = _family(matrix, _labels(groups, len(matrix)), weights)
    live = family.live
    critical, p = np.full(len(weights), math.inf), np.ones(len(weights))
    drawn = np.full((1, len(weights)), math.nan)
    if live.any():
        critical[live], p[live] = _critical(family, level=level, resamples=resamples, seed=seed, joint=joint)
        drawn = _resampled_t(family, resamples=resamples, seed=seed) if bounded else drawn
    members = len(weights) if joint else 1
    out = {}
    for column, name in enumerate(weights):
        mean, se = float(family.mean[column]), float(family.se[column]) if live[column] else 0.0
        low, high = -math.inf, math.inf
        if bounded:
            ends = mean - float(critical[column]) * se, mean + float(critical[column]) * se, float(p[column])
            low, high, p[column] = _bounded_ends(
                family, column, drawn[:, column], ends=ends, level=level, members=members
            )
        elif live[column]:
            low, high = _snapped(mean - critical[column] * se), _snapped(mean + critical[column] * se)
        out[name] = Interval(
            mean=mean,
            low=low,
            high=high,
            se=se,
            n=int(family.counts[:, column].sum()),
            groups=int(family.present[column]),
            worth=float(family.worth[column]),
            critical=float(critical[column]),
            p=float(p[column]),
            seen=(float(family.seen[column, 0]), float(family.seen[column, 1])),
            degenerate=bool(family.alike[column]),
        )
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Weighted sums of scores by group: arrays of shape (groups, contrasts), or (contrasts,)."""

    sums: Array
    counts: Array
    present: Any
    """Groups used."""
    worth: Array
    mean: Array
    se: Array
    live: Any
    """Is there variation between groups?"""
    alike: Any
    """Is the difference 0 on every question?"""
    reach: Array
    """Least and greatest possible difference, shape (contrasts, 2)."""
    seen: Array
    """Least and greatest difference of a question, shape (contrasts, 2)."""


def _family(matrix: Array, labels: Groups, weights: Mapping[str, npt.ArrayLike]) -> _Family:
    total = int(labels.max()) + 1 if len(labels) else 0  # groups
    sums, counts = np.zeros((total, len(weights))), np.zeros((total, len(weights)))
    reach, seen, alike = np.zeros((len(weights), 2)), np.zeros((len(weights), 2)), np.zeros(len(weights), dtype=bool)
    for column, (name, coefficients) in enumerate(weights.items()):
        weight = np.asarray(coefficients, dtype=float)
        used = matrix[:, weight != 0]  # (questions, arms of the contrast)
        whole = np.isfinite(used).all(axis=1)  # a pair counts only where both arms have a score
        if not whole.any():
            raise StudyError(
                f"no question has a score in every arm of {name!r}", cure="Look at the failures of these arms."
            )
        difference = used[whole] @ weight[weight != 0]  # (questions,)
        sums[:, column] = np.bincount(labels[whole], difference, total)
        counts[:, column] = np.bincount(labels[whole], minlength=total)
        reach[column] = (weight[weight < 0].sum(), weight[weight > 0].sum())
        seen[column] = (difference.min(), difference.max())
        alike[column] = bool((np.abs(difference) <= _TINY).all())
    n, present = counts.sum(axis=0), (counts > 0).sum(axis=0)  # (contrasts,)
    mean = sums.sum(axis=0) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(present / (present - 1) * ((sums - mean * counts) ** 2).sum(axis=0)) / n
    return _Family(
        sums=sums,
        counts=counts,
        present=present,
        worth=n**2 / (counts**2).sum(axis=0),
        mean=mean,
        se=se,
        live=(present > 1) & (se > _TINY * np.maximum(1, np.abs(mean))),
        alike=alike,
        reach=reach,
        seen=seen,
    )


def _critical(family: _Family, *, level: float, resamples: int, seed: int, joint: bool) -> tuple[Array, Array]:
    """Half width / standard error, and p, of every contrast with variation."""
    live = family.live
    sums, counts, present = family.sums[:, live], family.counts[:, live], family.present[live]
    seen = np.abs(family.mean[live]) / family.se[live]
    # All contrasts share their signs, so one alone has the same interval whatever else is in its family.
    drawn = [
        _all_t(data, counts, present, resamples=resamples, seed=seed)
        for data in (sums - family.mean[live] * counts, sums)
    ]
    freedom = np.array([_freedom(worth) for worth in family.worth[live]])
    members = np.ones(len(seen))
    if joint:
        drawn = [t.max(axis=1, keepdims=True) for t in drawn]  # (resamples, 1): the largest |t| of the family
        freedom[:] = freedom.min()
        if present.min() < BOOTSTRAP_GROUPS:
            members[:] = len(seen)
    least = [t_quantile(1 - (1 - level) / (2 * m), f) for m, f in zip(members, freedom, strict=True)]
    student = [min(1.0, 2 * m * (1 - t_below(t, f))) for t, f, m in zip(seen, freedom, members, strict=True)]
    # No p is below 2^(1 - groups), the chance that all have one sign: few draws may show less.
    finest = 2.0 ** (1.0 - (np.full(len(seen), present.min()) if joint else present))
    most = [np.where(finest > 1 - level, t.max(axis=0), draws.quantile(t, level)) for t in drawn]
    beyond = [np.maximum((t >= seen - 1e-9).mean(axis=0), finest) for t in drawn]
    wide, chance = np.stack([np.array(least), *most]), np.stack([np.array(student), *beyond])
    return wide.max(axis=0), chance.max(axis=0)


def _bounded_ends(
    family: _Family, column: int, drawn: Array, *, ends: tuple[float, float, float], level: float, members: int
) -> tuple[float, float, float]:
    """Ends of a contrast of scores in [0, 1], with exact bounds under them, and p."""
    mean, worth, (least, most) = float(family.mean[column]), float(family.worth[column]), family.reach[column].tolist()
    tail = (1 - level) / 2 / members
    sums, counts = family.sums[:, column], family.counts[:, column]
    if family.live[column]:
        low, high, p = _doubted(family, column, drawn, ends=ends, level=level, members=members) if mean else ends
        low, high = max(least, _snapped(low)), min(most, _snapped(high))
        if (np.abs(sums) > _TINY).sum() < SPARSE_GROUPS:
            low = min(low, least * _share_above(-sums, counts, worth, tail)) if low <= 0 else low
            high = max(high, most * _share_above(sums, counts, worth, tail)) if high >= 0 else high
        return low, high, p
    if family.present[column] < 2:
        return least, most, 1.0
    unseen = 1 - tail ** (1 / worth)
    seen = mean / (mean - least) if mean > 0 else mean / (mean - most)  # share of opposite groups that makes the mean 0
    p = min(1.0, 2 * members * (1 - seen) ** worth)
    return mean - unseen * (mean - least), mean + unseen * (most - mean), p


def _snapped(end: float) -> float:
    """0 where rounding alone, of which large critical values make more, tells the end from 0: it shows no sign."""
    return float(end) if abs(end) > 1e-9 else 0.0


def _share_above(sums: Any, counts: Any, worth: float, tail: float) -> float:
    """Clopper-Pearson's upper bound of the share of groups above 0, as groups of equal size (Korn & Graubard 1998)."""
    above, present = sums > _TINY, counts > 0
    share = max(float(counts[above].sum() / counts.sum()), float(above.sum() / present.sum()))
    return binomial_upper(share * worth, worth, 1 - tail)


def _all_t(data: Array, counts: Array, present: Any, *, resamples: int, seed: int) -> Array:
    """|t| in `resamples` sign-flipped worlds, shape (resamples, columns); `data`, `counts`: shape (groups, columns)."""
    total = counts.sum(axis=0)
    squares, cross, sizes = (data**2).sum(axis=0), data * counts, (counts**2).sum(axis=0)  # a sign's square is 1
    factor = present / (present - 1)
    out = []
    for signs in draws.signs(len(data), resamples=resamples, seed=seed):
        mean = signs @ data / total  # (resamples, columns)
        variance = factor * np.maximum(squares - 2 * mean * (signs @ cross) + mean**2 * sizes, 0) / total**2
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(mean) / np.sqrt(variance)  # (resamples, columns)
        # A world in which every group agrees has variance 0 and says nothing finite: as large as any.
        out.append(
            np.where(variance > _TINY * np.maximum(mean**2, _TINY), t, np.where(np.abs(mean) > _TINY, np.inf, 0))
        )
    return np.concatenate(out)


def _doubted(
    family: _Family, column: int, drawn: Array, *, ends: tuple[float, float, float], level: float, members: int
) -> tuple[float, float, float]:
    """Ends and p, no surer of the sign than what the sample may hide lets them be.

    Many small gains and, rarely, a large loss: a sample that met the loss seldom or never has too high a mean and too
    small a standard error at once, and Student's interval errs in up to a third of such samples. So the end that
    decides the sign is at most

    - the mean with a share of questions as large as may be unseen (1 − tail^(1/size)) lost wholly, weighed by how much
      worse than the worst loss seen that is: where whole losses were seen, nothing is hidden. `size` is what the
      questions are worth where two of a group are lost together with the correlation `TOGETHER`;
    - the bootstrap-t end of groups drawn with replacement, which has the skewness of the sample (Hall 1988): where few
      losses carry it, many draws have none of them. Where that has no end, the mean with all of that share lost.
      Not below `BOOTSTRAP_GROUPS` groups.
    """
    low, high, p = ends
    mean, se, worth = float(family.mean[column]), float(family.se[column]), float(family.worth[column])
    sign = 1 if mean > 0 else -1
    most, worst = (sign * float(side[column, 0 if sign > 0 else 1]) for side in (family.reach, family.seen))
    gain, tail = abs(mean), (1 - level) / 2
    spared = 1 - min(1.0, max(0.0, worst / most))
    n = float(family.counts[:, column].sum())
    size, unseen = _worth_alone(n, worth), hidden_share(n, worth, tail / members) * (gain - most)

    def chance(loss: float) -> float:  # of seeing none of the share whose loss, so large each, would undo the gain
        return float(min(1.0, 2 * members * max(0.0, 1 - gain / max(loss, _TINY)) ** size))

    end, p = gain - unseen * spared, max(p, chance((gain - most) * spared))
    if family.present[column] >= BOOTSTRAP_GROUPS:
        t = sign * drawn
        end = min(end, max(gain - float(draws.quantile(t, 1 - tail)) * se, gain - unseen))
        p = max(p, min(2 * float((t >= gain / se - 1e-9).mean()), chance(gain - most)))
    return (min(low, end), high, p) if sign > 0 else (low, max(high, -end), p)


def _worth_alone(n: float, worth: float) -> float:
    """How many questions standing alone are worth `n` of which two of a group have `TOGETHER` in common (Kish 1965)."""
    return n / (1 + (n / worth - 1) * TOGETHER)


def hidden_share(n: float, worth: float, tail: float) -> float:
    """Share of all questions of which, with the probability `tail`, none is among `n`.

    Args:
        n: Questions asked.
        worth: Groups of equal size that they are worth.
        tail: Probability.
    """
    return float(1 - tail ** (1 / _worth_alone(n, worth)))


def _resampled_t(family: _Family, *, resamples: int, seed: int) -> Array:
    """Student's t around the mean, of groups drawn with replacement; shape (resamples, contrasts)."""
    sums, counts, factor = family.sums, family.counts, family.present / np.maximum(family.present - 1, 1)
    squares, cross, sizes = sums**2, sums * counts, counts**2
    out = []
    for times in draws.times(len(sums), resamples=resamples, seed=seed):
        n = times @ counts  # (resamples, contrasts): questions drawn, which differ where groups do
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = times @ sums / n
            variance = factor * np.maximum(times @ squares - 2 * mean * (times @ cross) + mean**2 * (times @ sizes), 0)
            t = (mean - family.mean) * n / np.sqrt(variance)
        # A draw in which every group agrees has variance 0: as far from the mean as any.
        flat = ~(variance > _TINY * np.maximum(mean**2, _TINY) * n**2)
        out.append(np.where(flat, np.where(mean == family.mean, 0.0, np.copysign(np.inf, mean - family.mean)), t))
    return np.concatenate(out)


def pairs(arms: Sequence[str]) -> dict[str, Array]:
    """Weights of all ``A - B`` with B before A in `arms` (order them from simple to complex)."""
    out = {}
    for later in range(len(arms)):
        for earlier in range(later):
            weight = np.zeros(len(arms))
            weight[later], weight[earlier] = 1.0, -1.0
            out[f"{arms[later]} - {arms[earlier]}"] = weight
    return out


def factorial(arms: Sequence[str], *, base: str, rag: str, ft: str, both: str) -> dict[str, Array]:
    """Weights of the 2 × 2 effects: ``retrieval``, ``tuning`` (main effects) and ``interaction``.

    retrieval = ((rag − base) + (both − ft)) / 2; tuning = ((ft − base) + (both − rag)) / 2;
    interaction = (both − ft) − (rag − base).
    """
    place = {name: index for index, name in enumerate(arms)}

    def weight(**signs: float) -> Array:
        out = np.zeros(len(arms))
        for key, name in (("b", base), ("r", rag), ("f", ft), ("fr", both)):
            out[place[name]] = signs[key]
        return out

    return {
        "retrieval": weight(b=-0.5, r=0.5, f=-0.5, fr=0.5),
        "tuning": weight(b=-0.5, r=-0.5, f=0.5, fr=0.5),
        "interaction": weight(b=1, r=-1, f=-1, fr=1),
    }


# ---------------------------------------------------------------- preparation


def _labels(groups: npt.ArrayLike | None, n: int) -> Groups:
    if groups is None:
        return np.arange(n)
    labels = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64).reshape(-1)
    if len(labels) != n:
        raise StudyError(f"{n} questions but {len(labels)} groups", cure="Give one group for every question.")
    return labels


def _refuse_outside(values: Array) -> None:
    """Bounded scores lie in [0, 1], but for rounding.

    Raises:
        StudyError: one does not.
    """
    outside = values[(values < -_TINY) | (values > 1 + 1e-9)]
    if len(outside):
        raise StudyError(
            f"the score {float(outside[0]):g} lies outside 0 to 1",
            cure="Correct the metric: every metric scores from 0 to 1. Pass `bounded=False` for other quantities.",
        )


def _clean(values: npt.ArrayLike, groups: npt.ArrayLike | None) -> tuple[Array, Groups]:
    x = np.asarray(values, dtype=float).reshape(-1)
    labels = _labels(groups, len(x))
    keep = np.isfinite(x)
    return x[keep], np.unique(labels[keep], return_inverse=True)[1].astype(np.int64).reshape(-1)


def standard_error(residuals: Array, n: int) -> float:
    """Cluster-robust standard error of a mean (Cameron & Miller 2015), with the factor G / (G − 1) for G groups.

    Args:
        residuals: Sum of the residuals of each group, shape (groups,), of two groups or more.
        n: Values in all.
    """
    count = len(residuals)
    return math.sqrt(count / (count - 1) * float((residuals**2).sum())) / n
