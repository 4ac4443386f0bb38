"""What a race is expected to ask, by simulated ones: the plan tells how much of questions, minutes and money. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from twofold.config import Config
from twofold.examples.questions import Questions
from twofold.stats import betting
from twofold.study.shards import groups_of, shards
from twofold.types import Json
from twofold.verdict.power import ALIKE, DISAGREE
from twofold.verdict.record import BillItem, CostRow, number_text, price_text

GAINS = (0.1, 0.2, 0.4)
"""True gains of the best arm over every other one for which the plan tells what is asked."""
LOW = 0.3
"""Mean score of the other arms: that of many first studies, and scores of 0 and 1 vary much there."""
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
class RacePlan:
    """What a race is expected to ask."""

    expected: Sequence[Expected]
    minutes: float
    """Minutes that all answers would take."""
    amount: float
    """What they would cost, in the currency of the configured prices; 0 where none is configured."""

    @property
    def lines(self) -> list[str]:
        """The plan in sentences."""
        low, high = DISAGREE
        lines = [
            "a race stops early where an arm leads clearly, and else asks everything; expected (median race, two arms "
            f"that disagree on {100 * low:.0f} to {100 * high:.0f} % of the questions):"
        ]
        for row in self.expected:
            saved = [1 - share for share in row.answers]
            minutes = _range([round(self.minutes * share) for share in sorted(saved)])
            money = _amounts([self.amount * share for share in sorted(saved)]) if self.amount else ""
            lines.append(
                f"- where it leads by {number_text(row.gain, 2)}: {_shares(row.questions)} of the questions, "
                f"{_shares(row.answers)} of the answers; {minutes} of {self.minutes:.0f} min of answering saved{money}"
            )
        return lines

    def to_json(self) -> Json:
        """The plan as ``twofold study --race --plan --json`` prints it."""
        rows = [
            {"gain": row.gain, "questions": list(row.questions), "answers": list(row.answers)} for row in self.expected
        ]
        return {"expected": rows, "minutes": self.minutes, "amount": self.amount}


def plan(
    test: Questions,
    config: Config,
    *,
    arms: int,
    level: float,
    steps: Sequence[BillItem],
    costs: Sequence[CostRow],
) -> RacePlan:
    """Simulate races over groups of these sizes.

    Args:
        test: The questions.
        config: In force: sizes of shards, and their order.
        arms: How many race.
        level: Of the look that the race will be.
        steps: Of the plan: answers alone can be saved, training is done before.
        costs: Of the plan, likewise.
    """
    blocks = shards(test, seed=config.study.seed, batch=config.generation.batch)
    sizes = [len(places) for places in groups_of(test, blocks)]
    ends = [len(groups_of(test, blocks[:number])) for number in range(1, len(blocks) + 1)]
    expected = []
    for gain in GAINS:
        ranges = [
            _median_shares(sizes, ends, arms=arms, gain=gain, disagree=share, alpha=(1 - level) / 2)
            for share in DISAGREE
        ]
        questions, answers = zip(*ranges, strict=True)
        expected.append(Expected(gain=gain, questions=questions, answers=answers))
    answering = [step["seconds"] for step in steps if step["step"].startswith("answer ")]
    paid = [row["amount"] for row in costs if row["step"].startswith("answer ")]
    return RacePlan(expected=expected, minutes=sum(answering) / 60, amount=sum(paid))


def _median_shares(
    sizes: Sequence[int], ends: Sequence[int], *, arms: int, gain: float, disagree: float, alpha: float
) -> tuple[float, float]:
    """Median shares of questions and of answers that races ask."""
    rng = np.random.default_rng(0)
    total, bounds = sum(sizes), np.array([0, *accumulate(sizes)])
    questions, answers = [], []
    for _ in range(_RACES):
        scores = _scores(sizes, arms, gain=gain, disagree=disagree, rng=rng)
        table = np.add.reduceat(scores, bounds[:-1], axis=0) / np.array(sizes)[:, None]  # (groups, arms)
        race = betting.simulated(table, sizes, ends, alpha=alpha)
        questions.append(race.questions / total)
        answers.append(sum(race.answers) / (arms * total))
    return float(np.median(questions)), float(np.median(answers))


def _scores(
    sizes: Sequence[int], arms: int, *, gain: float, disagree: float, rng: np.random.Generator
) -> betting.Array:
    """Scores of 0 and 1, shape (questions, arms); the last arm is better than the others by `gain` in the mean."""
    n = sum(sizes)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    # A question is as hard for all arms that take its own luck; two arms both do with probability `together`.
    together = max(0.0, 1 - disagree / (2 * LOW * (1 - LOW)))
    hard = np.where(rng.uniform(size=n) < ALIKE**0.5, rng.uniform(size=len(sizes))[groups], rng.uniform(size=n))
    luck = np.where(rng.uniform(size=(n, arms)) < together**0.5, hard[:, None], rng.uniform(size=(n, arms)))
    means = np.array([LOW] * (arms - 1) + [LOW + gain])
    return (luck < means).astype(float)


def _shares(ends: Sequence[float]) -> str:
    return f"{_range([round(100 * share) for share in sorted(ends)])} %"


def _range(ends: Sequence[int]) -> str:
    low, high = ends
    return f"{low}" if low == high else f"{low} to {high}"


def _amounts(ends: Sequence[float]) -> str:
    return f", {price_text(ends[0])} to {price_text(ends[1])} in the currency of the configured prices"
