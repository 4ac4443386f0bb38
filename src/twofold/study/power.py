"""What a study of some size would show: the rule of `study.verdict`, simulated. Pure; fixed seed.

The mean scores of the arms are drawn from a normal distribution with the covariance that the paired differences
imply, their standard errors from a χ² distribution with the degrees of freedom of the groups; the rule is applied to
each draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold import stats
from twofold.config import StudySection
from twofold.study.evidence import Choice, Evidence, VerdictFacts

Array = npt.NDArray[np.float64]

POWER = 0.8
"""A gain counts as seen where this share of studies would choose the arm that has it."""
GAINS = (0.1, 0.2)
"""True gains whose chances a plan tells."""
SPREAD, ALIKE = 0.5, 0.1
"""Standard deviation of one question's paired difference, and correlation of two questions of one group, where no
earlier study tells: two arms then disagree on a quarter of the questions."""
_DRAWS = 1000
_MOST = 10**6
"""More examples than this are no plan: none is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A number of further examples to collect, all splits together, with its 95 % interval."""

    likely: int
    low: int
    high: int | None
    """None: no upper end with so few groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """What further examples would show."""

    gain: float
    """A gain that matters: 2 × margin."""
    to_see: Needed | None
    """So that an arm with that gain is chosen in 8 of 10 studies; None: more than anyone collects."""
    to_bound: Needed | None
    """So that 8 of 10 studies in which nothing is gained show that no arm gains more than the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What a planned study could show."""

    chances: tuple[tuple[float, float], ...]
    """True gain of the most complex arm over all others → share of such studies that choose it."""
    least: float | None
    """Least gain chosen in 8 of 10 such studies; None: there is none, for a gain cannot be above 1."""
    measured: bool = False
    """Do the spreads come from an earlier study?"""


