"""Classification: accuracy, and macro-F1 over all examples together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from twofold import plugins
from twofold.metrics.text import find, label
from twofold.types import Answer, Example

ABSTAINED = "\0abstain"
"""The label of an abstention; no text has it."""


def predicted(example: Example, answer: Answer) -> str:
    """The label an answer stands for.

    The whole answer when it is a reference's or a choice's label; else, for an example with choices, the only choice
    that stands in the answer as whole words (a choice inside a longer choice found does not count; a single-letter
    choice must be upper case and followed by the end or a mark, as in ``B) two``); else the answer's own text.
    """
    if answer.abstained:
        return ABSTAINED
    whole = label(answer.text)
    known = {label(text) for text in (*example.references, *example.choices)}
    if whole in known or not example.choices:
        return whole
    found = {label(choice) for choice in example.choices if _stands_in(choice, answer.text)}
    longest = [one for one in found if not any(one != other and _within(one, other) for other in found)]
    return longest[0] if len(longest) == 1 else whole


def _within(inner: str, outer: str) -> bool:
    return find(tuple(inner.split()), tuple(outer.split()))


def _stands_in(choice: str, text: str) -> bool:
    if len(choice.strip()) == 1:
        return bool(re.search(rf"(?<!\w){re.escape(choice.strip())}(?=\s*(?:$|[^\w\s]))", text))
    return _within(label(choice), label(text))


def _wanted(example: Example) -> tuple[str, ...]:
    return tuple(label(text) for text in example.references) if example.answerable else (ABSTAINED,)


class Accuracy:
    """1 when the answer's label is a reference's label."""

    version: ClassVar[int] = 1
    Options: ClassVar[type[plugins.Options]] = plugins.Options

    def __init__(self, options: plugins.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1 or 0; None when there is no reference."""
        wanted = _wanted(example)
        return float(predicted(example, answer) in wanted) if wanted else None

    def wants(self, example: Example) -> str:
        """The label wanted."""
        return (*_wanted(example), "")[0]


class MacroF1(Accuracy):
    """F1 of every label that is wanted somewhere, averaged over labels: rare labels count as much as frequent ones.

    A statistic of all examples together (`pooled`); the score of one example is its accuracy. A label that is only
    ever predicted, never wanted, lowers others' recall but is no class of its own.
    """

    pooled: ClassVar[bool] = True

    def pool(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """Macro-F1 in [0, 1] of all items that have a reference; 0 when there are none."""
        hits: Counter[str] = Counter()
        wanted_count: Counter[str] = Counter()
        said_count: Counter[str] = Counter()
        for example, answer in items:
            wanted = _wanted(example)
            if not wanted:
                continue
            said = predicted(example, answer)
            truth = said if said in wanted else wanted[0]
            wanted_count[truth] += 1
            said_count[said] += 1
            hits[truth] += said == truth
        if not wanted_count:
            return 0.0
        return sum(2 * hits[one] / (wanted_count[one] + said_count[one]) for one in wanted_count) / len(wanted_count)
