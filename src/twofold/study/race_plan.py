"""What a race is expected to ask, by simulated ones: the plan tells how much of questions, minutes and money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import plain
from twofold.stats import betting
from twofold.study.admission import Admitted
from twofold.study.race_looks import by_complexity
from twofold.study.race_pilot import Pilot, known
from twofold.study.shards import groups_of, shards
from twofold.types import Json
from twofold.verdict.power import ALIKE, DISAGREE
from twofold.verdict.record import BillItem, CostRow, number_text, price_text

GAINS = (0.1, 0.2, 0.4)
"""True gains of the best arm over every other one for which the plan tells what is asked."""
LOW = 0.3
"""Mean score of the other arms where none is known: that of many first studies, and scores of 0 and 1 vary much."""
LEAST = 0.05
"""A mean score seen is taken to be no nearer to 0 and 1, where scores would hardly vary."""
_RACES = 100  # a median share is then known to about ±.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What races with one true gain ask, by the median race."""

    gain: float
    questions: tuple[float, float]
    """Share of the questions, where arms disagree seldom and where they disagree often (`power.DISAGREE`)."""
    answers: tuple[float, float]
    """Share of all arms' answers, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAsSeen:
    """What races ask whose groups are drawn from those seen, gains included, by the median race."""

    source: str
    leader: str
    """Arm with the highest mean there."""
    gain: float
    """Its lead over the next arm."""
    questions: float
    """Share of the questions."""
    answers: Mapping[str, float]
    """Arm → share of its answers."""
    minutes: float
    """Minutes of answering saved: of each arm by its own pace."""
    amount: float
    """Money saved likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RacePlan:
    """What a race is expected to ask."""

    expected: Sequence[Expected]
    minutes: float
    """Minutes that all answers would take."""
    amount: float
    """What they would cost, in the currency of the configured prices; 0 where none is configured."""
    disagree: tuple[float, float] = DISAGREE
    """Shares of the questions on which two arms are taken to disagree, where their means are equal."""
    source: str = ""
    """Where these come from; empty: nothing is known of these arms."""
    seen: ExpectedAsSeen | None = None
    """The same with the gains of that source, which may have been lucky ones."""

    @property
    def lines(self) -> list[str]:
        """The plan in sentences."""
        source = f", as {self.source} told" if self.source else ""
        lines = [
            "a race stops early where an arm leads clearly, and else asks everything; expected (median race, two arms "
            f"that disagree on {_shares(self.disagree)} of the questions{source}):"
        ]
        for row in self.expected:
            saved = [1 - share for share in row.answers]
            money = _amounts([self.amount * share for share in sorted(saved)]) if self.amount else ""
            time = self._saved([self.minutes * share for share in saved])
            lines.append(
                f"- where it leads by {number_text(row.gain, 2)}: {_shares(row.questions)} of the questions, "
                f"{_shares(row.answers)} of the answers; {time}{money}"
            )
        seen = self.seen
        if seen is not None:
            each = ", ".join(f"{name} {100 * share:.0f} %" for name, share in seen.answers.items())
            spared = price_text(seen.amount)
            money = f", {spared} in the currency of the configured prices" if self.amount else ""
            lines.append(
                f"- where {seen.leader} leads by {number_text(seen.gain, 2)}, as by {seen.source}: "
                f"{100 * seen.questions:.0f} % of the questions, of the answers {each}; "
                f"{self._saved([seen.minutes, seen.minutes])}{money}; a lead that was seen is often smaller in truth"
            )
        return lines

    def _saved(self, minutes: Sequence[float]) -> str:
        """Ends of the time saved, and all of it; in seconds where that is less than two minutes."""
        factor, unit = (1, "min") if self.minutes >= 2 else (60, "s")
        ends = _range([round(factor * each) for each in sorted(minutes)])
        return f"{ends} of {factor * self.minutes:.0f} {unit} of answering saved"

    def to_json(self) -> Json:
        """The plan as ``twofold study --race --plan --json`` prints it."""
        rows = [
            {"gain": row.gain, "questions": list(row.questions), "answers": list(row.answers)} for row in self.expected
        ]
        return {
            "expected": rows,
            "minutes": self.minutes,
            "amount": self.amount,
            "disagree": list(self.disagree),
            "source": self.source,
            "seen": plain(self.seen) if self.seen else None,
        }


def of_study(
    workspace: Workspace,
    checked: Admitted,
    splits: Splits,
    *,
    records: Path,
    level: float,
    steps: Sequence[BillItem],
    costs: Sequence[CostRow],
) -> RacePlan:
    """The plan of a study's race, from what is known of its arms; see `plan`.

    Args:
        workspace: Of the project.
        checked: The study.
        splits: Its examples.
        records: Directory of finished studies.
        level: Of the look that the race will be.
        steps: Of the plan.
        costs: Of the plan.
    """
    config, arms = workspace.config, by_complexity(checked.arms)
    name = config.study.metric.name
    metric = name, checked.metrics[name][1] if name in checked.metrics else ""
    pilot = known(workspace, splits, records, arms=arms, metric=metric)
    names = [arm.name for arm in arms]
    return plan(checked.test, config, arms=names, level=level, steps=steps, costs=costs, pilot=pilot)


