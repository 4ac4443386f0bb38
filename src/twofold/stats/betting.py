"""Bets on paired differences, which may be looked at as often as anyone likes. Pure; numpy only.

The unit is the group. A bet that arm k is better than arm j starts with a wealth of 1 and is, after the groups 1 to t,

    M_kj(t) = mean over λ of Π (1 + min(CAP, λ a(n_g)) d_g),    a(n) = n / (1 + (n − 1) RHO),

where d_g is the mean over the n_g questions of the group of score k − score j. If k is no better on groups that are
still to come, each product is a nonnegative supermartingale, so with probability 1 − 1/c the wealth never reaches c
(Ville 1939), whoever stops, skips or collects later. Bets on bounded means: Waudby-Smith & Ramdas 2024 (JRSS-B 86:1);
linear bets are all that is needed (Clerico 2024); a mixture over λ is Cover's universal portfolio (Orabona & Jun 2023).

In a race of K arms k is *shown* better than j once the wealth has reached (K − 1)/α, and stays so: the bound is for the
supremum. An arm that is crowned falsely has been shown better than a simpler arm that is as good; at most K − 1 arms
can be, each with probability α/(K − 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LAMBDAS: Array = np.array([0.04, 0.08, 0.12, 0.18, 0.25, 0.35, 0.45, 0.6, 0.75, 0.9])
"""Shares of the wealth that are staked, each by a bet of its own: small ones find small gains, large ones large."""
CAP, RHO = 0.95, 0.2
"""The most that is staked on one group; and what two questions of a group are taken to have in common, so that a group
of many questions is worth more than a single one, but not as much as so many groups. Fixed before any answer."""
_HALVINGS = 40  # of an interval of length 2: ends are exact to 2e-12


def stakes(sizes: npt.ArrayLike) -> Array:
    """What each bet stakes on groups of these sizes, shape (groups, λ)."""
    n = np.asarray(sizes, dtype=float)
    worth = n / (1 + (n - 1) * RHO)
    return np.minimum(CAP, LAMBDAS * worth[..., None])


def mixed(logs: Array) -> Array:
    """Logarithm of the mean wealth over λ, which is the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    mean: Array = top[..., 0] + np.log(np.exp(logs - top).mean(axis=-1))
    return mean


