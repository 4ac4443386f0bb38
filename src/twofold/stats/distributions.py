"""Quantiles and tails of Student's t and of the binomial distribution, without SciPy. Pure."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t (accurate to 1e-9).

    By Newton's steps on its distribution function, which is concave above 0: from the normal quantile, which lies
    below, they rise to the root and never pass it. Of many degrees of freedom by Cornish and Fisher's expansion around
    the normal quantile (Abramowitz & Stegun 26.7.5).
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if freedom <= 0:
        return math.inf
    if freedom > 500:
        z = NormalDist().inv_cdf(probability)
        terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    t = NormalDist().inv_cdf(probability)
    for _ in range(200):
        density = math.exp(scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (probability - t_below(t, freedom)) / density
        t += step
        if step <= 1e-13 * t:
            break
    return t


def binomial_below(count: float, n: float, share: float) -> float:
    """Probability of at most `count` in `n` draws of that share; neither needs to be whole (Korn & Graubard 1998)."""
    return 1.0 if count >= n else 1 - _incomplete_beta(count + 1, n - count, share)


@lru_cache(maxsize=4096)
def binomial_upper(count: float, n: float, level: float) -> float:
    """Upper end of the one-sided Clopper-Pearson interval of a share, by bisection (accurate to 1e-10)."""
    if count >= n:
        return 1.0
    low, high = count / n, 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_below(count, n, middle) > 1 - level else (low, middle)
    return high


def t_below(t: float, freedom: float) -> float:
    """Distribution function of Student's t."""
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
