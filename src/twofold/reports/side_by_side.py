"""Two studies side by side, question by question. Pure.

Only questions that both asked are compared, known by the words of their conversation (`conversation_digest`); of every
other the number is told. The difference is paired, with the interval of the verdict's own machinery
(`stats.intervals.contrasts`) and one sign a group. As in a verdict, a failed answer counts 0 in the difference and is
in no mean.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from twofold.examples.questions import conversation_digest
from twofold.stats import intervals
from twofold.types import Estimate
from twofold.verdict.record import AnswerRow, ArmAnswer, StudyRecord

CHANGES = ("better", "worse", "other words", "same", "not comparable")
"""What may have become of an answer, from the first study to the second."""
Standing = Literal["not worse", "worse", "cannot tell"]
_TINY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAnswer:
    """One question in both studies."""

    before: AnswerRow
    """In the first study."""
    after: AnswerRow
    """In the second."""
    scores: tuple[float | None, float | None]
    """In the metric; None where an answer failed or is not scored."""
    counted: tuple[float | None, float | None]
    """The same as the difference counts them: 0 where an answer failed; None where the metric does not apply."""
    change: str
    """One of `CHANGES`."""

    @property
    def difference(self) -> float:
        """Second minus first, as counted; 0 where one is missing."""
        first, second = self.counted
        return 0.0 if first is None or second is None else second - first

    @property
    def other_references(self) -> bool:
        """Do the right answers differ between the studies? Then the scores are of different tasks."""
        return sorted(self.before["references"]) != sorted(self.after["references"])


Estimates = tuple[tuple[Estimate | None, Estimate | None], Estimate | None]
"""The mean of each study over the compared questions that it answered, and the paired difference, second minus first,
whose `failed` counts pairs with a failed answer; None where nothing is scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """What is compared in place of means of scores with intervals of a fixed number of questions."""

    estimates: Callable[[Sequence[ComparedAnswer]], Estimates]
    """The estimates of the compared questions."""
    kind: Literal["pooled", "anytime"]
    """A statistic of all answers together; or means with confidence sequences, which hold whenever a race stopped."""
    score: Callable[[AnswerRow, str], float | None] | None = None
    """What a pooled metric says of an arm's answer in a row, by which questions are listed; None: the stored score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Two studies compared."""

    metric: str
    """What the scores are in."""
    lower_is_better: bool
    """Does the metric measure a fault?"""
    arms: tuple[str, str]
    """The arm of each study."""
    level: float
    """Of the intervals: the stricter of the two studies'."""
    answers: tuple[ComparedAnswer, ...]
    """The largest differences first, losses before gains of the same size."""
    means: tuple[Estimate | None, Estimate | None]
    """Of each, over the compared questions that it answered."""
    difference: Estimate | None
    """Second minus first; `failed` counts pairs with a failed answer. None where no question has both scores."""
    kind: Literal["", "pooled", "anytime"] = ""
    """`Statistic.kind`; empty: means of scores, with intervals of a fixed number of questions."""
    only: tuple[int, int]
    """Number of questions that only the first, and only the second study has, or asks in other words."""

    def counts(self) -> dict[str, int]:
        """`CHANGES` → number of questions."""
        return {**dict.fromkeys(CHANGES, 0), **Counter(answer.change for answer in self.answers)}

    def of(self, change: str) -> list[ComparedAnswer]:
        """The answers with a change, the largest differences first."""
        return [answer for answer in self.answers if answer.change == change]

    @property
    def shown(self) -> str:
        """``better`` or ``worse`` where the interval leaves 0 out, else empty."""
        low, high = self._gain()
        return "better" if low > 0 else "worse" if high < 0 else ""

    def standing(self, margin: float) -> Standing:
        """Is the second study shown worse than the first by more than a margin, shown not to be, or neither?

        With the interval [low, high] of the gain from first to second: *not worse* where low ≥ −margin, *worse* where
        high < −margin, else *cannot tell*. Without a difference nothing can be told.
        """
        low, high = self._gain()
        if low >= -margin:
            return "not worse"
        return "worse" if high < -margin else "cannot tell"

    def _gain(self) -> tuple[float, float]:
        """Ends of the interval of the gain: of a fault, less is a gain."""
        value = self.difference
        if value is None:
            return -1.0, 1.0
        return (-value.high, -value.low) if self.lower_is_better else (value.low, value.high)


