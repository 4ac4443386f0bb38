"""Choose a prompt by successive halving: many on few dev questions, few on many. Pure.

After Jamieson & Talwalkar (2016, arXiv:1502.07943): every round gets an equal share of the budget, and the better half
goes on. All candidates of a round answer the same questions, those of the round before among them. The first candidate,
the project's own prompt, goes through all rounds: in the last it meets the best of the others, and it stands unless
that is better by more than one standard error of their paired difference (the rule of Breiman et al. 1984).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.stats import intervals
from twofold.types import Estimate

FEWEST = 8
"""Dev questions of the first round at least: fewer candidates rather than a choice by two or three answers. Where there
are fewer the project's own prompt stands."""
MOST = 16
"""Candidates at most."""
_ROUNDING = 1e-9

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the rounds came to."""

    chosen: int
    """Number of the candidate that is used; 0: the project's own prompt stands."""
    rival: int
    """Number of the best of the others."""
    gain: Estimate
    """Paired difference of `rival` and the project's own prompt, with a 95 % interval that ignores the selection."""
    error: float
    """Standard error of that difference."""
    scores: tuple[Scores, ...]
    """Of each candidate, on the questions that it was asked; NaN where an answer failed or has no score."""
    rounds: tuple[int, ...]
    """Rounds that each candidate took part in."""
    spent: int
    """Answers that all of it took."""


def field_size(budget: int, questions: int, available: int) -> int:
    """How many candidates the budget is enough for, each with `FEWEST` questions in the first round.

    Args:
        budget: Answers at most.
        questions: Dev questions there are.
        available: Candidates there are.
    """
    fewest = min(FEWEST, questions)
    size = min(MOST, available)
    while size > 2 and budget // _rounds(size) < size * fewest:
        size -= 1
    return size


def halved(
    simplicity: Sequence[tuple[bool, int, int]],
    groups: npt.NDArray[np.intp],
    *,
    budget: int,
    score: Callable[[int, int], Scores],
) -> Outcome:
    """Run the rounds.

    Args:
        simplicity: Of each candidate, for ties; the first is the project's own prompt.
        groups: Group of each dev question, in the order in which they are asked; shape (questions,).
        budget: Answers at most.
        score: Returns the scores of a candidate on the first so many questions.

    Raises:
        StudyError: no question has a score by both candidates of the last round.
    """
    count, questions = len(simplicity), len(groups)
    left = list(range(count))
    scores = [np.empty(0) for _ in left]
    rounds = [0] * count
    spent = 0
    total = _rounds(count)
    for number in range(total):
        # What earlier rounds did not use, as there are no more questions, goes to the later ones.
        share = (budget - spent) // (total - number)
        known = max(len(scores[candidate]) for candidate in left)
        size = min(questions, max(1, known + share // len(left)))
        for candidate in left:
            spent += size - len(scores[candidate])
            scores[candidate] = score(candidate, size)
            rounds[candidate] += 1
        ranked = sorted(left, key=lambda place: (-_mean(scores[place]), simplicity[place], place))
        if number < total - 1:
            # The project's own prompt is never out: the winner is compared with it.
            keep = max(2, math.ceil(len(left) / 2))
            left = [0, *(one for one in ranked if one != 0)][:keep]
    rival = next(one for one in ranked if one != 0) if count > 1 else 0
    gain, error = _difference(scores[rival], scores[0], groups)
    return Outcome(
        # One question alone makes both equal but for rounding, and is no gain. A few questions that all show the same
        # difference have an error of 0, which tells nothing.
        chosen=rival if rival and gain.n >= FEWEST and gain.mean > error + _ROUNDING else 0,
        rival=rival,
        gain=gain,
        error=error,
        scores=tuple(scores),
        rounds=tuple(rounds),
        spent=spent,
    )


def _rounds(count: int) -> int:
    return max(1, math.ceil(math.log2(max(2, count))))


def _mean(scores: Scores) -> float:
    present = scores[np.isfinite(scores)]
    # Without a single score a candidate is the worst, and no 0.
    return float(present.mean()) if len(present) else -math.inf


def _difference(rival: Scores, first: Scores, groups: npt.NDArray[np.intp]) -> tuple[Estimate, float]:
    both = np.array([rival, first]).T  # (questions, 2)
    weights = {"gain": np.array([1.0, -1.0])}
    interval = intervals.contrasts(both, groups[: len(both)], weights, resamples=2000)["gain"]
    return interval.estimate(), interval.se
