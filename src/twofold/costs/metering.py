"""What a study metered of its arms: tokens, seconds and wrong answers a question, training, index. Pure.

A record keeps means and their covariance over the questions, from which every cost and its interval follow
(`stats.amounts`); records of before have means alone, and their costs no intervals.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import numpy as np

from twofold.plugins import traits
from twofold.stats import intervals
from twofold.stats.amounts import Amount, Moments, moments
from twofold.types import Estimate, Json

QUANTITIES = (
    "prompt_tokens",
    "cached_prompt_tokens",
    "completion_tokens",
    "retrieval_seconds",
    "generation_seconds",
    "wrong",
)
"""Amounts of one answer, in this order. ``cached_prompt_tokens`` are those at the beginning of the prompt that an
earlier question's prompt began with, too: among ``prompt_tokens``, and what an ideal cache need not read again."""

_ALIKE = 1e-9
"""A standard error of so small a share of its mean is rounding."""


class MeteredTraining(TypedDict):
    """One training of an arm's adapter."""

    seconds: float
    """On the machine that trained, all compared methods together; dev scores and the forgetting gate apart."""
    tokens: int | None
    """Tokens that a hosted training job was paid for; None where it ran here."""


class MeteredIndex(TypedDict):
    """The index that the arms with retrieval search."""

    chunks: int
    seconds_per_chunk: float | None
    """To embed and store one; None where this machine never did it, or too little of it."""
    gib: float | None
    """Size on the disk; None where the index is elsewhere."""


class TimedAlone(TypedDict):
    """Seconds of an answer where one question is asked at a time."""

    mean: float
    error: float
    """Standard error over the questions timed."""
    n: int


class Metered(TypedDict):
    """The metered quantities of a study; a part of its record."""

    arms: list[str]
    quantities: list[str]
    means: list[float | None]
    """Of every arm's quantities, arm by arm, shape (arms · quantities,); None where no question has the quantity."""
    covariance: list[list[float | None]] | None
    """Of the means, shape (arms · quantities, the same); None in it where nothing tells one, as of an amount that the
    answers of one group alone have; None in records that kept no answer's amounts."""
    worth: float
    """How many groups of equal size the questions are worth."""
    questions: int
    level: float
    """Of the intervals."""
    right: dict[str, Json]
    """Arm → share of right answers as an estimate, failed answers as wrong, at the level 1 − (1 − `level`) / 2: two
    such intervals together give one at `level`. Empty where the metric does not say which answers are right."""
    failed: NotRequired[dict[str, int]]
    """Arm → its failed answers, which are in no mean of tokens and seconds; an arm without one is left out."""
    retrieves: list[str]
    """Arms that search."""
    tuned: dict[str, str]
    """Arm → ``closed-book`` or ``open-book``."""
    training: dict[str, MeteredTraining]
    alone: dict[str, TimedAlone]
    """Arm → its seconds for one question at a time; an arm that was not timed is left out."""
    index: MeteredIndex | None
    documents: NotRequired[bool]
    """Does the project have documents? Without them nothing is updated; records of before do not say."""
    hosted: list[str]
    """Arms whose model answers at an endpoint."""
    hardware: str
    """The machine on which the seconds were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerAmounts:
    """Amounts of one arm's answers, each shape (questions,); NaN where a question has none."""

    prompt_tokens: Sequence[float]
    cached_prompt_tokens: Sequence[float]
    completion_tokens: Sequence[float]
    retrieval_seconds: Sequence[float]
    generation_seconds: Sequence[float]
    wrong: Sequence[float]
    """1 for a wrong or failed answer, 0 for a right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredStudy:
    """The metered quantities, ready to be weighed."""

    record: Metered
    moments: Moments
    split: Mapping[str, Estimate] = field(default_factory=dict)
    """Arm → share of right answers, see `Metered.right`."""

    @property
    def level(self) -> float:
        """Of the intervals."""
        return self.record["level"]

    def weights(self, arm: str, per_answer: Mapping[str, float], *, sign: float = 1.0) -> Any:
        """A vector of weights that takes an arm's quantities so many times, shape (arms · quantities,)."""
        vector = np.zeros(len(self.record["arms"]) * len(QUANTITIES))
        start = self.record["arms"].index(arm) * len(QUANTITIES)
        for name, weight in per_answer.items():
            vector[start + QUANTITIES.index(name)] += sign * weight
        return vector

    @property
    def has_documents(self) -> bool:
        """May documents be updated? Where the record does not say, they may."""
        return self.record.get("documents", True)

    def mean(self, arm: str, quantity: str) -> float:
        """An arm's mean of a quantity; NaN where there is none."""
        place = self.record["arms"].index(arm) * len(QUANTITIES) + QUANTITIES.index(quantity)
        return float(self.moments.means[place])

    def amount(self, arm: str, quantity: str) -> Amount:
        """The same with its interval."""
        return self.moments.sum(self.weights(arm, {quantity: 1.0}), level=self.level).natural


