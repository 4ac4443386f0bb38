"""A stream of values of the traffic beside its reference: has the share of unusual values risen? Pure.

Every signal of the traffic is turned into one question with a yes or no for each answer: did it abstain, was it half
as slow again as nine in ten of the reference, is its length outside the middle nine tenths. So heavy tails, other
units and skewed distributions need no model. The reference says how often that is so, and the null hypothesis is that
it is so at most a little more often, past what the reference itself leaves uncertain (`tolerated`). Against it runs the
detector of `stats.sequential`, of which a false alarm is expected no sooner than after a stated number of answers,
however often anyone looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from twofold.monitoring.readings import share_of
from twofold.types import Json

Kind = Literal["rate", "above", "outside"]
"""``rate``: values are 0 or 1; ``above``: unusual is what is `LARGER` than the ninth tenth of the reference;
``outside``: unusual are the lowest and the highest twentieth."""
Array = npt.NDArray[np.float64]
RELATIVE, ABSOLUTE = 1.25, 0.01
"""A share may grow by a quarter and one point before it counts as another one: less is no reason to do anything."""
LARGER = 1.5
"""Times the ninth tenth, because answers of one day share the load of the machine and are not independent. Simulated:
30 days whose load has a standard deviation of a fifth alarm falsely in 1 of 20 months (at 1.25 times in 5), and a part
that is twice as slow is found within 80 answers; one that is half as slow again may never be."""
_TWENTIETHS = (1 / 20, 19 / 20)
_SURE = 0.999
"""Level of the upper end of the reference's share: one that looks better than it is would make false alarms."""
PART = 20
"""Answers of a block of the detector (`stats.sequential.MeanDetector.after`): they come one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is usual, of a sample of values."""

    kind: Kind
    low: float
    """Below it a value is unusual."""
    high: float
    """Above it a value is unusual."""
    share: float
    """Of the sample that is unusual."""
    middle: float
    """Median of the sample; of a rate its mean."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float], kind: Kind) -> Reference:
        """The reference that a sample gives; at least one value."""
        sample = np.asarray(values, dtype=float)
        low, high = -np.inf, 0.5
        if kind == "outside":
            low, high = map(float, np.quantile(sample, _TWENTIETHS))
        elif kind == "above":
            high = LARGER * float(np.quantile(sample, 0.9))
        middle = float(sample.mean() if kind == "rate" else np.median(sample))
        unusual = ((sample < low) | (sample > high)).mean()
        return cls(kind=kind, low=low, high=high, share=float(unusual), middle=middle, n=len(sample))

    def unusual(self, values: Sequence[float]) -> Array:
        """1 for each unusual value, 0 for the others."""
        sample = np.asarray(values, dtype=float)
        return ((sample < self.low) | (sample > self.high)).astype(float)

    @property
    def tolerated(self) -> float:
        """The share up to which nothing has happened."""
        upper = float(share_of(self.share * self.n, self.n, level=_SURE)["high"])
        return min(0.99, max(upper, RELATIVE * self.share + ABSOLUTE))

    def to_json(self) -> Json:
        """For a monitor's state; a bound that is none is left out, for JSON has no infinity."""
        low = {} if np.isinf(self.low) else {"low": self.low}
        return {"kind": self.kind, "high": self.high, "share": self.share, "middle": self.middle, "n": self.n, **low}

    @classmethod
    def from_json(cls, record: Json) -> Reference:
        """What `to_json` wrote."""
        return cls(**{"low": -np.inf, **record})


def comparable(sample: Sequence[float], other: Sequence[float], kind: Kind, *, critical: float = 2.576) -> bool:
    """Can the first answers of the traffic be a sample of what the study measured? By the shares of unusual values.

    Args:
        sample: Of the study.
        other: Of the traffic.
        kind: How values are unusual.
        critical: Standard errors from which they cannot; by default 1 % of comparable samples are refused.
    """
    reference = Reference.of(sample, kind)
    first, second = reference.unusual(sample), reference.unusual(other)
    pooled = (first.sum() + second.sum()) / (len(first) + len(second))
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(first) + 1 / len(second)))
    return bool(abs(first.mean() - second.mean()) <= critical * error)
