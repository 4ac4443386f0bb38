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

Values that come one after the other, each with a mean of at most `tolerated` given those before, may be cut into blocks
anywhere: one of a single value each, or some values at a time (`MeanDetector.after`). Both forms are `advanced`, with
the same stakes.

How soon a change is found depends on how far the mean lies above `tolerated`: about log(A) / KL(mean ‖ tolerated)
values for values of 0 and 1 (Lorden 1971), and a little more for not knowing the mean; `bench/watch_alarm.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from twofold.types import Json

Array = npt.NDArray[np.float64]
STAKES: Array = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7])
"""Shares of the wealth that are staked, each by a bet of its own: small ones find small rises, large ones large."""
WINDOW = 200
"""Values by whose mean an alarm is over."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDetector:
    """The detector of one signal after a look, with the latest values, by which an alarm is over."""

    wealth: tuple[float, ...] = START
    alarm: bool = False
    recent: tuple[tuple[float, int], ...] = ()
    """Sum and number of the values of the latest looks, `WINDOW` values or more where there are so many."""

    @property
    def statistic(self) -> float:
        """The mean wealth; an alarm from the stated run length on."""
        return statistic(self.wealth)

    @property
    def window(self) -> tuple[float, int]:
        """Sum and number of the latest values."""
        return sum(total for total, _ in self.recent), sum(n for _, n in self.recent)

    def after(self, values: npt.ArrayLike, *, tolerated: float, run_length: float, block: int = 0) -> MeanDetector:
        """After one more look; an alarm is over, and the bets start anew, once the latest values are `tolerated`.

        Args:
            values: Of the look, in [0, 1], shape (values,); without values nothing changes.
            tolerated: Mean of the null hypothesis.
            run_length: Values after which a false alarm is expected at the earliest.
            block: 0, per look: the look is one block, as values need that were drawn together without replacement.
                Else, per value: values in their order, so many in a block, so that a rise within a long look is not
                diluted by what came before it.
        """
        seen = np.asarray(values, dtype=float)
        if not len(seen):
            return self
        recent = [*self.recent, (float(seen.sum()), len(seen))]
        while sum(n for _, n in recent[1:]) >= WINDOW:
            recent.pop(0)
        latest = replace(self, recent=tuple(recent))
        total, n = latest.window
        if self.alarm and n >= WINDOW and total / n <= tolerated:
            return MeanDetector(recent=latest.recent)
        wealth, alarm, size = self.wealth, self.alarm, block or len(seen)
        for start in range(0, len(seen), size):
            wealth = advanced(wealth, seen[start : start + size], tolerated=tolerated)
            alarm = alarm or statistic(wealth) >= run_length
        return replace(latest, wealth=wealth, alarm=alarm)

    def to_json(self) -> Json:
        """For a monitor's state."""
        return {"wealth": list(self.wealth), "alarm": self.alarm, "recent": [list(pair) for pair in self.recent]}

    @classmethod
    def from_json(cls, record: Json) -> MeanDetector:
        """What `to_json` wrote, among other things perhaps."""
        recent = tuple((total, n) for total, n in record["recent"])
        return cls(wealth=tuple(record["wealth"]), alarm=record["alarm"], recent=recent)