def of_answers(
    arms: Mapping[str, AnswerAmounts], groups: Any, *, level: float
) -> tuple[list[float | None], list[list[float | None]], float, dict[str, Json]]:
    """Means, covariance, worth of the groups, and shares of right answers, as `Metered` has them.

    Args:
        arms: Arm → amounts of its answers; all arms answered the same questions.
        groups: Group of each question, shape (questions,).
        level: Of the intervals.
    """
    columns: list[Sequence[float]] = []
    for amounts in arms.values():
        columns += [
            amounts.prompt_tokens,
            amounts.cached_prompt_tokens,
            amounts.completion_tokens,
            amounts.retrieval_seconds,
            amounts.generation_seconds,
            amounts.wrong,
        ]
    taken = moments(np.array(columns, dtype=float).T, groups)  # from (questions, arms · quantities)
    covariance = taken.covariance
    right: dict[str, Json] = {}
    for place, (name, amounts) in enumerate(arms.items()):
        wrong = np.array(amounts.wrong, dtype=float)
        if not np.isfinite(wrong).any():
            continue
        at = place * len(QUANTITIES) + QUANTITIES.index("wrong")
        # A share of 0 or 1 would have no width at all: at least that of two more wrong and two more right answers
        # (Agresti & Coull 1998), counted in groups.
        worth = max(taken.worth, 1.0)
        adjusted = (float(taken.means[at]) * worth + 2) / (worth + 4)
        # Of one group alone it stays unknown (NaN).
        covariance[at, at] = np.maximum(covariance[at, at], adjusted * (1 - adjusted) / (worth + 4))
        right[name] = _share(wrong, groups, level=level)
    means = [None if math.isnan(mean) else float(mean) for mean in taken.means]
    return means, without_nan(covariance), taken.worth, right


def without_nan(covariance: Any) -> list[list[float | None]]:
    """A covariance for JSON, which has no NaN: None where nothing tells one."""
    rows = []
    for row in covariance.tolist():
        rows.append([None if math.isnan(value) else value for value in row])
    return rows


def halved(level: float) -> float:
    """The level at which two intervals hold together at `level`, whatever their dependence (Bonferroni)."""
    return 1 - (1 - level) / 2


def opened(record: Metered, *, batched: bool = True) -> MeteredStudy:
    """The quantities of a record, ready to be weighed.

    Args:
        record: What a study metered.
        batched: Take seconds as the study answered, in batches; else those of one question at a time, which were timed
            on other questions: they have no covariance with another arm's, and searching counts as before; where
            nobody knows how it varies, it is as uncertain as what was timed.
    """
    size = len(record["means"])
    means = np.array([math.nan if mean is None else mean for mean in record["means"]], dtype=float)
    known = record["covariance"]
    covariance = np.zeros((size, size)) if known is None else np.array(known, dtype=float)
    worth = record["worth"] if known is not None else 0.0
    _doubt_even_shares(record, means, covariance)
    if not batched:
        _take_alone(record, means, covariance)
    shares = {name: Estimate(**share) for name, share in record["right"].items()}
    return MeteredStudy(record=record, moments=Moments(means=means, covariance=covariance, worth=worth), split=shares)


def _doubt_even_shares(record: Metered, means: Any, covariance: Any) -> None:
    """Seconds that do not vary at all are even shares of one batch: how they vary is unknown, and no 0."""
    for number in range(len(record["arms"])):
        for quantity in ("retrieval_seconds", "generation_seconds"):
            place = number * len(QUANTITIES) + QUANTITIES.index(quantity)
            # Equal shares may differ in their last digits.
            if means[place] > 0 and covariance[place, place] <= (_ALIKE * means[place]) ** 2:
                covariance[place, :] = covariance[:, place] = math.nan


def _take_alone(record: Metered, means: Any, covariance: Any) -> None:
    """Put the seconds of one question at a time in the place of those of batches."""
    for number, name in enumerate(record["arms"]):
        start = number * len(QUANTITIES)
        place, searched = start + QUANTITIES.index("generation_seconds"), start + QUANTITIES.index("retrieval_seconds")
        timed = record["alone"].get(name)
        means[place] = math.nan if timed is None else max(0.0, timed["mean"] - means[searched])
        covariance[place, :] = covariance[:, place] = 0.0
        covariance[place, place] = 0.0 if timed is None else timed["error"] ** 2
        if timed is not None and math.isnan(covariance[searched, searched]):
            # Both were timed as one sum. What it is uncertain by bounds each part, of which an arm may pay for searches
            # alone; together the parts have the error of the sum: e² + e² − 2 e²/2.
            covariance[searched, :] = covariance[:, searched] = 0.0
            covariance[searched, searched] = covariance[place, place]
            covariance[searched, place] = covariance[place, searched] = -covariance[place, place] / 2


