"""How much of a reference an answer has: exact match, token F1, contains, ROUGE-L. Best over all references.

An unanswerable example scores 1 for an abstention and 0 for anything else; an abstention on an answerable example
scores 0, whatever words it shares with the reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import ClassVar

from twofold import plugins
from twofold.metrics.text import find, normalise, tokens, words
from twofold.types import Answer, Example


class _Overlap(ABC):
    """What the metrics of this module share: references, abstention, and best of."""

    version: ClassVar[int] = 1
    Options: ClassVar[type[plugins.Options]] = plugins.Options

    def __init__(self, options: plugins.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best score over the references, in [0, 1]; None when there is no reference to compare with."""
        if not example.answerable:
            return float(answer.abstained)
        if not example.references:
            return None
        if answer.abstained:
            return 0.0
        return max(self.compare(answer.text, reference) for reference in example.references)

    @abstractmethod
    def compare(self, text: str, reference: str) -> float:
        """Score of one answer text against one reference."""

    def wants(self, example: Example) -> str:
        """What the metric tells apart: examples that want the same are interchangeable (see `self_test`)."""
        return normalise(example.references[0]) if example.answerable and example.references else "\0abstain"


class ExactMatch(_Overlap):
    """1 when the normalised answer equals a normalised reference (Rajpurkar et al. 2016)."""

    def compare(self, text: str, reference: str) -> float:
        """1 or 0."""
        return float(tokens(text) == tokens(reference))


class TokenF1(_Overlap):
    """Harmonic mean of token precision and recall (Rajpurkar et al. 2016); characters are tokens in Chinese and kin."""

    def compare(self, text: str, reference: str) -> float:
        """F1 of the two token bags."""
        mine, theirs = tokens(text), tokens(reference)
        if not mine or not theirs:
            return float(mine == theirs)
        shared = sum((Counter(mine) & Counter(theirs)).values())
        return 2 * shared / (len(mine) + len(theirs))


class Contains(_Overlap):
    """1 when a reference stands in the answer as whole consecutive tokens (``10`` does not stand in ``105``)."""

    def compare(self, text: str, reference: str) -> float:
        """1 or 0."""
        mine, theirs = tokens(text), tokens(reference)
        return float(mine == theirs or find(theirs, mine))


class RougeL(_Overlap):
    """F-measure of the longest common subsequence (Lin 2004), without stemming, as the `rouge-score` package."""

    def compare(self, text: str, reference: str) -> float:
        """LCS F1 of the two word sequences."""
        mine, theirs = words(text), words(reference)
        if not mine or not theirs:
            return float(normalise(text) == normalise(reference))
        return 2 * common_subsequence(mine, theirs) / (len(mine) + len(theirs))


def common_subsequence(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one step a word, on integers as bit sets."""
    places: dict[str, int] = {}
    for index, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << index
    full = (1 << len(first)) - 1
    open_places = full
    for word in second:
        match = open_places & places.get(word, 0)
        open_places = ((open_places + match) | (open_places - match)) & full
    return len(first) - open_places.bit_count()
