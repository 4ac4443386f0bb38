"""Two samples of vectors: do they come from one distribution? Pure; numpy only.

The maximum mean discrepancy (Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, JMLR 13) with a Gaussian kernel whose
width is the median distance of the pooled sample. Its p-value comes from permutations of the labels, so that the error
rate is the stated one at any sample size (Lehmann & Romano 2005, 15.2): the share of permutations, the observed
labels among them, with at least the observed discrepancy. Of the alternatives, a classifier's accuracy (Lopez-Paz &
Oquab 2017) spends half of the sample on training, and the energy distance is the same statistic with another kernel
(Sejdinovic et al. 2013).

How far two samples differ is told by `Compared.auc`: of a point of each sample, the probability that the mean
similarity to the others of the samples tells which is which; .5 says that nothing does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison of two samples says."""

    p: float
    """Of the hypothesis that both come from one distribution."""
    discrepancy: float
    """The squared maximum mean discrepancy, biased (never negative)."""
    auc: float
    """Probability that a point's similarities tell its sample, each point left out of the sample it is compared with;
    .5: nothing tells them apart."""


def compared(first: npt.ArrayLike, second: npt.ArrayLike, *, permutations: int = 1999, seed: int = 0) -> Compared:
    """Compare two samples of vectors.

    Args:
        first: Shape (n, dimension), n at least 2.
        second: Shape (m, dimension), m at least 2.
        permutations: Number of random labellings; a p-value is at least 1 / (permutations + 1).
        seed: Of the labellings.

    Raises:
        ValueError: a sample has fewer than two vectors.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    n, m = len(x), len(y)
    if n < 2 or m < 2:
        raise ValueError(f"two samples of at least 2 vectors are needed, not of {n} and {m}")
    kernel = _gaussian(np.concatenate([x, y]))  # (n + m, n + m)
    chance = np.random.default_rng(seed)
    # Each row a labelling: 1/n for members of the first sample, -1/m for those of the second. The first row is ours.
    weights = np.full((permutations + 1, n + m), -1 / m)
    weights[0, :n] = 1 / n
    for row in range(1, permutations + 1):
        weights[row, chance.permutation(n + m)[:n]] = 1 / n
    discrepancies = ((weights @ kernel) * weights).sum(axis=1)
    # Labellings that are the same but for the order of additions count as equal.
    reached = discrepancies >= discrepancies[0] - 1e-12
    return Compared(
        p=float(reached.mean()), discrepancy=max(0.0, float(discrepancies[0])), auc=_told_apart(kernel, n=n)
    )


def _gaussian(points: Array) -> Array:
    """Similarities of all points: exp(−d² / 2σ²), σ the median distance of two different points."""
    squares = (points**2).sum(axis=1)
    distances = np.maximum(0.0, squares[:, None] + squares[None, :] - 2 * points @ points.T)
    upper = distances[np.triu_indices(len(points), 1)]
    apart = upper[upper > 1e-12]
    # All points are one: every labelling has the discrepancy 0.
    width = float(np.median(apart)) if len(apart) else 1.0
    similarities: Array = np.exp(-distances / (2 * width))
    return similarities


def _told_apart(kernel: Array, *, n: int) -> float:
    """Area under the curve of the difference of each point's mean similarities to the first and the second sample."""
    m = len(kernel) - n
    bare = kernel - np.diag(np.diag(kernel))  # no point is compared with itself
    to_first, to_second = bare[:, :n].sum(axis=1), bare[:, n:].sum(axis=1)
    scores = np.empty(n + m)
    scores[:n] = to_first[:n] / (n - 1) - to_second[:n] / m
    scores[n:] = to_first[n:] / n - to_second[n:] / (m - 1)
    above = (scores[:n, None] > scores[None, n:]).mean()
    level = (scores[:n, None] == scores[None, n:]).mean()
    return float(above + level / 2)
