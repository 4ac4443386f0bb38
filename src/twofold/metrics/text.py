"""Text as metrics see it: normalised strings and tokens. Pure.

SQuAD's normalisation (Rajpurkar et al. 2016): lower case, punctuation removed, articles removed, white space evened.
Three additions, so that it holds outside English prose: every Unicode punctuation mark counts as punctuation, not
ASCII's only; a character of a script written without spaces (Chinese, Japanese, Thai, Khmer, Lao, Burmese) is a token
of its own (as MLQA's mixed segmentation, Lewis et al. 2020); and where normalisation would leave nothing, or all
tokens are single letters (the choice ``A``, the list ``A,C``), articles or punctuation stay and the letters are tokens.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ARTICLES = frozenset(("a", "an", "the"))
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f])"
)
_LETTERS = re.compile(r"\s*[a-z](?:\s*[,;/]\s*[a-z])+[\s.]*")
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


@lru_cache(maxsize=65536)
def tokens(text: str) -> tuple[str, ...]:
    """Tokens of a normalised text, for exact match, token F1 and contains."""
    folded = unicodedata.normalize("NFC", text).lower()
    if _LETTERS.fullmatch(folded):
        return tuple(re.findall("[a-z]", folded))
    bare = "".join(character for character in folded if not _punctuation(character))
    parts = _UNSPACED.sub(r" \1 ", bare).split()
    if not parts:
        return tuple(folded.split())
    if all(len(part) == 1 and part.isalpha() for part in parts):
        return tuple(parts)
    return tuple(part for part in parts if part not in _ARTICLES) or tuple(parts)


def normalise(text: str) -> str:
    """The tokens joined by single spaces: two texts are the same answer when this is equal."""
    return " ".join(tokens(text))


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """Tokens for ROUGE: runs of letters and digits in lower case (on ASCII text exactly those of `rouge-score`)."""
    return tuple(re.findall(r"[^\W_]+", _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFC", text).lower())))


@lru_cache(maxsize=65536)
def label(text: str) -> str:
    """A label: case, punctuation and underscores do not matter; articles do (``A`` is a choice)."""
    folded = text.casefold()
    return " ".join(re.findall(r"[^\W_]+", folded)) or " ".join(folded.split())


def find(needle: tuple[str, ...], hay: tuple[str, ...]) -> bool:
    """Does `needle` stand in `hay` as consecutive tokens?"""
    if not needle:
        return False
    size = len(needle)
    return any(hay[start : start + size] == needle for start in range(len(hay) - size + 1))


def _punctuation(character: str) -> bool:
    return character in _ASCII_PUNCTUATION or (ord(character) > 127 and unicodedata.category(character)[0] == "P")
