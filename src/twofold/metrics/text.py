"""Text as published scores see it: SQuAD's tokens, ROUGE's words; and labels, which are neither. Pure."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

from twofold.metrics.spellings import UNSPACED, written
from twofold.metrics.values import all_tokens, scanned

_PUNCTUATION = frozenset(string.punctuation)
_LINKED = re.compile(r"(?<=\w)_+|_+(?=\w)|(?<=[^\W\d])-(?=[^\W_])|(?<=[^\W\d])[–—](?=[^\W_])")


@lru_cache(maxsize=65536)
def squad_tokens(text: str) -> tuple[str, ...]:
    """Tokens of SQuAD's evaluation script (Rajpurkar et al. 2016), on any text exactly those.

    Lower case, ASCII punctuation removed, the English articles removed: 3.14 is 314 and ``a < b`` is ``a > b``.
    """
    bare = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return tuple(re.sub(r"\b(a|an|the)\b", " ", bare, flags=re.UNICODE).split())


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """Tokens for ROUGE: runs of letters and digits in lower case (on ASCII text exactly those of `rouge-score`).

    A character is a token in scripts without blanks. A mark that combines with a letter (a vowel of Hindi or Thai) is
    part of the text: without it two words would be one, and a word of Hindi several.
    """
    plain = UNSPACED.sub(r" \1 ", unicodedata.normalize("NFC", text).lower())
    if not plain.isascii():
        plain = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in plain)
        return tuple(plain.split())
    return tuple(re.findall(r"[^\W_]+", plain))


@lru_cache(maxsize=65536)
def strict_label(text: str) -> str:
    """A label with its case: underscores, hyphens between words and punctuation do not matter.

    Signs, operators, numbers and combining marks do (``C``, ``C++`` and ``C#`` are three labels), and articles do
    (``A`` is a choice).
    """
    return " ".join(scanned(_LINKED.sub(" ", written(text)), versions=True)) or " ".join(text.split())


@lru_cache(maxsize=65536)
def label(text: str) -> str:
    """A label without its case, that of units apart; see `strict_label`."""
    return " ".join(all_tokens(_LINKED.sub(" ", written(text)), versions=True)) or " ".join(text.casefold().split())


def find(needle: tuple[str, ...], hay: tuple[str, ...]) -> bool:
    """Does `needle` stand in `hay` as consecutive tokens?"""
    size = len(needle)
    return bool(needle) and any(
        hay[start] == needle[0] and hay[start : start + size] == needle for start in range(len(hay) - size + 1)
    )


def common_subsequence(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one step a word, on integers as bit sets."""
    places: dict[str, int] = {}
    for index, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << index
    full = (1 << len(first)) - 1  # a bit for each word of `first`; 0 where the subsequence has one
    open_places = full
    for word in second:
        match = open_places & places.get(word, 0)
        open_places = ((open_places + match) | (open_places - match)) & full
    return len(first) - open_places.bit_count()