class Simulation:
    """Studies with these arms, from simple to complex.

    Args:
        variances: Variance of each difference of two mean scores, shape (arms, arms).
        worth: Groups of equal size that the test questions are worth.
        level: Coverage of one pair's interval.
        margin: Differences up to this do not matter.
    """

    def __init__(self, variances: Array, *, worth: float, level: float, margin: float) -> None:
        rng = np.random.default_rng(0)
        arms = len(variances)
        centred = np.eye(arms) - 1 / arms
        values, vectors = np.linalg.eigh(-0.5 * centred @ variances @ centred)
        self._noise = rng.normal(size=(_DRAWS, arms)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        self._normal = rng.normal(size=_DRAWS)  # of the χ² (Wilson & Hilferty 1931)
        self._se = np.sqrt(variances)
        self._worth, self._level, self._margin = worth, level, margin

    def chosen(self, arm: int, means: Sequence[float], ratio: float = 1.0) -> float:
        """Share of studies, `ratio` times as large as this one, that choose that arm."""
        freedom = max(1.0, self._worth * ratio - 1)
        wobble = np.sqrt(np.maximum(1 - 2 / (9 * freedom) + self._normal * math.sqrt(2 / (9 * freedom)), 0.1) ** 3)
        half = stats.t_quantile(0.5 + self._level / 2, freedom) * np.outer(wobble, self._se[arm]) / math.sqrt(ratio)
        scores = np.asarray(means, dtype=float) + self._noise / math.sqrt(ratio)
        gain = scores[:, [arm]] - scores  # shape (draws, arms)
        above = (gain > half) & (gain + half > self._margin)
        return float((above[:, :arm].all(axis=1) & (half - gain <= self._margin)[:, arm + 1 :].all(axis=1)).mean())

    def ratio(self, arm: int, means: Sequence[float]) -> float | None:
        """How many times as large a study has to be to choose that arm in `POWER` of all cases."""
        low, high = -7.0, 17.0  # powers of 2
        if self.chosen(arm, means, 2**high) < POWER:
            return None
        for _ in range(13):
            middle = (low + high) / 2
            low, high = (low, middle) if self.chosen(arm, means, 2**middle) >= POWER else (middle, high)
        return float(2**high)

    def least_gain(self, arm: int) -> float | None:
        """Least gain of that arm over all others with which it is chosen in `POWER` of all studies; None above 1."""
        low, high = 0.0, 1.0
        means = np.zeros(len(self._se))
        means[arm] = high
        if self.chosen(arm, means.tolist()) < POWER:
            return None
        for _ in range(12):
            means[arm] = (low + high) / 2
            low, high = (low, means[arm]) if self.chosen(arm, means.tolist()) >= POWER else (means[arm], high)
        return float(high)


def pair_variances(intervals: Any, arms: Sequence[str]) -> Array:
    """Variance of each difference of two mean scores, shape (arms, arms), from intervals named ``A - B``.

    Where two arms never differ, or hardly, as many groups may differ as half of all studies would not show.
    """
    out = np.zeros((len(arms), len(arms)))
    for later, name in enumerate(arms):
        for earlier, other in enumerate(arms[:later]):
            one = intervals[f"{name} - {other}"]
            unseen = 1 - 0.5 ** (1 / max(1.0, one.worth))
            out[later, earlier] = out[earlier, later] = max(one.se**2, unseen / max(1.0, one.worth))
    return out


def prospect(
    sizes: Sequence[int], *, arms: int, section: StudySection, earlier: tuple[Array, float] | None = None
) -> Prospect:
    """What a study could show whose test questions stand in groups of these sizes.

    Args:
        sizes: Questions of each independent group of the test split.
        arms: Number of arms.
        section: Level and margin.
        earlier: Variances of the pairs in an earlier study with these arms, and the groups that it was worth; None:
            `SPREAD` and `ALIKE` are assumed.
    """
    x, worth = np.asarray(sizes, dtype=float), stats.kish(sizes)
    if len(x) < 2 or arms < 2:
        return Prospect(chances=tuple((gain, 0.0) for gain in GAINS), least=None, measured=earlier is not None)
    n = x.sum()
    if earlier is None:
        variance = SPREAD**2 / n * (1 + ((x**2).sum() / n - 1) * ALIKE)
        variances = np.full((arms, arms), variance)
        np.fill_diagonal(variances, 0)
    else:
        variances = earlier[0] * earlier[1] / worth
    simulation = Simulation(variances, worth=worth, level=section.level, margin=section.margin)
    chances = tuple((gain, simulation.chosen(arms - 1, [*[0.0] * (arms - 1), gain])) for gain in GAINS)
    return Prospect(chances=chances, least=simulation.least_gain(arms - 1), measured=earlier is not None)


def further(evidence: Evidence, choice: Choice, *, section: StudySection, facts: VerdictFacts) -> Further | None:
    """What further examples would show; None unless the verdict is undecided between arms and there is a margin.

    From the standard errors alone: the differences that happened to be seen tell nothing about what would be seen.
    """
    if choice.outcome != "undecided" or not choice.open or not section.margin:
        return None
    involved = {choice.keep, choice.leader, *(name for pair in choice.open for name in pair)}
    names = [arm.name for arm in evidence.arms if arm.name in involved]
    intervals = [evidence.difference(a, b) for place, a in enumerate(names) for b in names[:place]]
    worth, n = min(one.worth for one in intervals), max(one.n for one in intervals)
    if worth <= 1:
        return None
    variances = pair_variances(evidence.alone, names)
    simulation = Simulation(variances, worth=worth, level=evidence.level, margin=section.margin)
    gain = 2 * section.margin
    later = [place for place in range(len(names)) if place]
    hardest = max(later, key=lambda place: variances[place, :place].max())
    to_see = simulation.ratio(hardest, [gain if place == hardest else 0.0 for place in range(len(names))])
    to_bound = simulation.ratio(0, [0.0] * len(names))
    if to_bound is not None:  # the exact bound of what no group shows
        to_bound = max(to_bound, math.log((1 - evidence.level) / 2) / math.log(1 - min(0.99, section.margin)) / worth)
    return Further(
        gain=gain,
        to_see=_needed(to_see, n=n, worth=worth, share=facts.test_share),
        to_bound=_needed(to_bound, n=n, worth=worth, share=facts.test_share),
    )


def _needed(ratio: float | None, *, n: int, worth: float, share: float) -> Needed | None:
    """Examples to collect so that the test split is `ratio` times as large; the ends from the χ² of the variance."""
    if ratio is None:
        return None
    freedom = max(1.0, worth - 1)
    ends = [1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom)) for z in (1.96, -1.96)]  # Wilson & Hilferty 1931

    def examples(times: float) -> int:
        return max(0, math.ceil(n * (times - 1) / max(share, 1e-6)))

    if examples(ratio) > _MOST:
        return None
    high = examples(ratio / ends[1] ** 3) if ends[1] > 0.1 else None
    return Needed(likely=examples(ratio), low=examples(ratio / ends[0] ** 3), high=high)
