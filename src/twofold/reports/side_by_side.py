"""Two studies side by side, question by question. Pure.

Only questions that both asked in the same words are compared; of every other the number is told. The difference is
paired, with the interval of the verdict's own machinery (`stats.intervals.contrasts`) and one sign a group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twofold.stats import intervals
from twofold.types import Estimate
from twofold.verdict.record import AnswerRow, ArmAnswer, StudyRecord

CHANGES = ("better", "worse", "other words", "same", "not comparable")
"""What may have become of an answer, from the first study to the second."""
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
    change: str
    """One of `CHANGES`."""

    @property
    def difference(self) -> float:
        """Second minus first; 0 where one is missing."""
        first, second = self.scores
        return 0.0 if first is None or second is None else second - first


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Two studies compared."""

    metric: str
    """What the scores are in."""
    arms: tuple[str, str]
    """The arm of each study."""
    answers: tuple[ComparedAnswer, ...]
    """The largest differences first, losses before gains of the same size."""
    means: tuple[Estimate | None, Estimate | None]
    """Of each, over the questions that both have a score for."""
    difference: Estimate | None
    """Second minus first; None where no question has both scores."""
    only: tuple[int, int]
    """Number of questions that only the first, and only the second study has, or asks in other words."""

    def counts(self) -> dict[str, int]:
        """`CHANGES` → number of questions."""
        return {**dict.fromkeys(CHANGES, 0), **Counter(answer.change for answer in self.answers)}


def side_by_side(
    first: tuple[StudyRecord, Sequence[AnswerRow]],
    second: tuple[StudyRecord, Sequence[AnswerRow]],
    arms: tuple[str, str],
    *,
    metric: str,
) -> SideBySide:
    """Compare an arm of one study with an arm of another, or of the same one.

    Args:
        first: Record and stored answers.
        second: The same of the other study.
        arms: Of each.
        metric: Name of a metric that both studies have.
    """
    former = {(row["id"], row["question"]): row for row in first[1] if arms[0] in row["arms"]}
    others = {(row["id"], row["question"]): row for row in second[1] if arms[1] in row["arms"]}
    answers = [_compared(former[key], others[key], arms, metric) for key in former if key in others]
    answers.sort(key=lambda answer: (-abs(answer.difference), answer.difference, CHANGES.index(answer.change)))
    scored = [answer for answer in answers if None not in answer.scores]
    means: tuple[Estimate | None, Estimate | None] = (None, None)
    difference = None
    if scored:
        numbers: dict[str, int] = {}
        groups = [numbers.setdefault(answer.before["group"], len(numbers)) for answer in scored]
        values = np.array([answer.scores for answer in scored], dtype=float)  # shape (questions, studies)
        level = float(second[0]["level"])
        means = (
            intervals.estimate(values[:, 0], groups, level=level),
            intervals.estimate(values[:, 1], groups, level=level),
        )
        difference = intervals.contrasts(values, groups, {"second - first": [-1.0, 1.0]}, level=level)[
            "second - first"
        ].estimate()
    return SideBySide(
        metric=metric,
        arms=arms,
        answers=tuple(answers),
        means=means,
        difference=difference,
        only=(len(former) - len(answers), len(others) - len(answers)),
    )


def _compared(before: AnswerRow, after: AnswerRow, arms: tuple[str, str], metric: str) -> ComparedAnswer:
    first, second = before["arms"][arms[0]], after["arms"][arms[1]]
    scores = (_score(first, metric), _score(second, metric))
    if scores[0] is None or scores[1] is None:
        change = "not comparable"
    elif abs(scores[1] - scores[0]) > _TINY:
        change = "better" if scores[1] > scores[0] else "worse"
    else:
        change = "same" if first["text"].split() == second["text"].split() else "other words"
    return ComparedAnswer(before=before, after=after, scores=scores, change=change)


def _score(answer: ArmAnswer, metric: str) -> float | None:
    return None if answer["failure"] else answer["scores"].get(metric)