def of_means(
    arms: Mapping[str, Mapping[str, Any]], wrong: Mapping[str, Sequence[float]], groups: Any, *, level: float
) -> Metered:
    """What a record of before says of its arms: mean tokens, seconds of all answers together; no intervals of them.

    Args:
        arms: Arm → its part of the record, diagnostic arms left out.
        wrong: Arm → 1 for each wrong or failed answer, 0 for each right one, NaN where nobody knows.
        groups: Group of each question, shape (questions,).
        level: Of the study.
    """
    questions = len(groups)
    means: list[float | None] = []
    right: dict[str, Json] = {}
    tuned: dict[str, str] = {}
    training: dict[str, MeteredTraining] = {}
    retrieves = [name for name in arms if name in ("rag", "ft+rag")]
    for name, arm in arms.items():
        marks = np.array(wrong[name], dtype=float)
        known = np.isfinite(marks)
        seconds = arm["seconds"] / questions if questions else None
        # Searching and generating are not told apart there: all of it counts as generating.
        means += [arm["prompt_tokens"], None, arm["completion_tokens"], 0.0, seconds]
        means.append(float(marks[known].mean()) if known.any() else None)
        if known.any():
            right[name] = _share(marks, groups, level=level)
        if arm["training"]:
            tuned[name] = "open-book" if name in retrieves else "closed-book"
            training[name] = {"seconds": float(arm["training"]["seconds"]), "tokens": None}
    return {
        "arms": list(arms),
        "quantities": list(QUANTITIES),
        "means": means,
        "covariance": None,
        "worth": 0.0,
        "questions": questions,
        "level": level,
        "right": right,
        "retrieves": retrieves,
        "tuned": tuned,
        "training": training,
        "alone": {},
        "index": None,
        "hosted": [name for name, arm in arms.items() if traits.hosted(arm["description"].get("generator", {}))],
        "hardware": "",
    }


def _share(wrong: Any, groups: Any, *, level: float) -> Json:
    """The share of right answers, at the level of one of two intervals (`Metered.right`)."""
    share = intervals.estimate(1 - wrong, groups, level=halved(level))
    return {"mean": share.mean, "low": share.low, "high": share.high, "n": share.n, "failed": share.failed}


def divided(seconds: Sequence[float], *sizes: Sequence[float]) -> list[float]:
    """Seconds of answers, those of one batch divided among its answers by their sizes instead of evenly.

    Even shares, by which a batch is known, hide how much longer one answer takes than another, and with it how much the
    mean depends on what was asked. What an answer takes grows with what it reads and writes, in a proportion that the
    batch does not show; so the size that varies most is taken, by which the interval is rather too wide.

    Args:
        seconds: Of each answer, shape (answers,); equal ones are shares of one batch. NaN: not metered.
        sizes: Of each answer, by which its seconds may grow, such as its tokens read and written; shape (answers,)
            each. Their sum over all answers with seconds is kept.
    """
    shares = np.array(seconds, dtype=float)
    there = np.isfinite(shares)
    columns = [np.array(size, dtype=float) for size in sizes]
    usable = [column for column in columns if there.any() and np.isfinite(column[there]).all() and column[there].sum()]
    if not usable:
        return list(map(float, shares))
    widest = max(usable, key=lambda column: float(column[there].std() / column[there].mean()))
    for share in np.unique(shares[there]):
        members = shares == share
        whole = float(widest[members].sum())
        if members.sum() > 1 and whole > 0:
            shares[members] = share * members.sum() * widest[members] / whole
    return list(map(float, shares))


def reused(prompts: Sequence[str]) -> list[float]:
    """Of each prompt, the share of its characters in the longest beginning that an earlier prompt had, too."""
    seen: list[str] = []  # sorted: of all earlier prompts, one beside the prompt's place has most of its beginning
    shares: list[float] = []
    for prompt in prompts:
        place = bisect.bisect_left(seen, prompt)
        nearest = seen[max(0, place - 1) : place + 1]
        longest = max((_common(prompt, other) for other in nearest), default=0)
        shares.append(longest / len(prompt) if prompt else 0.0)
        seen.insert(place, prompt)
    return shares


def _common(text: str, other: str) -> int:
    """Characters that two texts begin with alike."""
    size = min(len(text), len(other))
    if text[:size] == other[:size]:
        return size
    low, high = 0, size  # text[:low] agrees, text[:high] does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if text[:middle] == other[:middle] else (low, middle)
    return low
