"""The forecast of retrieval from four shares measured on a sample of questions. Pure.

Of a question that the documents answer, retrieval changes the outcome in two ways: it mends an answer that the weights
alone get wrong, where it finds the right document and the model makes use of it; and it spoils one that they get right.

    gain = (1 − p) · R · U − p · D

with p the closed-book accuracy, R the share of questions with a right document among the k hits, U the share of
answers that are right with the right passage given among those that were wrong without, D the share of right answers
that are wrong with the passages found. A question that no document answers has neither R nor U: its outcome with and
without passages is counted as it was measured.

Right and wrong are those of `evidence.is_wrong`. A graded metric is turned by it and back: the forecast of the share of
right answers s becomes the score s · m₁ + (1 − s) · m₀, where m₁ and m₀ are the mean scores of the right and of the
wrong answers that the arm gave in the sample.

All parts are of the same questions, so the interval is that of a bootstrap over whole groups in which every part is
computed of the same draw (`stats.joint`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twofold.stats import intervals
from twofold.stats.intervals import Array
from twofold.stats.joint import joint
from twofold.types import Estimate
from twofold.verdict.evidence import is_wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedQuestion:
    """One question of the sample with what was measured on it; None: it does not apply, or the answer failed."""

    group: int
    """Unit of resampling."""
    closed: float | None
    """Score without passages."""
    read: float | None = None
    """Score with the passages found."""
    gold: float | None = None
    """Score with the right passage given; only where the answer without is wrong."""
    hit: bool | None = None
    """Is a right document among the k hits? None where no right document is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastGain:
    """The four shares and what follows from them; None where a share cannot be known."""

    p: Estimate
    """Share right without passages."""
    recall: Estimate | None
    """R: share of questions with a right document among the k hits."""
    use: Estimate | None
    """U: share right with the right passage given, of those wrong without."""
    destruction: Estimate | None
    """D: share wrong with the passages found, of those right without."""
    gain: Estimate | None
    """Predicted gain of retrieval in right answers, by the formula."""
    counted: Estimate | None
    """The same gain as the sample's own answers with and without passages show it, without the formula."""
    base: Estimate
    """Predicted score without passages, in the deciding metric."""
    rag: Estimate | None
    """Predicted score with the passages found, in the deciding metric."""
    difference: Estimate | None
    """`rag` less `base`."""


def forecast_gain(
    questions: Sequence[ProbedQuestion], *, right: float | None, level: float = 0.95, seed: int = 0
) -> ForecastGain:
    """The four shares and the forecast, each with its interval.

    Args:
        questions: The sample.
        right: Score from which an answer is right. None: the metric has none, so there is nothing to count; the score
            with passages is forecast as the sample has it.
        level: Of the intervals.
        seed: Of the bootstrap.

    Raises:
        StudyError: no question was answered without passages.
    """
    groups = np.array([question.group for question in questions])
    closed = _column([question.closed for question in questions])
    read = _column([question.read for question in questions])
    b, a = _rights(closed, right), _rights(read, right)
    u = _rights(_column([question.gold for question in questions]), right)
    r = _column([None if question.hit is None else float(question.hit) for question in questions])

    def share(values: Array, where: Array) -> Estimate | None:
        chosen = np.where(where, values, np.nan)
        return intervals.estimate(chosen, groups, level=level) if np.isfinite(chosen).any() else None

    everywhere = np.ones(len(groups), dtype=bool)
    base = intervals.estimate(closed, groups, level=level)
    gain, rag, difference = None, None, None
    reads = bool(np.isfinite(read).any())
    parts = _parts(closed=b, read=a, use=u, recall=r)
    counts = reads and right is not None
    if counts and np.isfinite(parts["mended"]).any() and np.isfinite(r).any():
        gain = joint(parts, groups, _gain, reach=(-1.0, 1.0), level=level, seed=seed)
    if reads:
        scored = {"hits": np.where(a == 1, read, np.nan), "misses": np.where(a == 0, read, np.nan)}
        columns = {**parts, **scored, "right": b, "read": a, "closed": closed}
        predict = _scored if gain is not None else _as_counted
        rag = joint(columns, groups, predict, level=level, seed=seed)
        # Of the same draws: the two scores go up and down together.
        difference = joint(
            columns,
            groups,
            lambda means: predict(means) - means["closed"],
            reach=(-1.0, 1.0),
            level=level,
            seed=seed,
        )
    return ForecastGain(
        p=intervals.estimate(b, groups, level=level),
        recall=share(r, everywhere),
        use=share(u, b == 0),
        destruction=share(1 - a, b == 1),
        gain=gain,
        counted=_counted(b, a, groups, level=level, seed=seed) if counts else None,
        base=base,
        rag=rag,
        difference=difference,
    )


