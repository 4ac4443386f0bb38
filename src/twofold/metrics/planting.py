"""Errors planted in right answers: what a detector of unsupported answers must find. Pure; the seed is an argument.

Four kinds, each in one sentence: a number becomes another, a name another (half of them of the same passages, which is
harder), a statement its negation, and a sentence one of another document. Whoever measures a detector by planted errors
alone overrates it on some kinds and underrates it on others: real errors are rarely that small, and rarely that clean.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twofold.metrics.support import sentences

_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?!\w)")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_VERB = r"\b(?:is|are|was|were|has|have|can|could|will|would|should|may|must|does|do|did)\b"
_POSITIVE = re.compile(rf"{_VERB}(?! not|n't)")
_NEGATIVE = re.compile(rf"({_VERB}) not\b")
_LENGTHS = range(40, 250)
"""Characters of a foreign sentence: neither a heading nor a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The passages that wrong words are taken from."""

    right: Sequence[str]
    """Those that hold the right answer."""
    others: Sequence[str]
    """Those of another answer."""


def errors(answer: str, texts: Texts, *, chance: random.Random) -> dict[str, str]:
    """Kind of error → the answer with one error of that kind; only the kinds that its words allow.

    Args:
        answer: A right answer.
        texts: Where wrong words come from.
        chance: Chooses sentence, place and words.
    """
    parts = sentences(answer)
    out: dict[str, str] = {}
    for kind, change in KINDS.items():
        # every sentence is tried, in a random order: not every one has a number
        for place in chance.sample(range(len(parts)), len(parts)):
            wrong = change(parts[place], texts, chance)
            if wrong and wrong != parts[place]:
                out[kind] = " ".join([*parts[:place], wrong, *parts[place + 1 :]])
                break
    return out


_Change = Callable[[str, Texts, random.Random], str]
"""Sentence, passages, chance → the wrong sentence; empty where there is nothing to change."""


def _number(sentence: str, texts: Texts, chance: random.Random) -> str:
    places = list(_NUMBER.finditer(sentence))
    if not places:
        return ""
    match = chance.choice(places)
    old = match.group()
    in_passages = [n for text in texts.right for n in _NUMBER.findall(text) if n != old and len(n) == len(old)]
    if in_passages and chance.random() < 0.5:
        new = chance.choice(in_passages)
    else:
        # the last digit: the year beside, a price a little off
        new = old[:-1] + chance.choice([digit for digit in "123456789" if digit != old[-1]])
    return f"{sentence[: match.start()]}{new}{sentence[match.end() :]}"


def _name(sentence: str, texts: Texts, chance: random.Random) -> str:
    places = list(_NAME.finditer(sentence))
    if not places:
        return ""
    match = chance.choice(places)
    near = [n for text in texts.right for n in _NAME.findall(text) if n not in sentence and match.group() not in n]
    names = near if near and chance.random() < 0.5 else _names(texts.others, sentence)
    return f"{sentence[: match.start()]}{chance.choice(names)}{sentence[match.end() :]}" if names else ""


def _names(passages: Sequence[str], sentence: str) -> list[str]:
    return [name for text in passages for name in _NAME.findall(text) if name not in sentence]


def _negation(sentence: str, _texts: Texts, _chance: random.Random) -> str:
    if denied := _NEGATIVE.search(sentence):
        return f"{sentence[: denied.start()]}{denied[1]}{sentence[denied.end() :]}"
    verb = _POSITIVE.search(sentence)
    return f"{sentence[: verb.end()]} not{sentence[verb.end() :]}" if verb else ""


def _foreign(_sentence: str, texts: Texts, chance: random.Random) -> str:
    lines = [line for text in texts.others for line in sentences(text) if len(line) in _LENGTHS]
    return chance.choice(lines) if lines else ""


KINDS: dict[str, _Change] = {"number": _number, "name": _name, "negation": _negation, "foreign": _foreign}
"""Kind of error → how a sentence gets it."""
