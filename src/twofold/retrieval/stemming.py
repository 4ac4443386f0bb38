"""Porter's English stemmer (M. F. Porter, *An algorithm for suffix stripping*, Program 14(3), 1980). Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_STEP2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("abli", "able"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
    ("iviti", "ive"), ("biliti", "ble"),
)  # fmt: skip
_STEP3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
# longer endings before those that they end with: ement, ment, ent
_STEP4 = (
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ion", "ism", "ate", "iti", "ous", "ive", "ize",
    "al", "er", "ic", "ou",
)  # fmt: skip
_ASCII = re.compile(r"[a-z]+")


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of a lower-case English word; anything that is not a-z, or shorter than 3 letters, stays as it is."""
    if len(word) < 3 or not _ASCII.fullmatch(word):
        return word
    # the paper's steps 1a to 1c, 2 and 3, and last 4 and 5
    word = _plural(word)
    word = _past(word)
    if word.endswith("y") and _vowel(word[:-1]):
        word = word[:-1] + "i"
    for pairs in (_STEP2, _STEP3):
        word = _swap(word, pairs)
    return _final(_strip(word))


def _shape(word: str) -> str:
    """``c`` and ``v`` for each letter; y after a consonant is a vowel."""
    out = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and out.endswith("c"))
        out += "v" if vowel else "c"
    return out


def _measure(word: str) -> int:
    """Porter's m: number of vowel-consonant runs."""
    return _shape(word).count("vc")


def _vowel(word: str) -> bool:
    return "v" in _shape(word)


def _doubled(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _short(word: str) -> bool:
    """Consonant, vowel, consonant at the end, the last not w, x or y."""
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


def _plural(word: str) -> str:
    for ending, instead in (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")):
        if word.endswith(ending):
            return word[: len(word) - len(ending)] + instead
    return word


def _past(word: str) -> str:
    if word.endswith("eed"):
        # ends the step even unchanged: "feed" keeps its "ed"
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending):
            root = word[: -len(ending)]
            if not _vowel(root):
                return word
            # the e that the ending took: conflat(ed), troubl(ed), siz(ed)
            if root.endswith(("at", "bl", "iz")):
                return root + "e"
            # hopp(ing), but not fall(ing), hiss(ing), fizz(ed)
            if _doubled(root) and root[-1] not in "lsz":
                return root[:-1]
            return root + "e" if _measure(root) == 1 and _short(root) else root
    return word


def _swap(word: str, pairs: tuple[tuple[str, str], ...]) -> str:
    # the longest ending decides, whether its measure fits or not
    for ending, instead in sorted(pairs, key=lambda pair: -len(pair[0])):
        if word.endswith(ending):
            root = word[: -len(ending)]
            return root + instead if _measure(root) > 0 else word
    return word


def _strip(word: str) -> str:
    for ending in _STEP4:
        if word.endswith(ending):
            root = word[: -len(ending)]
            fits = _measure(root) > 1 and (ending != "ion" or root.endswith(("s", "t")))
            return root if fits else word
    return word


def _final(word: str) -> str:
    if word.endswith("e"):
        root = word[:-1]
        measure = _measure(root)
        if measure > 1 or (measure == 1 and not _short(root)):
            word = root
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word
