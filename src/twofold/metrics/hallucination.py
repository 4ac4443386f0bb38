"""Do the passages support what an answer says (`Hallucination`), and does it say anything (`AnswerRate`)?

No model is asked and no labels are needed; see `detector`. An answer is judged by the passages that it was written
with; in a study, an answer of an arm that saw none is judged by the best passages of the corpus. So "not supported"
means by these passages: what is true and stands nowhere in the documents counts as unsupported, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from twofold.metrics.detector import Judgement, own_threshold, shipped
from twofold.plugins import protocols
from twofold.text import grounding
from twofold.types import Answer, Example


class Hallucination:
    """1 when the passages do not support the answer, 0 when they do; None where nothing was said or can be checked.

    None is given for an abstention, an answer without passages, a choice, and a yes or no. An arm that always abstains
    does not hallucinate, so a study reports ``answer_rate`` beside it.
    """

    version: ClassVar[int] = 4
    conditional: ClassVar[bool] = True
    """Whether an example is scored depends on the answer: no arms can be compared by it."""
    lower_is_better: ClassVar[bool] = True
    judges_passages: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("answer_rate",)
    right: ClassVar[float | None] = None

    class Options(protocols.Options):
        """Options of the metric ``hallucination``."""

        threshold: float = Field(default=0.0, ge=0, lt=1)
        """Probability from which an answer counts as not supported; 0: the one chosen on labelled sets, raised in a
        study where more than a tenth of the project's own right answers would count."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def threshold(self) -> float:
        """The threshold in force."""
        return self.options.threshold or shipped().threshold

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None."""
        doubt = self.doubt(example, answer)
        return None if doubt is None else float(doubt >= self.threshold)

    def doubt(self, example: Example, answer: Answer) -> float | None:
        """Probability in [0, 1] that the passages do not support the answer, or None."""
        judgement = judged(example, answer)
        return None if judgement is None else judgement.unsupported

    def calibrated(self, doubts: Sequence[float]) -> Options:
        """Options with the threshold of `detector.own_threshold`, unless one is configured."""
        if self.options.threshold:
            return self.options
        return self.Options(threshold=own_threshold(doubts, least=shipped().threshold))


class AnswerRate:
    """Of the answerable examples, the share that is answered: 1 for an answer, 0 for an abstention."""

    version: ClassVar[int] = 1
    Options: ClassVar[type[protocols.Options]] = protocols.Options
    reference_free: ClassVar[bool] = True
    right: ClassVar[float | None] = None

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None for an unanswerable example."""
        return float(not answer.abstained) if example.answerable else None


def judged(example: Example, answer: Answer) -> Judgement | None:
    """The judgement of an answer by its passages, sentence by sentence; None where it cannot be judged."""
    # "yes" and the label of a choice stand in every passage or in none
    if answer.abstained or not grounding.checkable(answer.text, example.choices):
        return None
    return shipped().judge(answer.text, example.question, [hit.chunk.text for hit in answer.hits])