def plan(
    test: Questions,
    config: Config,
    *,
    arms: Sequence[str],
    level: float,
    steps: Sequence[BillItem],
    costs: Sequence[CostRow],
    pilot: Pilot | None = None,
) -> RacePlan:
    """Simulate races over groups of these sizes.

    Args:
        test: The questions.
        config: In force: sizes of shards, and their order.
        arms: Names of those that race, from simple to complex.
        level: Of the look that the race will be.
        steps: Of the plan: answers alone can be saved, training is done before.
        costs: Of the plan, likewise.
        pilot: Scores of these arms, where some are known.
    """
    blocks = shards(test, seed=config.study.seed, batch=config.generation.batch)
    sizes = [len(places) for places in groups_of(test, blocks)]
    ends = [len(groups_of(test, blocks[:number])) for number in range(1, len(blocks) + 1)]
    alpha = (1 - level) / 2
    low = min(max(pilot.low, LEAST), 1 - LEAST) if pilot else LOW
    disagree = pilot.disagree() if pilot else DISAGREE
    expected = []
    for gain in GAINS:
        if low + gain > 1:
            continue  # no arm can lead by so much
        ranges = [
            _median_shares(
                sizes, ends, alpha=alpha, draw=partial(_scores, sizes, len(arms), low=low, gain=gain, disagree=share)
            )
            for share in disagree
        ]
        questions, answers = zip(*ranges, strict=True)
        expected.append(Expected(gain=gain, questions=questions, answers=answers))
    seconds = _by_arm(arms, {step["step"]: step["seconds"] for step in steps})
    paid = _by_arm(arms, {row["step"]: row["amount"] for row in costs})
    seen = _as_seen(pilot, sizes, ends, arms=arms, alpha=alpha, seconds=seconds, paid=paid) if pilot else None
    return RacePlan(
        expected=expected,
        minutes=sum(seconds.values()) / 60,
        amount=sum(paid.values()),
        disagree=disagree,
        source=pilot.source if pilot else "",
        seen=seen,
    )


def _by_arm(arms: Sequence[str], steps: Mapping[str, float]) -> dict[str, float]:
    return {name: steps.get(f"answer {name}", 0.0) for name in arms}


def _as_seen(
    pilot: Pilot,
    sizes: Sequence[int],
    ends: Sequence[int],
    *,
    arms: Sequence[str],
    alpha: float,
    seconds: Mapping[str, float],
    paid: Mapping[str, float],
) -> ExpectedAsSeen | None:
    """Races over groups drawn from those of the pilot; None where it has not all arms, or too few questions."""
    table = pilot.table()
    if table is None or list(pilot.arms) != list(arms):
        return None
    rng, total = np.random.default_rng(0), sum(sizes)
    shares = []
    for _ in range(_RACES):
        race = betting.simulated(table[rng.integers(len(table), size=len(sizes))], sizes, ends, alpha=alpha)
        shares.append([race.questions / total, *(number / total for number in race.answers)])
    questions, *answers = np.median(np.array(shares), axis=0).tolist()
    means = np.nanmean(pilot.values, axis=0)
    best = int(np.argmax(means))
    by_arm = dict(zip(arms, answers, strict=True))
    return ExpectedAsSeen(
        source=pilot.source,
        leader=arms[best],
        gain=float(means[best] - np.delete(means, best).max()),
        questions=questions,
        answers=by_arm,
        minutes=sum((1 - share) * seconds[name] for name, share in by_arm.items()) / 60,
        amount=sum((1 - share) * paid[name] for name, share in by_arm.items()),
    )


def _median_shares(
    sizes: Sequence[int], ends: Sequence[int], *, alpha: float, draw: Callable[..., betting.Array]
) -> tuple[float, float]:
    """Median shares of questions and of answers that races ask; `draw` gives scores, shape (questions, arms)."""
    rng = np.random.default_rng(0)
    total, bounds = sum(sizes), np.array([0, *accumulate(sizes)])
    questions, answers = [], []
    for _ in range(_RACES):
        scores = draw(rng=rng)
        table = np.add.reduceat(scores, bounds[:-1], axis=0) / np.array(sizes)[:, None]  # (groups, arms)
        race = betting.simulated(table, sizes, ends, alpha=alpha)
        questions.append(race.questions / total)
        answers.append(sum(race.answers) / scores.size)
    return float(np.median(questions)), float(np.median(answers))


def _scores(
    sizes: Sequence[int], arms: int, *, low: float, gain: float, disagree: float, rng: np.random.Generator
) -> betting.Array:
    """Scores of 0 and 1, shape (questions, arms); the last arm is better than the others by `gain` in the mean."""
    n = sum(sizes)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    # A question is as hard for all arms that take its own luck; two arms both do with probability `together`.
    together = max(0.0, 1 - disagree / (2 * low * (1 - low)))
    hard = np.where(rng.uniform(size=n) < ALIKE**0.5, rng.uniform(size=len(sizes))[groups], rng.uniform(size=n))
    luck = np.where(rng.uniform(size=(n, arms)) < together**0.5, hard[:, None], rng.uniform(size=(n, arms)))
    means = np.array([low] * (arms - 1) + [low + gain])
    return (luck < means).astype(float)


def _shares(ends: Sequence[float]) -> str:
    return f"{_range([round(100 * share) for share in sorted(ends)])} %"


def _range(ends: Sequence[int]) -> str:
    low, high = ends
    return f"{low}" if low == high else f"{low} to {high}"


def _amounts(ends: Sequence[float]) -> str:
    return f", {price_text(ends[0])} to {price_text(ends[1])} in the currency of the configured prices"
