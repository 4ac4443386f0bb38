"""Simulate the outcome of a study of some size: the rule of `verdict.rule`, simulated. Pure; fixed seed.

The mean scores of the arms are drawn from a normal distribution with the covariance that the paired differences
imply, their standard errors from a χ² distribution with the degrees of freedom of the groups; the rule is applied to
each draw, with its bound for whole losses that stay unseen. Where a gain is larger than what was seen, its differences
vary more: a share g of questions gained has the variance g(1 − g).

What is not known is a range, never a point: how often two arms disagree before any study, and how far the variances of
an earlier study may be off (40 % interval, χ²). A promise ("seen in 8 of 10 studies") stands at the unfavourable end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from twofold.settings.sections import StudySection
from twofold.stats import distributions
from twofold.stats import intervals as stats
from twofold.verdict.evidence import GIANT, WANTED_GROUPS, Choice, Evidence, VerdictFacts

Array = npt.NDArray[np.float64]

POWER = 0.8
"""A gain counts as seen where this share of studies would choose the arm that has it."""
GAINS = (0.1, 0.2)
"""True gains whose chances a plan tells."""
DISAGREE, WORST, ALIKE = (0.15, 0.4), (1.0, 0.0), 0.1
"""Share of the questions on which two arms disagree and the worst loss seen on one, from the favourable to the
unfavourable end, and correlation of two questions of one group, where no earlier study tells."""
_DRAWS = 1000  # a share of .8 is then known to ± .013
_BOUNDLESS = 999.0
"""A variance that may be off by this factor has no upper end."""
_FAR = 10
"""A study of few groups that must grow by more than this factor is too far from the one at hand for a number."""
_MOST = 10**6
"""More examples than this are no plan: none is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A number of further examples to collect, all splits together, with its 95 % interval."""

    likely: int
    low: int
    high: int | None
    """None: no upper end with so few groups."""
    vague: bool = False
    """Is it over `_FAR` times what there is, from fewer than `WANTED_GROUPS`? So few tell no number: none is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """The effect of further examples on a verdict."""

    gain: float
    """A gain that matters: 2 × margin."""
    to_see: Needed | None
    """So that an arm with that gain is chosen in 8 of 10 studies; None: more than anyone collects."""
    to_bound: Needed | None
    """So that 8 of 10 studies in which nothing is gained show that no arm gains more than the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """The prospect of a planned study."""

    chances: tuple[tuple[float, float], ...]
    """True gain of the most complex arm over all others → share of such studies that choose it, at the unfavourable end
    of what is not known."""
    best: tuple[float, ...]
    """The same shares at the favourable end."""
    least: float | None
    """Least gain chosen in 8 of 10 such studies at the unfavourable end; None: there is none, for a gain cannot be
    above 1."""
    measured: bool = False
    """Do the spreads come from an earlier study?"""
    statistic: str = ""
    """The deciding metric where nothing tells its chances: one that is a statistic of all answers together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spreads:
    """The spreads of the differences between a study's arms."""

    variances: Array
    """Variance of each difference of two mean scores, shape (arms, arms)."""
    covered: Array
    """Part of a question's variance that the gains seen, m, have added, m(1 − m), shape (arms, arms)."""
    worst: Array
    """Largest loss of the first arm against the second on one question, shape (arms, arms). Where no whole loss, 1, was
    seen, the rule counts with some that stay unseen (`intervals.contrasts`)."""
    n: int
    """Questions."""
    worth: float
    """Groups of equal size that these are worth."""

    def scaled(self, factor: float) -> Spreads:
        """With every variance multiplied."""
        return replace(self, variances=self.variances * factor)

    def blind(self) -> Spreads:
        """Where no large loss is met: one that was seen may not be seen again."""
        return replace(self, worst=np.zeros_like(self.worst))

    def resized(self, n: int, worth: float) -> Spreads:
        """Of so many questions instead."""
        return replace(self, variances=self.variances * self.worth / worth, n=n, worth=worth)


