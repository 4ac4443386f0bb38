"""Means of amounts (tokens, seconds, wrong answers) of questions in groups, and whatever is linear in them. Pure.

A cost is a weighted sum of such means. With their covariance its interval follows for any weights, for one arm or for
the difference of two, without looking at the questions again: that is what a record keeps and what a page's sliders
need. The covariance is cluster-robust with the factor G / (G − 1) (Cameron & Miller 2015), G the groups that have the
amount; degrees of freedom are Kish's number of all groups less one, as in `intervals`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.stats.distributions import t_quantile
from twofold.stats.intervals import Array, kish


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A mean amount with its interval; an end that nothing tells is infinite."""

    mean: float
    low: float
    high: float

    def plus(self, constant: float) -> Amount:
        """The same with a known amount added."""
        return Amount(mean=self.mean + constant, low=self.low + constant, high=self.high + constant)

    @property
    def natural(self) -> Amount:
        """The same for what cannot be negative: tokens, seconds, money; an end that nothing tells stays infinite."""
        return Amount(mean=self.mean, low=max(0.0, self.low) if math.isfinite(self.low) else self.low, high=self.high)

    def within(self, low: float, high: float) -> Amount:
        """The same with ends kept to what is possible; an end that nothing tells stays infinite."""
        least = max(low, self.low) if math.isfinite(self.low) else self.low
        most = min(high, self.high) if math.isfinite(self.high) else self.high
        return Amount(mean=self.mean, low=least, high=most)

    def times(self, factor: float) -> Amount:
        """The same, so many times; `factor` is not negative."""
        # 0 × ∞ is no number: nothing of an amount is nothing.
        low, high = (self.low * factor, self.high * factor) if factor else (0.0, 0.0)
        return Amount(mean=self.mean * factor, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Means of several amounts with their joint covariance."""

    means: Array
    """Shape (amounts,)."""
    covariance: Array
    """Of the means, shape (amounts, amounts); NaN where nothing tells it, as of an amount that one group alone has."""
    worth: float
    """How many groups of equal size the groups are worth (`intervals.kish`); of one there is no interval."""

    def critical(self, level: float) -> float:
        """Half width of an interval over the standard error; infinite where one group is all there is."""
        return t_quantile(0.5 + level / 2, self.worth - 1) if self.worth > 1 else math.inf

    def sum(self, weights: npt.ArrayLike, *, level: float) -> Amount:
        """The weighted sum of the means with its interval at `level`; `weights` has shape (amounts,)."""
        w = np.asarray(weights, dtype=float)
        used = np.flatnonzero(w)  # an amount that no question has is NaN, and must not spoil a sum without it
        if not len(used):
            return Amount(mean=0.0, low=0.0, high=0.0)
        mean = float(w[used] @ self.means[used])
        variance = float(w[used] @ self.covariance[np.ix_(used, used)] @ w[used])
        if not self.worth > 1 or math.isnan(variance):
            return Amount(mean=mean, low=-math.inf, high=math.inf)
        # Rounding may leave a variance just below 0, of a difference of two arms that are alike.
        half = self.critical(level) * math.sqrt(max(0.0, variance))
        return Amount(mean=mean, low=mean - half, high=mean + half)


def moments(values: npt.ArrayLike, groups: Sequence[str] | npt.NDArray[np.int64]) -> Moments:
    """Means and covariance of amounts.

    Args:
        values: Shape (questions, amounts); NaN where a question has no such amount, which is then in no mean of it.
        groups: Group of each question.
    """
    x = np.asarray(values, dtype=float)  # (questions, amounts)
    labels = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)  # (questions,)
    present = np.isfinite(x)
    counts = present.sum(axis=0)  # (amounts,)
    means = np.where(counts > 0, np.where(present, x, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    residuals = np.where(present, x - means, 0.0) / np.maximum(counts, 1)  # (questions, amounts)
    number = int(labels.max()) + 1 if len(labels) else 0
    sums = np.zeros((number, x.shape[1]))  # (groups, amounts)
    np.add.at(sums, labels, residuals)
    having = np.zeros_like(sums)
    np.add.at(having, labels, present.astype(float))
    there = (having > 0).sum(axis=0)  # (amounts,)
    # One group does not show how groups differ: its residuals add up to 0, which is no variance of 0.
    factor = np.where(there > 1, np.sqrt(there / np.maximum(there - 1, 1)), np.nan)
    covariance = np.outer(factor, factor) * (sums.T @ sums)
    return Moments(means=means, covariance=covariance, worth=kish(np.bincount(labels)) if number else 0.0)
