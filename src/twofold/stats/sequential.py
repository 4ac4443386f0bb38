"""Has a mean risen, watched for ever? An e-detector with a stated time to a false alarm. Pure; numpy only.

Values lie in [0, 1]; the null hypothesis is that their mean, given all that came before, is at most `tolerated`. A bet
with stake λ multiplies its wealth by 1 + λ (x / tolerated − 1) at each value x, which has a mean of at most 1 under the
null. A detector starts such a bet anew at every look and adds them up (Shiryaev–Roberts form of the e-detectors of
Shin, Ramdas & Rinaldo 2023, New England Journal of Statistics in Data Science 2:229):

    W_b = (W_{b−1} + n_b) · Π_{i in look b} (1 + λ (x_i / tolerated − 1))

for a look b of n_b values. Then W_b − (n_1 + … + n_b) is a supermartingale, so at the first look with W_b ≥ A the
expected number of values is at least A, whatever the distribution of the values: A is the average run length to a false
alarm. Looks are blocks, since values of one look are drawn without replacement from what is watched: such values are
negatively associated (Joag-Dev & Proschan 1983), so the product's mean is still at most 1, though that of a single
factor, given those before it in the look, need not be.

How soon a change is found depends on how far the mean lies above `tolerated`: about log(A) / KL(mean ‖ tolerated)
values for values of 0 and 1 (Lorden 1971), and a little more for not knowing the mean; `bench/watch_alarm.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
STAKES: Array = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7])
"""Shares of the wealth that are staked, each by a bet of its own: small ones find small rises, large ones large."""
_MOST = 700.0
"""Of a logarithm, so that the wealth stays a number."""

START: tuple[float, ...] = (0.0,) * len(STAKES)
"""The wealth of each bet before the first value."""


def advanced(wealth: Sequence[float], values: npt.ArrayLike, *, tolerated: float) -> tuple[float, ...]:
    """The wealth of each bet after a look.

    Args:
        wealth: Of each bet after the look before, shape (stakes,).
        values: Of this look, in [0, 1], shape (values,).
        tolerated: Mean of the null hypothesis, above 0 and below 1.

    Raises:
        ValueError: a value or `tolerated` lies outside its range.
    """
    seen = np.asarray(values, dtype=float)
    if not 0 < tolerated < 1 or np.any((seen < 0) | (seen > 1) | np.isnan(seen)):
        raise ValueError(f"values lie in [0, 1] and what is tolerated between, not {tolerated}")
    if not len(seen):
        return tuple(map(float, wealth))
    # log1p of at least −λ: no stake is 1, so no value ruins a bet for ever.
    factors = np.log1p(STAKES[:, None] * (seen[None, :] / tolerated - 1)).sum(axis=1)
    before = np.log(np.asarray(wealth, dtype=float) + len(seen))
    return tuple(map(float, np.exp(np.minimum(before + factors, _MOST))))


def statistic(wealth: Sequence[float]) -> float:
    """The mean wealth of the bets, which is a detector too; an alarm from the stated run length on."""
    return float(np.mean(wealth))
