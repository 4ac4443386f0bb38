"""How well passages support each sentence of an answer, as numbers, by words alone. Pure.

Eight signs of a sentence that its passages do not support; each is 0 where nothing is wrong and 1 at worst. Words are
those of `grounding.terms`: the first letters of content words, and numbers. What a question says is not counted as
missing: the answer repeats it. `detector` weighs the signs. Weighing words by their rarity changed no area under the
curve by more than .01 on any of the five sets and would need a table of one language, so words weigh alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from twofold.metrics.claims import claims
from twofold.metrics.denials import denies
from twofold.metrics.values import tokens
from twofold.text.grounding import Term, terms

SIGNS = ("scattered", "absent", "strange_pairs", "displaced", "absent_name", "absent_number", "denial", "worst")
"""Names of the signs, in the order of `Statement.signs` and `of_answer`."""
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？।])|\n+")
_NEAR = 4
"""Content words up to which two words of a passage are near each other."""
_AROUND, _WITHIN = 3, 6
"""Neighbours of a word on either side in the answer, and words on either side in the passages where they may stand."""
_PLACES = 60
"""Occurrences of a word in the passages that are looked at: of more, one is near the neighbours anyhow."""
_SAME = 0.4
"""Share of a sentence's words that a passage's sentence must have for the two to be about the same statement."""

_LONG = 3
"""Different content words from which a sentence without a number or a name says something that can be wrong alone:
"I hope this helps!" has two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A sentence of an answer with the signs of missing support."""

    text: str
    """The sentence."""
    signs: tuple[float, ...]
    """A value in [0, 1] for each of `SIGNS`."""
    brief: bool = False
    """Too short to make a whole answer wrong: a politeness, a command. Never with a number or a name."""


@dataclass(frozen=True, slots=True)
class _Read:
    """Passages, read once for all sentences of an answer."""

    plain: str
    """Their text, without case and with single blanks."""
    sentences: tuple[str, ...]
    keys: tuple[frozenset[str], ...]
    """The words of each sentence."""
    all_keys: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    """Pairs of words that stand near each other, in their order."""
    stream: tuple[str, ...]
    """All words in order, with gaps between passages."""
    places: dict[str, tuple[int, ...]]
    """Word → its places in the stream."""


def statements(answer: str, question: str, passages: Sequence[str]) -> list[Statement]:
    """The sentences of an answer that can be checked, each with its signs.

    Args:
        answer: The answer, without citation markers.
        question: The question.
        passages: Texts of the passages; at least one.
    """
    read = _read(tuple(passages))
    asked_keys = frozenset(term.key for term in terms(question))
    out = []
    for sentence in claims(answer, sentences):
        if words := terms(sentence):
            signs = _signs(sentence, words, asked_keys, read)
            out.append(Statement(text=sentence, signs=signs, brief=_brief(words)))
    return out


def of_answer(parts: Sequence[Statement]) -> tuple[float, ...]:
    """The signs of a whole answer: means over its statements, and of `worst` the greatest value."""
    columns = list(zip(*(part.signs for part in parts), strict=True))
    return (*(sum(column) / len(column) for column in columns[:-1]), max(columns[-1]))


def sentences(text: str) -> list[str]:
    """The text in sentences, lines apart."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _signs(sentence: str, words: Sequence[Term], in_question: frozenset[str], read: _Read) -> tuple[float, ...]:
    # word for word in a passage: whatever else the passages say, this they say
    if _plain(sentence) in read.plain:
        return (0.0,) * len(SIGNS)
    keys = [word.key for word in words]
    unique = set(keys)
    missing = [key for key in keys if key not in read.all_keys]
    neighbours = list(pairwise(keys))
    strange = [p for p in neighbours if p not in read.pairs and p[::-1] not in read.pairs]
    best = max(range(len(read.keys)), key=lambda place: len(unique & read.keys[place]), default=-1)
    covered = len(unique & read.keys[best]) / len(unique) if best >= 0 else 0.0
    new = [word for word in words if word.key not in read.all_keys and word.key not in in_question]
    # the first word of a sentence has a capital whatever it is
    name = any(word.capital for word in new if word is not words[0])
    number = any(word.number for word in new)
    absent = len(missing) / len(keys)
    denial = covered > _SAME and denies(sentence, tokens(sentence)) != _denies(read.sentences[best])
    return (
        1.0 - covered,
        absent,
        len(strange) / len(neighbours) if neighbours else float(bool(missing)),
        _displaced(keys, read),
        float(name),
        float(number),
        float(denial),
        absent,
    )


def _brief(words: Sequence[Term]) -> bool:
    return len({word.key for word in words}) < _LONG and not any(
        # the first word of a sentence has a capital whatever it is
        word.number or (word.capital and word is not words[0])
        for word in words
    )


def _displaced(keys: Sequence[str], read: _Read) -> float:
    """Mean share of a word's neighbours that stand nowhere near it in the passages, over the words that they have."""
    shares = []
    for place, key in enumerate(keys):
        near = {*keys[max(0, place - _AROUND) : place], *keys[place + 1 : place + 1 + _AROUND]}
        if near and key in read.places:
            spots = read.places[key][:_PLACES]
            found_near = [len(near.intersection(read.stream[max(0, p - _WITHIN) : p + 1 + _WITHIN])) for p in spots]
            shares.append(1.0 - max(found_near) / len(near))
    return sum(shares) / len(shares) if shares else 0.0


@lru_cache(maxsize=4096)
def _denies(sentence: str) -> bool:
    return denies(sentence, tokens(sentence))


@lru_cache(maxsize=256)
def _read(passages: tuple[str, ...]) -> _Read:
    lines: list[str] = []
    keys_of_lines: list[frozenset[str]] = []
    stream: list[str] = []
    pairs: set[tuple[str, str]] = set()
    for passage in passages:
        lines += sentences(passage)
        # wider than any neighbourhood: words of two passages are not near each other
        stream += [""] * (2 * _WITHIN)
        for line in sentences(passage):
            keys = [word.key for word in terms(line)]
            keys_of_lines.append(frozenset(keys))
            for place, key in enumerate(keys):
                pairs.update((key, other) for other in keys[place + 1 : place + 1 + _NEAR])
            stream += keys
    places: dict[str, list[int]] = {}
    for place, key in enumerate(stream):
        if key:
            places.setdefault(key, []).append(place)
    return _Read(
        "\n".join(map(_plain, passages)),
        tuple(lines),
        tuple(keys_of_lines),
        frozenset(places),
        frozenset(pairs),
        tuple(stream),
        {key: tuple(spots) for key, spots in places.items()},
    )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