class Simulation:
    """Studies with these arms, from simple to complex.

    Args:
        spreads: How much the differences vary.
        level: Coverage of one pair's interval.
        margin: Differences up to this do not matter.
        wider: Half width of an interval over Student's (few or uneven groups make the bootstrap's wider).
    """

    def __init__(self, spreads: Spreads, *, level: float, margin: float, wider: float = 1.0) -> None:
        rng = np.random.default_rng(0)
        variances = spreads.variances
        arms = len(variances)
        # Variances of all differences give the covariance of the means but for a shift of all (classical scaling).
        centred = np.eye(arms) - 1 / arms
        values, vectors = np.linalg.eigh(-0.5 * centred @ variances @ centred)
        # Differences estimated one by one need not belong to any covariance: its eigenvalues below 0 are rounding.
        # (draws, arms), drawn once: every size and gain is asked of the same studies.
        self._noise = rng.normal(size=(_DRAWS, arms)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        self._normal = rng.normal(size=_DRAWS)  # of the χ² (Wilson & Hilferty 1931)
        self._gaining = rng.normal(size=_DRAWS)  # of an arm that gains more than was seen
        self._spreads, self._level, self._margin, self._wider = spreads, level, margin, wider

    def chosen(self, arm: int, means: Sequence[float], ratio: float = 1.0) -> float:
        """Share of studies, `ratio` times as large as this one, that choose that arm."""
        spreads = self._spreads
        freedom = max(1.0, spreads.worth * ratio - 1)
        # The floor: below three degrees of freedom the approximation by Wilson and Hilferty falls under 0.
        wobble = np.sqrt(np.maximum(1 - 2 / (9 * freedom) + self._normal * math.sqrt(2 / (9 * freedom)), 0.1) ** 3)
        true = np.abs(np.asarray(means, dtype=float) - means[arm])
        # A larger gain than was seen varies more: a share g of questions gained has the variance g(1 − g).
        more = float(np.max(np.maximum(true * (1 - true) - spreads.covered[arm], 0))) / max(1, spreads.n)
        critical = self._wider * distributions.t_quantile(0.5 + self._level / 2, freedom)
        # (draws, arms): half widths, as uncertain as the standard errors that they are made of.
        half = critical * np.outer(wobble, np.sqrt((spreads.variances[arm] + more) / ratio))
        hidden = stats.hidden_share(spreads.n * ratio, spreads.worth * ratio, (1 - self._level) / 2)
        spared = hidden * (1 - spreads.worst[arm])
        scores = np.asarray(means, dtype=float) + self._noise / math.sqrt(ratio)
        scores[:, arm] += self._gaining * math.sqrt(more / ratio)
        gain = scores[:, [arm]] - scores  # shape (draws, arms)
        # Shown above 0, also if losses as large as any seen are hidden, and not shown to be at most the margin.
        above = (gain > np.maximum(half, (gain + 1) * spared)) & (gain + half > self._margin)
        # Better than every simpler arm, and every more complex one gains at most the margin.
        return float((above[:, :arm].all(axis=1) & (half - gain <= self._margin)[:, arm + 1 :].all(axis=1)).mean())

    def ratio(self, arm: int, means: Sequence[float]) -> float | None:
        """How many times as large a study has to be to choose that arm in `POWER` of all cases."""
        low, high = -7.0, 17.0  # powers of 2
        if self.chosen(arm, means, 2**high) < POWER:
            return None
        for _ in range(13):  # 24 powers of 2 in 13 halvings: the size to .2 %
            middle = (low + high) / 2
            low, high = (low, middle) if self.chosen(arm, means, 2**middle) >= POWER else (middle, high)
        return float(2**high)

    def least_gain(self, arm: int) -> float | None:
        """Least gain of that arm over all others with which it is chosen in `POWER` of all studies; None above 1."""
        low, high = 0.0, 1.0
        means = np.zeros(len(self._spreads.variances))
        means[arm] = high
        if self.chosen(arm, means.tolist()) < POWER:
            return None
        for _ in range(12):  # the gain to .0002
            means[arm] = (low + high) / 2
            low, high = (low, means[arm]) if self.chosen(arm, means.tolist()) >= POWER else (means[arm], high)
        return float(high)


def spreads_of(intervals: Mapping[str, stats.Interval], arms: Sequence[str]) -> Spreads:
    """How much the differences of these arms vary, from intervals named ``A - B``.

    Where two arms never differ, or hardly, as many groups may differ as half of all studies would not show.
    """
    out, covered, worst = (np.zeros((len(arms), len(arms))) for _ in range(3))
    pairs = []
    for later, name in enumerate(arms):
        for earlier, other in enumerate(arms[:later]):
            interval = intervals[f"{name} - {other}"]
            pairs.append(interval)
            covered[later, earlier] = covered[earlier, later] = abs(interval.mean) * (1 - abs(interval.mean))
            worst[later, earlier], worst[earlier, later] = (
                min(1.0, max(0.0, end)) for end in (-interval.seen[0], interval.seen[1])
            )
            # Arms alike in all groups may differ in a share that so many groups miss with probability 1/2: no variance
            # is 0.
            unseen = 1 - 0.5 ** (1 / max(1.0, interval.worth))
            out[later, earlier] = out[earlier, later] = max(interval.se**2, unseen / max(1.0, interval.worth))
    n = max((interval.n for interval in pairs), default=0)
    worth = min((interval.worth for interval in pairs), default=0.0)
    return Spreads(variances=out, covered=covered, worst=worst, n=n, worth=worth)


def _wider(sizes: Sequence[int], level: float) -> float:
    """How much wider than Student's the bootstrap makes an interval of such groups: the mean of nine draws."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    draws = np.random.default_rng(0).normal(size=(len(groups), 9))
    weights = {str(column): np.eye(9)[column] for column in range(9)}
    # normal draws lie outside 0 to 1
    columns = stats.contrasts(draws, groups, weights, level=level, resamples=400, joint=False, bounded=False)
    usual = distributions.t_quantile(0.5 + level / 2, max(1.0, stats.kish(sizes) - 1))
    finite = [one.critical for one in columns.values() if math.isfinite(one.critical)]
    return max(1.0, sum(finite) / len(finite) / usual) if finite else 1.0


def prospect(
    sizes: Sequence[int], *, arms: int, section: StudySection, level: float = 0.0, earlier: Spreads | None = None
) -> Prospect:
    """Forecast the gains that a study could show whose test questions stand in groups of these sizes.

    Args:
        sizes: Questions of each independent group of the test split.
        arms: Number of arms.
        section: Level and margin.
        level: That of the look, where it is another than the section's.
        earlier: How much the pairs varied in an earlier study with these arms; None: `DISAGREE` and `ALIKE` are
            assumed.
    """
    x = np.asarray(sizes, dtype=float)
    worth = stats.kish(sizes)
    if len(x) < 2 or arms < 2:
        none = tuple((gain, 0.0) for gain in GAINS)
        return Prospect(chances=none, best=(0.0,) * len(GAINS), least=None, measured=earlier is not None)
    n = int(x.sum())
    level = level or section.level
    if earlier is None:
        # Kish's design effect, where two questions of a group correlate by `ALIKE`.
        variance = 1 / n * (1 + ((x**2).sum() / n - 1) * ALIKE)
        variances = np.full((arms, arms), variance)
        np.fill_diagonal(variances, 0)
        ends = [
            Spreads(
                variances=share * variances,
                covered=np.full((arms, arms), share),
                worst=np.full((arms, arms), worst),
                n=n,
                worth=worth,
            )
            for share, worst in zip(DISAGREE, WORST, strict=True)
        ]
    else:
        low, high = _off(earlier.worth)
        again = earlier.resized(n, worth)
        ends = [again.scaled(low), again.scaled(high).blind()]
    wider = _wider(sizes, level)
    best, worst = (Simulation(one, level=level, margin=section.margin, wider=wider) for one in ends)
    means = [[*[0.0] * (arms - 1), gain] for gain in GAINS]
    return Prospect(
        chances=tuple((gain, worst.chosen(arms - 1, one)) for gain, one in zip(GAINS, means, strict=True)),
        best=tuple(best.chosen(arms - 1, one) for one in means),
        least=worst.least_gain(arms - 1),
        measured=earlier is not None,
    )


def _off(worth: float, z: float = 0.5244) -> tuple[float, float]:
    """Factors by which a variance from so many groups may be off: ends of the χ² interval (z .5244: 40 %)."""
    freedom = max(1.0, worth - 1)
    low, high = (max(0.1, 1 - 2 / (9 * freedom) + end * math.sqrt(2 / (9 * freedom))) ** 3 for end in (z, -z))
    return 1 / low, 1 / high  # Wilson & Hilferty 1931


def further(evidence: Evidence, choice: Choice, *, section: StudySection, facts: VerdictFacts) -> Further | None:
    """Forecast the use of further examples; None unless the verdict is undecided between arms and there is a margin.

    None, too, where training runs differ more than the questions leave open: further questions would not tell.

    A study with more examples asks these questions again, so it is the next look and is decided at that look's level.
    From the standard errors alone: the differences that happened to be seen tell nothing about what would be seen.
    """
    if choice.outcome != "undecided" or not choice.open or not section.margin or trained_apart(evidence, choice):
        return None
    # With more examples the same questions are asked again: that is the next look, which has less to spend.
    level = facts.next_level or evidence.level
    involved = {choice.keep, choice.leader, *chain.from_iterable(choice.open)}
    names = [arm.name for arm in evidence.arms if arm.name in involved]
    intervals = []
    for row, a in enumerate(names):
        for b in names[:row]:
            intervals.append(evidence.difference(a, b))
    worth = min(one.worth for one in intervals)
    n = max(one.n for one in intervals)
    # One group has no degrees of freedom.
    if worth <= 1:
        return None
    spreads = spreads_of(evidence.alone, names).blind()
    usual = [distributions.t_quantile(0.5 + evidence.level / 2, max(1.0, one.worth - 1)) for one in intervals]
    over = [one.critical / t for one, t in zip(intervals, usual, strict=True) if math.isfinite(one.critical)]
    wider = sum(over) / len(over) if over else 1.0
    simulation = Simulation(spreads, level=level, margin=section.margin, wider=wider)
    gain = 2 * section.margin
    later = [place for place in range(len(names)) if place]
    hardest = max(later, key=lambda place: spreads.variances[place, :place].max())
    to_see = simulation.ratio(hardest, [gain if place == hardest else 0.0 for place in range(len(names))])
    to_bound = simulation.ratio(0, [0.0] * len(names))
    # What no group shows has an exact bound, which needs a number of groups of its own.
    if to_bound is not None:
        to_bound = max(to_bound, math.log((1 - level) / 2) / math.log(1 - min(0.99, section.margin)) / worth)
    giant = evidence.largest if evidence.largest >= GIANT else 0.0
    sizes: dict[str, float] = {"n": n, "worth": worth, "giant": giant * n, "share": facts.test_share}
    return Further(gain=gain, to_see=_needed(to_see, **sizes), to_bound=_needed(to_bound, **sizes))


def trained_apart(evidence: Evidence, choice: Choice) -> bool:
    """Does the chance of training make the interval of an open pair wider than its questions do?"""
    gaps = [evidence.difference(*pair) for pair in choice.open]
    # Half widths are added in quadrature: more than half of the square is then that of the runs.
    return any(2 * gap.trained**2 > ((gap.high - gap.low) / 2) ** 2 for gap in gaps)


def _needed(ratio: float | None, *, n: float, worth: float, giant: float, share: float) -> Needed | None:
    """Examples to collect so that the test split is worth `ratio` times as much; the ends from the χ² of the variance.

    Where a group holds `giant` of the `n` questions, what is collected stands in groups like the others, and the giant
    one matters the less the more there are: the worth is (n + m)² / (giant² + squares · (1 + m / (n − giant))) with m
    more questions, `squares` being Σn² of the other groups.
    """
    if ratio is None:
        return None
    low, high = _off(worth, 1.96)  # 95 %
    # The sum of n² over all groups but the giant one; at least that of single questions, for which n² is n.
    squares = max(n**2 / worth - giant**2, n - giant)

    def examples(times: float) -> int:
        # The positive root of the quadratic in m that the worth above makes.
        linear = 2 * n - times * worth * squares / max(1.0, n - giant)
        more = (math.sqrt(max(0.0, linear**2 + 4 * n**2 * (times - 1))) - linear) / 2
        return max(0, math.ceil(more / max(share, 1e-6) - 1e-9))

    if examples(ratio) > _MOST:
        return None
    return Needed(
        likely=examples(ratio),
        low=examples(ratio * low),
        high=examples(ratio * high) if high < _BOUNDLESS else None,
        vague=worth < WANTED_GROUPS and examples(ratio) * share > _FAR * n,
    )