def measurable(estimate: Estimate, *, worth: float, study: float, reach: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """Where a study's own mean is to be expected, which has the chance of its own questions in it.

    A forecast's interval is about the truth. A study of as many groups as the sample has is as far from the truth as
    the sample is: the ends move away by √(1 + sample / study).

    Args:
        estimate: The forecast.
        worth: How many groups of equal size the sample's are worth (`intervals.kish`).
        study: The same of the study's questions.
        reach: Least and greatest possible value.
    """
    wider = math.sqrt(1 + worth / study) if study else math.inf
    low = max(reach[0], estimate.mean - (estimate.mean - estimate.low) * wider)
    high = min(reach[1], estimate.mean + (estimate.high - estimate.mean) * wider)
    return Estimate(mean=estimate.mean, low=low, high=high, n=estimate.n, failed=estimate.failed)


def _parts(*, closed: Array, read: Array, use: Array, recall: Array) -> dict[str, Array]:
    """Columns whose means the formula is made of, shape (questions,) each; NaN where one does not apply."""
    answered = np.isfinite(closed) & np.isfinite(read)
    known = answered & np.isfinite(recall)
    # Right without passages: nothing to mend, whatever `use` would be. Wrong, and no gold passage was tried: unknown.
    mended = np.where(known, np.where(closed == 1, 0.0, use), np.nan)
    return {
        "known": np.where(answered, known.astype(float), np.nan),
        "recall": recall,
        "mended": mended,
        "spoilt": np.where(known, closed * (1 - read), np.nan),
        "other": np.where(answered & ~known, read - closed, np.nan),
    }


def _gain(means: Mapping[str, Array]) -> Array:
    """The formula; questions without a known document count as they were measured."""
    known = means["known"]
    formula = means["recall"] * means["mended"] - means["spoilt"]
    return np.where(known > 0, known * formula, 0.0) + np.where(known < 1, (1 - known) * means["other"], 0.0)


def _scored(means: Mapping[str, Array]) -> Array:
    """The score with passages, from the predicted share of right answers."""
    return _turned(np.clip(means["right"] + _gain(means), 0.0, 1.0), means)


def _as_counted(means: Mapping[str, Array]) -> Array:
    """The score with passages as the sample's answers have it."""
    return _turned(means["read"], means)


def _turned(share: Array, means: Mapping[str, Array]) -> Array:
    # A draw, or a whole sample, may hold no right answer or no wrong one: those score 1 and 0 until one is seen.
    best = np.where(np.isfinite(means["hits"]), means["hits"], 1.0)
    rest = np.where(np.isfinite(means["misses"]), means["misses"], 0.0)
    return share * best + (1 - share) * rest


def _counted(closed: Array, read: Array, groups: Array, *, level: float, seed: int) -> Estimate | None:
    matrix = np.stack([closed, read], axis=1)  # (questions, 2)
    if not np.isfinite(matrix).all(axis=1).any():
        return None
    weights = {"gain": np.array([-1.0, 1.0])}
    return intervals.contrasts(matrix, groups, weights, level=level, resamples=2000, seed=seed)["gain"].estimate()


def _rights(scores: Array, right: float | None) -> Array:
    """1 where a score is right, 0 where it is wrong, NaN where there is none."""
    values = [math.nan if math.isnan(score) else float(not is_wrong(score, right)) for score in scores]
    return np.array(values, dtype=float)


def _column(values: Sequence[float | None]) -> Array:
    return np.array([math.nan if value is None else value for value in values], dtype=float)