def bar(arms: int, alpha: float) -> float:
    """Logarithm of the wealth from which an arm is shown better than another in a race of so many arms."""
    return math.log(max(1, arms - 1) / alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a race stands after a look."""

    leader: int
    """The arm with the highest mean on the groups that every arm still asked has answered."""
    crowned: int | None
    """The arm that has won; None: the race goes on."""
    going: tuple[int, ...]
    """Arms to ask next: the leader, and those that it is not shown better than."""


class Race:
    """Bets between all arms, which are numbered from simple to complex.

    Args:
        sizes: Questions of each group, in the order of the race, shape (groups,).
        arms: Number of arms.
        alpha: Probability of a false crown that the race may spend.
        contenders: Arms that may be crowned, and have to be beaten; all by default. Others are asked until the leader
            beats them.
    """

    def __init__(self, sizes: npt.ArrayLike, *, arms: int, alpha: float, contenders: Sequence[int] = ()) -> None:
        self.sizes = np.asarray(sizes, dtype=float)
        self.bar = bar(arms, alpha)
        self.contenders = tuple(contenders) or tuple(range(arms))
        self.peaks = np.zeros((arms, arms))
        """Logarithm of the largest wealth at any look, row better than column."""
        self._logs = np.zeros((arms, arms, len(LAMBDAS)))
        # (groups, arms, arms): the look at which both arms had answered the group; -1: not yet.
        self._when = np.full((len(self.sizes), arms, arms), -1)
        self._table = np.full((len(self.sizes), arms), np.nan)
        self._stakes = stakes(self.sizes)
        self._looks = 0

    @property
    def shown(self) -> Any:
        """Which arm (row) was shown better than which (column) at some look, shape (arms, arms)."""
        return self.peaks >= self.bar

    def look(self, table: Array, *, sizes: npt.ArrayLike | None = None) -> None:
        """Take in what was answered since the last look.

        Args:
            table: Mean score of each arm in each group, a failed answer 0; NaN: not asked. Shape (groups, arms).
            sizes: Questions of each group, where those answered have shown that some do not count; never another
                number for a group that was taken in before.
        """
        if sizes is not None:
            self.sizes = np.asarray(sizes, dtype=float)
            self._stakes = stakes(self.sizes)
        there = np.isfinite(table)
        rows = np.flatnonzero((there & ~np.isfinite(self._table)).any(axis=1))
        both = there[rows][:, :, None] & there[rows][:, None, :]  # (rows, arms, arms)
        new = both & (self._when[rows] < 0)
        gaps = np.where(new, table[rows][:, :, None] - table[rows][:, None, :], 0.0)
        # A pair without this group stakes nothing: its factor is 1. (rows, arms, arms, λ)
        self._logs += np.log1p(self._stakes[rows][:, None, None, :] * gaps[..., None]).sum(axis=0)
        self._when[rows] = np.where(new, self._looks, self._when[rows])
        self._looks += 1
        self._table = np.array(table)
        self.peaks = np.maximum(self.peaks, mixed(self._logs))

    def standing(self, *, last: bool = False) -> Standing:
        """Who leads, who has won, and whom to ask next.

        Before the last shard an arm wins when it is shown better than every other contender. After it (`last`) it is
        enough to be shown better than every simpler one, and not behind a more complex one.
        """
        shown, ahead = self.shown, self._ahead()
        crowned = None
        for place, arm in enumerate(self.contenders):
            simpler, complex_ = self.contenders[:place], self.contenders[place + 1 :]
            # Of the simplest nothing is to be shown, so that not lying behind would crown it for nothing.
            lenient = last and bool(simpler)
            if all(shown[arm, other] for other in simpler) and all(
                shown[arm, other] or (lenient and ahead[arm, other] >= 0) for other in complex_
            ):
                crowned = arm
                break
        leader = self._leader()
        going = [arm for arm in range(len(shown)) if arm == leader or not shown[leader, arm]]
        return Standing(leader=leader, crowned=crowned, going=tuple(going))

    def _leader(self) -> int:
        # Means of arms that were asked other groups are not compared: only who answered all groups so far can lead.
        there = np.isfinite(self._table)
        reached = there.any(axis=1)
        whole = there[reached].all(axis=0)
        means = (self.sizes[reached, None] * np.nan_to_num(self._table[reached])).sum(axis=0)
        return max(self.contenders, key=lambda arm: (whole[arm], means[arm], -arm))

    def _ahead(self) -> Array:
        """Mean difference of each pair over the questions of the groups that both answered, shape (arms, arms)."""
        weight = np.where(self._when >= 0, self.sizes[:, None, None], 0.0)  # (groups, arms, arms)
        table = np.nan_to_num(self._table)
        gaps = (weight * (table[:, :, None] - table[:, None, :])).sum(axis=0)
        mean: Array = gaps / np.maximum(weight.sum(axis=0), 1.0)
        return mean

    def difference(self, arm: int, other: int) -> tuple[float, float]:
        """Ends of the confidence sequence of the mean difference of two arms, at every look so far together.

        A difference is shown where its lower end lies above 0: the sequence is the bet turned round over shifts.
        """
        when = self._when[:, arm, other]
        seen = when >= 0
        gaps = (self._table[:, arm] - self._table[:, other])[seen]
        sides: Any = (self._stakes[seen], when[seen], self.bar)
        return _least(gaps, *sides, floor=-1.0), 0.0 - _least(-gaps, *sides, floor=-1.0)

    def mean(self, arm: int, *, level: float) -> tuple[float, float]:
        """Ends of the confidence sequence of an arm's mean score, a failed answer 0."""
        when = self._when[:, arm, arm]
        seen = when >= 0
        scores = self._table[seen, arm]
        sides: Any = (self._stakes[seen], when[seen], math.log(2 / (1 - level)))
        return _least(scores, *sides, floor=0.0), 1.0 - _least(1 - scores, *sides, floor=0.0)


def settled(
    race: Race, going: Sequence[int], *, ask: Callable[[Sequence[int]], None], behind: Callable[[int], bool], last: bool
) -> Standing:
    """Look at one more shard, until every arm of the race has answered what there is of it and before.

    Args:
        race: The bets.
        going: Arms in the race.
        ask: Lets arms answer what they have not answered up to this shard, and takes it in (`Race.look`).
        behind: Has the arm answered less than that?
        last: Is it the last shard?
    """
    late = list(going)
    while late:
        ask(late)
        standing = race.standing()
        if standing.crowned is not None:
            return standing
        # Another arm may lead now: those that it is not shown better than answer what they missed before it is final.
        late = [arm for arm in standing.going if behind(arm)]
    return race.standing(last=last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A race over scores that are known beforehand."""

    race: Race
    """Its bets."""
    crowned: int | None
    """The arm that has won."""
    questions: int
    """Questions asked of any arm."""
    answers: tuple[int, ...]
    """Questions asked of each arm."""


def simulated(table: Array, sizes: npt.ArrayLike, shards: Sequence[int], *, alpha: float) -> Simulated:
    """Run a race over known scores, arms deferred as in a real one.

    Args:
        table: Mean score of each arm in each group, in the order of the race; shape (groups, arms).
        sizes: Questions of each group, shape (groups,).
        shards: Number of groups asked up to the end of each shard.
        alpha: What the race may spend.
    """
    n, arms = np.asarray(sizes), table.shape[1]
    race = Race(n, arms=arms, alpha=alpha)
    answered = np.full(table.shape, np.nan)
    upto = [0] * arms  # groups asked of each arm: the first ones, for who comes back answers all that it missed
    going: Sequence[int] = range(arms)
    standing = Standing(leader=0, crowned=None, going=())
    for number, end in enumerate(shards, 1):

        def ask(late: Sequence[int], end: int = end) -> None:
            for arm in late:
                answered[upto[arm] : end, arm] = table[upto[arm] : end, arm]
                upto[arm] = end
            race.look(answered)

        def behind(arm: int, end: int = end) -> bool:
            return upto[arm] < end

        standing = settled(race, going, ask=ask, behind=behind, last=number == len(shards))
        going = standing.going
        if standing.crowned is not None:
            break
    totals = np.concatenate([[0], np.cumsum(n)])
    return Simulated(
        race=race,
        crowned=standing.crowned,
        questions=int(totals[max(upto)]),
        answers=tuple(int(totals[end]) for end in upto),
    )


def _least(values: Array, stake: Array, when: Any, height: float, *, floor: float) -> float:
    """Largest mean that the bets on `values` (at least `floor`, at most 1) have ruled out at some look.

    Args:
        values: Of the groups, shape (groups,).
        stake: Of each bet on each group, shape (groups, λ).
        when: Look of each group, shape (groups,).
        height: Logarithm of the wealth that rules a mean out.
        floor: The least that a value can be.
    """
    if not len(when):
        return floor
    order = np.argsort(when, kind="stable")
    values, stake, when = values[order], stake[order], when[order]
    ends = np.flatnonzero(np.append(when[1:] != when[:-1], True))  # the last group of each look

    def reached(mean: float) -> bool:
        # In units of the most that can be lost, so that a stake stays a share of the wealth.
        logs = np.log1p(stake * ((values - mean) / (mean - floor))[:, None])
        return bool(mixed(np.cumsum(logs, axis=0)[ends]).max() >= height)  # (looks, λ)

    low, high = floor, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) else (low, middle)
    return low