def side_by_side(
    first: tuple[StudyRecord, Sequence[AnswerRow]],
    second: tuple[StudyRecord, Sequence[AnswerRow]],
    arms: tuple[str, str],
    *,
    metric: str,
    lower_is_better: bool = False,
    statistic: Statistic | None = None,
) -> SideBySide:
    """Compare an arm of one study with an arm of another, or of the same one.

    Args:
        first: Record and stored answers.
        second: The same of the other study.
        arms: Of each.
        metric: Name of a metric that both studies have.
        lower_is_better: The metric measures a fault (`traits.MetricTraits.lower_is_better`).
        statistic: What is compared in place of mean scores.
    """
    score = (statistic.score if statistic else None) or partial(_score, metric=metric)
    former = [row for row in first[1] if arms[0] in row["arms"]]
    others = [row for row in second[1] if arms[1] in row["arms"]]
    answers = []
    for before, after in paired(former, others):
        answers.append(_compared(before, after, arms, score=score, lower_is_better=lower_is_better))
    answers.sort(key=lambda answer: (-abs(answer.difference), answer.difference, CHANGES.index(answer.change)))
    level = level_of(first[0], second[0])
    means, difference = statistic.estimates(answers) if statistic else _estimates(answers, level=level)
    return SideBySide(
        metric=metric,
        lower_is_better=lower_is_better,
        arms=arms,
        level=level,
        answers=tuple(answers),
        means=means,
        difference=difference,
        kind=statistic.kind if statistic else "",
        only=(len(former) - len(answers), len(others) - len(answers)),
    )


def paired(former: Sequence[AnswerRow], others: Sequence[AnswerRow]) -> Iterator[tuple[AnswerRow, AnswerRow]]:
    """Pairs of rows that ask the same: by the words of the conversation, among these first rows of one id."""
    waiting: defaultdict[str, list[AnswerRow]] = defaultdict(list)
    for row in others:
        waiting[_question(row)].append(row)
    alone = []
    for row in former:
        alike = waiting[_question(row)]
        place = next((place for place, other in enumerate(alike) if other["id"] == row["id"]), None)
        if place is None:
            alone.append(row)
        else:
            yield row, alike.pop(place)
    # After all of one id: a row with another id must not take the partner of one that kept its own.
    for row in alone:
        if alike := waiting[_question(row)]:
            yield row, alike.pop(0)


def _question(row: AnswerRow) -> str:
    return conversation_digest((turn["role"], turn["content"]) for turn in row["messages"])


def level_of(first: StudyRecord, second: StudyRecord) -> float:
    """Level of the intervals of a comparison: the stricter of the two studies'."""
    return max(float(first["level"]), float(second["level"]))


def _estimates(answers: Sequence[ComparedAnswer], *, level: float) -> Estimates:
    pairs = [answer for answer in answers if None not in answer.counted]
    # Failures alone, as of a metric that scores no single question, are no comparison.
    if all(score is None for answer in pairs for score in answer.scores):
        return (None, None), None
    groups = groups_of(pairs)
    scores = np.array([answer.scores for answer in pairs], dtype=float)  # shape (questions, studies), NaN: failed
    values = np.array([answer.counted for answer in pairs], dtype=float)
    means: list[Estimate | None] = []
    for column in scores.T:
        failed = int(np.isnan(column).sum())
        # Where every answer failed there is no mean, and the difference says so.
        whole = failed == len(column)
        means.append(None if whole else intervals.estimate(column, groups, level=level, failed=failed))
    contrast = intervals.contrasts(values, groups, {"second - first": [-1.0, 1.0]}, level=level)["second - first"]
    return (means[0], means[1]), contrast.estimate(failed=int(np.isnan(scores).any(axis=1).sum()))


def groups_of(pairs: Iterable[ComparedAnswer]) -> list[int]:
    """Group number of each pair: pairs that share a group in either study are of one group here."""
    roots: dict[tuple[int, str], tuple[int, str]] = {}

    def root(node: tuple[int, str]) -> tuple[int, str]:
        while roots.setdefault(node, node) != node:
            roots[node] = roots[roots[node]]
            node = roots[node]
        return node

    nodes = []
    for answer in pairs:
        here = (0, answer.before["group"])
        roots[root((1, answer.after["group"]))] = root(here)
        nodes.append(here)
    numbers: dict[tuple[int, str], int] = {}
    return [numbers.setdefault(root(node), len(numbers)) for node in nodes]


def _compared(
    before: AnswerRow,
    after: AnswerRow,
    arms: tuple[str, str],
    *,
    score: Callable[[AnswerRow, str], float | None],
    lower_is_better: bool,
) -> ComparedAnswer:
    first, second = before["arms"][arms[0]], after["arms"][arms[1]]
    scores = (score(before, arms[0]), score(after, arms[1]))
    # A fault of an answer that nobody got cannot be counted.
    failed = None if lower_is_better else 0.0
    counted = (failed if first["failure"] else scores[0], failed if second["failure"] else scores[1])
    if counted[0] is None or counted[1] is None:
        change = "not comparable"
    elif abs(counted[1] - counted[0]) > _TINY:
        change = "better" if (counted[1] > counted[0]) != lower_is_better else "worse"
    elif first["failure"] or second["failure"]:
        change = "not comparable"
    else:
        change = "same" if first["text"].split() == second["text"].split() else "other words"
    return ComparedAnswer(before=before, after=after, scores=scores, counted=counted, change=change)


def _score(row: AnswerRow, arm: str, *, metric: str) -> float | None:
    answer: ArmAnswer = row["arms"][arm]
    return None if answer["failure"] else answer["scores"].get(metric)
