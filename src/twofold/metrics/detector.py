"""The detector of unsupported answers: the signs of `support`, weighed; a probability for an answer and each sentence.

The weights are the few numbers of ``detector.json``, fitted by ``bench/groundedness.py --write`` on labels of BEGIN
(Dziri et al. 2022; CC-BY-4.0, CDLA-Sharing-1.0), HaluEval (Li et al. 2023; MIT, knowledge from Wikipedia CC-BY-SA) and
MTRAG (Katsis et al. 2025; Apache-2.0), and on errors planted in answers of CLAPnq (Apache-2.0) and DSTC11 (CDLA-
Sharing-1.0). No text of these sets is shipped. All weights are at least 0: no sign of missing support ever speaks for
an answer. The probability is that of an error where half of the answers have one; what share has one in a project is
not known, so the threshold matters and the probability alone does not.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from twofold.metrics.support import SIGNS, of_answer, statements

FILE = Path(__file__).with_name("detector.json")
"""The weights."""
FEWEST = 20
"""Right answers below which a tenth of them is too few to choose a threshold by."""
WORST = 0.8
"""Share of its worst sentence's probability that an answer has at least; brief sentences apart (`Statement.brief`).
Signs of an answer are means, in which one wrong sentence of many is lost: of errors planted in the long answers of
medquad, which nothing was fitted on, the means alone find .01 at the threshold, with .6 of the worst sentence .12, with
.8 .32, with all of it .41, none with a false alarm. Single sentences of people's replies are doubtful more often:
mtrag's area is .929, .929, .918 and .893."""
FALSE_ALARMS = 0.1
"""Share of a project's own right answers that may count as unsupported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A sentence with the probability that the passages do not support it."""

    text: str
    """The sentence."""
    unsupported: float
    """Probability in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How well an answer is supported by passages."""

    unsupported: float
    """Probability in [0, 1] that the passages do not support the answer."""
    statements: tuple[Judged, ...]
    """The sentences that can be checked, in their order."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Weighs the signs of missing support."""

    weights: tuple[float, ...]
    """A weight for each of `support.SIGNS`."""
    constant: float
    """Log-odds of an answer without any sign."""
    threshold: float
    """Probability from which an answer counts as unsupported: found minus false alarms is greatest there, on average
    over sets that were left out in turn."""

    def judge(self, answer: str, question: str, passages: Sequence[str]) -> Judgement | None:
        """Judge an answer by passages; None where there is no passage, or no statement to check.

        Args:
            answer: The answer, without citation markers.
            question: The question.
            passages: Texts of the passages.
        """
        parts = statements(answer, question, passages) if passages else []
        if not parts:
            return None
        judged = tuple(Judged(text=part.text, unsupported=self.probability(part.signs)) for part in parts)
        claimed = [one.unsupported for one, part in zip(judged, parts, strict=True) if not part.brief]
        worst = max(claimed, default=0.0)
        return Judgement(unsupported=max(self.probability(of_answer(parts)), WORST * worst), statements=judged)

    def probability(self, signs: Sequence[float]) -> float:
        """Probability in [0, 1] that what has these signs is not supported."""
        odds = self.constant + sum(weight * sign for weight, sign in zip(self.weights, signs, strict=True))
        return 1.0 / (1.0 + math.exp(-odds))


def own_threshold(unsupported: Sequence[float], *, least: float) -> float:
    """The threshold of a project by its own right answers: at most a tenth of them count as unsupported.

    How far right answers paraphrase differs between projects more than right from wrong does within one, so no
    threshold fits all. The shipped one is never lowered: references of a few words are supported trivially, and the
    sentences that arms write are not.

    Args:
        unsupported: Probabilities of right answers judged by their gold passages.
        least: The threshold where they say no more, or are fewer than `FEWEST`.
    """
    if len(unsupported) < FEWEST:
        return least
    ordered = sorted(unsupported)
    # above the value itself: equal answers must not be false alarms all at once
    quantile = math.nextafter(ordered[math.ceil((1 - FALSE_ALARMS) * len(ordered)) - 1], 1.0)
    return max(least, quantile)


def area(items: Sequence[tuple[float, bool]]) -> float:
    """Area under the ROC curve of (probability, is it wrong?), ties half; .5 where all are wrong or all right."""
    wrong = [value for value, bad in items if bad]
    right = sorted(value for value, bad in items if not bad)
    if not wrong or not right:
        return 0.5
    return sum(bisect_left(right, value) + bisect_right(right, value) for value in wrong) / (
        2 * len(wrong) * len(right)
    )


@lru_cache(maxsize=1)
def shipped() -> Detector:
    """The detector with the weights that are shipped."""
    values = json.loads(FILE.read_text(encoding="utf-8"))
    return Detector(
        weights=tuple(values["signs"][name] for name in SIGNS),
        constant=values["constant"],
        threshold=values["threshold"],
    )
