"""Means, paired differences and their intervals, for scores that come in groups. Pure; numpy only.

Questions about one document are alike, so the group (`types.Example.group`) is the unit of everything here. A score
matrix has shape (questions, arms); NaN means that there is no score (a failure, or a metric that does not apply). A
difference uses the questions where every arm in it has a score.

Three methods:

- `estimate`: one mean. For scores in [0, 1] a Wilson interval with the effective sample size that the cluster-robust
  standard error implies and Student's t with groups − 1 degrees of freedom (Korn & Graubard 1998; Dean & Pagano 2015):
  it keeps its coverage near 0 and 1, where mean ± 2 standard errors does not.
- `contrasts`: several paired differences with simultaneous intervals, by the quantile of the largest |t| over the
  family in a wild cluster bootstrap-t (Cameron, Gelbach & Miller 2008; Romano & Wolf 2005).
- `mcnemar_exact`, `sign_flip`: exact tests reported beside the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from twofold.errors import StudyError
from twofold.types import Estimate

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
Item = TypeVar("Item")

FEW_GROUPS = 10
"""Below this many groups a bootstrap has too few distinct draws; Bonferroni's t is then the least width."""
_CELLS = 1 << 22
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A paired difference and its simultaneous interval."""

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
    critical: float
    """Half width / standard error; common to the family (but for degenerate members)."""
    degenerate: bool = False
    """No variation to estimate from: the ends are a rule-of-three bound, not a bootstrap."""

    def estimate(self, failed: int = 0) -> Estimate:
        """The same as a record."""
        return Estimate(mean=self.mean, low=self.low, high=self.high, n=self.n, failed=failed)


# ---------------------------------------------------------------- one mean


def estimate(
    values: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
    failed: int = 0,
) -> Estimate:
    """The mean of `values` with a cluster-robust interval.

    Scores in [0, 1] get the modified Wilson interval (see the module); other values (seconds, tokens) mean ± the
    larger of Student's t and the wild cluster bootstrap-t. When all values are equal the effective sample size is the
    number of groups: the interval never has zero width.

    Args:
        values: Shape (questions,); NaN is left out.
        groups: Integer group of each question, same shape; None: every question stands alone.
        level: Coverage wanted.
        resamples: Bootstrap draws (values outside [0, 1] only).
        seed: Of the bootstrap.
        failed: Failed answers, carried into the record and into no mean.

    Raises:
        StudyError: there is no value at all: no estimate exists, and 0 would be a lie.
    """
    x, g = _clean(values, groups)
    n = len(x)
    if n == 0:
        raise StudyError("there is no scored question to average", cure="Look at the failures: every answer failed.")
    number = int(g.max()) + 1
    mean = float(x.mean())
    sums, counts = np.bincount(g, x, number), np.bincount(g, minlength=number).astype(float)
    bounded = bool(x.min() >= 0 and x.max() <= 1)
    if number == 1:
        low, high = (0.0, 1.0) if bounded else (-math.inf, math.inf)
        return Estimate(mean=mean, low=low, high=high, n=n, failed=failed)
    se = _se(sums - mean * counts, n)
    if bounded:
        low, high = _wilson(mean, max(se, float(x.std(ddof=1)) / math.sqrt(n)), number, level)
    else:
        interval = contrasts(x[:, None], g, {"": np.ones(1)}, level=level, resamples=resamples, seed=seed)[""]
        low, high = interval.low, interval.high
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
        raise StudyError("there is no scored question to average", cure="Look at the failures: every answer failed.")
    _, g = _clean(np.zeros(len(items)), groups)
    number = int(g.max()) + 1
    value = float(function(items))
    if number > 200:
        g = (np.random.default_rng(seed).permutation(number) % 200)[g]
    folds = int(g.max()) + 1
    if folds == 1:
        return Estimate(mean=value, low=min(0.0, value), high=max(1.0, value), n=len(items), failed=failed)
    parts = [[item for item, fold in zip(items, g, strict=True) if fold != left] for left in range(folds)]
    left_out = np.array([float(function(part)) for part in parts])
    se = math.sqrt((folds - 1) / folds * float(((left_out - left_out.mean()) ** 2).sum()))
    if 0 <= value <= 1:
        low, high = _wilson(value, se, folds, level)
    else:
        half = t_quantile(0.5 + level / 2, folds - 1) * se
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
        raise StudyError("there is no value to take a quantile of", cure="Look at the failures: every answer failed.")
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
    odds = [k * math.log(share) + (n - k) * math.log1p(-share) for k in range(n + 1)]
    below = np.cumsum(np.exp(np.add(logs, odds)))  # below[k]: probability that at most k values lie below the quantile
    lower = int((below <= tail).sum())  # the largest rank whose value lies above the quantile in at most `tail`
    upper = int((below < 1 - tail - 1e-12).sum()) + 1
    low = float(x[lower - 1]) if lower >= 1 else None
    high = float(x[upper - 1]) if upper <= n else None
    return float(np.quantile(x, share)), low, high


def least_for_upper_end(share: float, *, level: float = 0.95) -> int:
    """How many values an upper end of `quantile_interval` needs: 72 for the 95th percentile at 95 %."""
    return math.ceil(math.log((1 - level) / 2) / math.log(share) - 1e-9)


def _wilson(mean: float, se: float, groups: int, level: float) -> tuple[float, float]:
    """Wilson's interval with effective sample size mean(1 − mean)/se² and t with groups − 1 degrees of freedom."""
    critical = t_quantile(0.5 + level / 2, groups - 1)
    spread = mean * (1 - mean)
    size = spread / se**2 if se > _TINY and spread > _TINY else float(groups)
    centre = (mean + critical**2 / (2 * size)) / (1 + critical**2 / size)
    half = critical / (1 + critical**2 / size) * math.sqrt(spread / size + critical**2 / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


# ---------------------------------------------------------------- paired differences


def contrasts(
    values: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    weights: Mapping[str, npt.ArrayLike],
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Simultaneous intervals for a family of weighted sums of arm means.

    All intervals of the family hold together with probability `level`. Wild cluster bootstrap-t with Rademacher
    signs, one sign a group for the whole family, both with the residuals and (the null imposed) with the group sums;
    the critical value is the largest of the two quantiles of max |t| and Student's t with groups − 1 degrees of
    freedom. Below `FEW_GROUPS` groups it is at least Bonferroni's t.

    A member without variation (two arms that score alike on every question) has a standard error of 0 and no t. Its
    interval is a rule of three on groups: a difference not seen in G groups may still be there in a share
    1 − (1 − level)^(1/G) of them (Hanley & Lippman-Hand 1983). It is marked `degenerate`.

    Args:
        values: Scores, shape (questions, arms); NaN where there is none.
        groups: Integer group of each question, shape (questions,); None: every question stands alone.
        weights: Name → weight of every arm, for example ``[-1, 1, 0]``.
        level: Joint coverage wanted.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.

    Raises:
        StudyError: a contrast has no question where all its arms have a score.
    """
    matrix = np.asarray(values, dtype=float)
    labels = _labels(groups, len(matrix))
    total = int(labels.max()) + 1 if len(labels) else 0
    names = list(weights)
    sums, counts = np.zeros((total, len(names))), np.zeros((total, len(names)))
    reach = np.zeros((len(names), 2))
    finite = matrix[np.isfinite(matrix)]
    bounded = bool(len(finite) and finite.min() >= 0 and finite.max() <= 1)
    for column, name in enumerate(names):
        weight = np.asarray(weights[name], dtype=float)
        used = matrix[:, weight != 0]
        whole = np.isfinite(used).all(axis=1)
        if not whole.any():
            raise StudyError(
                f"no question has a score in every arm of {name!r}", cure="Look at the failures of these arms."
            )
        sums[:, column] = np.bincount(labels[whole], used[whole] @ weight[weight != 0], total)
        counts[:, column] = np.bincount(labels[whole], minlength=total)
        reach[column] = (weight[weight < 0].sum(), weight[weight > 0].sum()) if bounded else (-math.inf, math.inf)
    n = counts.sum(axis=0)
    present = (counts > 0).sum(axis=0)
    mean = sums.sum(axis=0) / n
    residual = sums - mean * counts
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(present / (present - 1) * (residual**2).sum(axis=0)) / n
    live = (present > 1) & (se > _TINY * np.maximum(1, np.abs(mean)))
    least = int(present.min())
    critical = math.inf
    if live.any():
        alpha = 1 - level
        critical = t_quantile(1 - alpha / 2, least - 1) if least > 1 else math.inf
        drawn = (residual[:, live], sums[:, live])
        for data in drawn:
            top = _largest_t(data, counts[:, live], present[live], resamples=resamples, seed=seed)
            critical = max(critical, float(np.quantile(top, level, method="higher")))
        if least < FEW_GROUPS and least > 1:
            critical = max(critical, t_quantile(1 - alpha / (2 * int(live.sum())), least - 1))
    out = {}
    for column, name in enumerate(names):
        low, high = reach[column]
        if live[column]:
            half = critical * float(se[column])
        elif present[column] > 1 and bounded:
            half = float(high - low) / 2 * (1 - (1 - level) ** (1 / int(present[column])))
        else:
            half = math.inf
        out[name] = Interval(
            mean=float(mean[column]),
            low=float(max(low, mean[column] - half)),
            high=float(min(high, mean[column] + half)),
            se=float(se[column]) if live[column] else 0.0,
            n=int(n[column]),
            groups=int(present[column]),
            critical=critical,
            degenerate=not bool(live[column]),
        )
    return out


def _largest_t(data: Array, counts: Array, present: Any, *, resamples: int, seed: int) -> Array:
    """Max over columns of |t| in `resamples` sign-flipped worlds; `data` and `counts` have shape (groups, columns)."""
    rng = np.random.default_rng(seed)
    total = counts.sum(axis=0)
    squares, cross, sizes = (data**2).sum(axis=0), data * counts, (counts**2).sum(axis=0)
    factor = present / (present - 1)
    out = []
    step = max(1, min(resamples, _CELLS // max(1, len(data))))
    for start in range(0, resamples, step):
        signs = rng.integers(0, 2, (min(step, resamples - start), len(data)), dtype=np.int8).astype(float) * 2 - 1
        mean = signs @ data / total
        variance = factor * np.maximum(squares - 2 * mean * (signs @ cross) + mean**2 * sizes, 0) / total**2
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(mean) / np.sqrt(variance)
        # A world in which every group agrees has variance 0 and says nothing finite: as large as any.
        t = np.where(variance > _TINY * np.maximum(mean**2, _TINY), t, np.where(np.abs(mean) > _TINY, np.inf, 0.0))
        out.append(t.max(axis=1))
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


# ---------------------------------------------------------------- exact tests


def mcnemar_exact(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Two-sided exact McNemar test: p-value that paired 0/1 scores differ (binomial on the discordant pairs).

    Pairs with a NaN are left out. Assumes that questions are independent; with groups use `sign_flip`.
    """
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    more, less = int((left > right).sum()), int((left < right).sum())
    n, k = more + less, min(more, less)
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def sign_flip(
    differences: npt.ArrayLike, groups: npt.ArrayLike | None = None, *, seed: int = 0, draws: int = 10_000
) -> float:
    """Two-sided p-value of a cluster sign-flip permutation test that the mean difference is 0.

    Whole groups change sign together. Exact (all 2^G patterns) up to 12 groups; otherwise Monte-Carlo with the
    observed pattern counted in, so that p is never 0 and the test never anti-conservative (Phipson & Smyth 2010).
    """
    x, g = _clean(differences, groups)
    if len(x) == 0:
        return 1.0
    sums = np.bincount(g, x)
    sums = sums[np.abs(sums) > _TINY]
    size = len(sums)
    seen = abs(float(sums.sum())) - 1e-9 * max(1.0, float(np.abs(sums).sum()))
    if size == 0:
        return 1.0
    if size <= 12:
        patterns = (np.arange(1 << size)[:, None] >> np.arange(size) & 1) * 2.0 - 1
        return float((np.abs(patterns @ sums) >= seen).mean())
    rng = np.random.default_rng(seed)
    extreme, step = 0, max(1, _CELLS // size)
    for start in range(0, draws, step):
        signs = rng.integers(0, 2, (min(step, draws - start), size), dtype=np.int8).astype(float) * 2 - 1
        extreme += int((np.abs(signs @ sums) >= seen).sum())
    return (extreme + 1) / (draws + 1)


# ---------------------------------------------------------------- planning


def detectable_difference(
    groups: int,
    per_group: float,
    spread: float,
    *,
    arms: int,
    level: float = 0.95,
    power: float = 0.8,
    icc: float = 0.1,
) -> float:
    """The true difference between two arms that a study of this size finds with probability `power`.

    Args:
        groups: Independent groups in the test split.
        per_group: Questions per group.
        spread: Standard deviation of one question's paired difference (about .4 to .5 for token F1).
        arms: Arms compared; the interval is simultaneous over all pairs (Šidák).
        level: Joint level.
        power: Probability of finding it.
        icc: Intra-class correlation of differences within a group.

    Returns:
        A difference in the metric; infinity with fewer than 2 groups.
    """
    if groups < 2:
        return math.inf
    family = max(1, arms * (arms - 1) // 2)
    each = level ** (1 / family)
    se = spread * math.sqrt((1 + max(0.0, per_group - 1) * icc) / (groups * per_group))
    return (t_quantile(0.5 + each / 2, groups - 1) + t_quantile(power, groups - 1)) * se


def examples_needed(
    se: float, n: int, difference: float, *, critical: float = 1.96, power: float = 0.8, margin: float = 0.0
) -> int | None:
    """Further examples expected to settle a comparison, from what was seen.

    Settled means: shown different, or shown to be smaller than `margin`, whichever is nearer. The standard error
    falls with the square root of the number of examples.

    Args:
        se: Standard error with `n` examples.
        n: Examples so far.
        difference: The difference seen, taken for true.
        critical: Half width of the interval in standard errors.
        power: Probability of settling it with that many.
        margin: Differences below this do not matter.

    Returns:
        A number from 1 (0 when it is settled already), or None when the difference is so near 0 (and the margin)
        that more than 1000 times the examples would be needed.
    """
    target = max(abs(difference), margin - abs(difference))
    if se <= 0 or abs(difference) >= critical * se or margin - abs(difference) >= critical * se:
        return 0
    if target <= 0 or not math.isfinite(critical):
        return None
    factor = ((critical + NormalDist().inv_cdf(power)) * se / target) ** 2
    return None if factor > 1000 else max(1, math.ceil(n * (factor - 1)))


# ---------------------------------------------------------------- Student's t


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t, by bisection on its distribution function (accurate to 1e-10)."""
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if freedom <= 0:
        return math.inf
    low, high = 0.0, 2.0
    while _t_below(high, freedom) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if _t_below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def binomial_below(count: float, n: float, share: float) -> float:
    """Probability of at most `count` in `n` draws of that share; neither needs to be whole (Korn & Graubard 1998)."""
    return 1.0 if count >= n else 1 - _incomplete_beta(count + 1, n - count, share)


def binomial_upper(count: float, n: float, level: float) -> float:
    """Upper end of the one-sided Clopper-Pearson interval of a share, by bisection (accurate to 1e-10)."""
    if count >= n:
        return 1.0
    low, high = count / n, 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_below(count, n, middle) > 1 - level else (low, middle)
    return high


def _t_below(t: float, freedom: float) -> float:
    return 1 - 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function by Lentz's continued fraction (Press et al., Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 400):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * result / a


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


# ---------------------------------------------------------------- preparation


def _labels(groups: npt.ArrayLike | None, n: int) -> Groups:
    if groups is None:
        return np.arange(n)
    labels = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64).reshape(-1)
    if len(labels) != n:
        raise StudyError(f"{n} questions but {len(labels)} groups", cure="Give one group for every question.")
    return labels


def _clean(values: npt.ArrayLike, groups: npt.ArrayLike | None) -> tuple[Array, Groups]:
    x = np.asarray(values, dtype=float).reshape(-1)
    labels = _labels(groups, len(x))
    keep = np.isfinite(x)
    return x[keep], np.unique(labels[keep], return_inverse=True)[1].astype(np.int64).reshape(-1)


def _se(residuals: Array, n: int) -> float:
    count = len(residuals)
    return math.sqrt(count / (count - 1) * float((residuals**2).sum())) / n
