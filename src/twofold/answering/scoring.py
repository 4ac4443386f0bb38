"""Scores of answers, each computed once: a score belongs to an answer and to a metric's key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from twofold.errors import ScorerBroken
from twofold.examples.questions import Questions
from twofold.execution.contract import Executor
from twofold.execution.local import Local
from twofold.plugins.protocols import Metric
from twofold.store.answers import Scores
from twofold.types import Answer, Example

_BATCH = 64
"""Answers scored and committed at a time."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The work of scoring batches of answers; see `execution.contract.BatchWork`."""

    metric: Metric
    """Scores; its options travel with it."""
    name: str
    """Of the metric, for messages."""

    @property
    def label(self) -> str:
        """For logs and errors."""
        return f"score {self.name}"

    def open(self) -> Callable[[Sequence[tuple[Example, Answer]]], list[float | None]]:
        """Nothing is opened: the metric is there."""
        return lambda pairs: [scored(self.metric, example, answer, name=self.name) for example, answer in pairs]


def scores(
    table: Scores,
    examples: Sequence[Example],
    answers: Sequence[Answer],
    *,
    keys: tuple[str, str],
    metric: Metric,
    name: str,
    judged: Callable[[], Sequence[Answer]] | None = None,
    executor: Executor | None = None,
) -> list[float | None]:
    """The score of every answer, computing only what is not in the table. A failed answer has no score.

    Args:
        table: Keeps the scores.
        examples: The questions, as answers to them are judged.
        answers: Their answers.
        keys: Key of the system that answered, and key of the metric with its options.
        metric: Scores.
        name: Of the metric, for messages.
        judged: Returns the answers as they are judged, where that is more than what was answered; called only where a
            score is missing.
        executor: Who scores; None: this process.

    Raises:
        ScorerBroken: a score is no number from 0 to 1.
    """
    system, key = keys
    digests = Questions.of(examples).digests
    cached = table.get(system, key)
    missing = [place for place, question in enumerate(digests) if question not in cached]
    read = judged() if judged and missing else answers
    due = [place for place in missing if answers[place].failure is None]
    batches = [due[start : start + _BATCH] for start in range(0, len(due), _BATCH)]

    def items() -> Iterator[list[tuple[Example, Answer]]]:
        for batch in batches:
            yield [(examples[place], read[place]) for place in batch]

    known = dict(cached)
    for number, fresh in (executor or Local()).run(Scoring(metric=metric, name=name), items()):
        # Each batch at once: what a dear metric has said is not lost with the process.
        part = dict(zip((digests[place] for place in batches[number]), fresh, strict=True))
        table.put(system, key, part)
        known |= part
    values: list[float | None] = []
    for question, answer in zip(digests, answers, strict=True):
        # A score of an earlier, successful answer is not the score of a failed one.
        values.append(None if answer.failure is not None else known.get(question))
    return values


def scored(metric: Metric, example: Example, answer: Answer, *, name: str) -> float | None:
    """The score of one answer.

    Raises:
        ScorerBroken: it is no number from 0 to 1. One that is not a number would count as a failed answer.
    """
    value = metric.score(example, answer)
    # Written so that NaN fails it too.
    if value is not None and not -1e-12 <= value <= 1 + 1e-9:
        raise ScorerBroken(
            f"the metric {name} returns {value:g} for an answer to example {example.id!r}; scores are between 0 and 1",
            cure="Make the metric return None where it does not apply, otherwise a number from 0 to 1.",
            file=example.file,
            line=example.line,
        )
    return value
