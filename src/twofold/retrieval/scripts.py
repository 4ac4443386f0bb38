"""Letters and words of other scripts in one form for the word leg: digits, letters without an accent's mark, particles.

Pure. What Unicode's compatibility forms do not join: digits of any script, ``ł`` and ``ø``, the letters of Persian and
Arabic keyboards, Hebrew abbreviations, and Korean and Hebrew words with the particle that is written onto them.
"""

from __future__ import annotations

import re

_ZEROS = "٠۰߀०০੦૦୦௦౦೦൦෦๐໐༠၀႐០᠐᥆᧐᪀᪐᭐᮰᱀᱐꘠꣐꤀꧐꧰꩐꯰"
"""Nought in each script that has digits of its own; the others follow it (Unicode, category Nd)."""
_DIGITS = {ord(zero) + digit: str(digit) for zero in _ZEROS for digit in range(10)}
_POINTS = {0x66A: "%", 0x66B: ".", 0x66C: ","}
"""Arabic signs of per cent, decimals and thousands."""
SIGNS = _DIGITS | _POINTS
"""For `str.translate`: digits of every script, and the signs between them, as those of ASCII."""
_LATIN = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
_ARABIC = {"ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ھ": "ه", "ە": "ه", "ۃ": "ه"}
LETTERS = str.maketrans(_LATIN | _ARABIC | {"ւ": "վ"})
"""Of folded text: letters that people write in one another's place, the last the second part of Armenian ``և``."""
_HEBREW_SHORT = re.compile('["״](?<=[\u05d0-\u05ea].)(?=[\u05d0-\u05ea])')
"""Quotation marks before the last letter of an abbreviation."""
_HALF_JOINED = re.compile("(?<=[\u0620-\u06ff])\u200c(?=[\u0620-\u06ff])")
"""Between the parts of a Persian word, where the letters do not join."""
_POWER = re.compile("([⁰¹²³⁴-⁹⁺⁻])(?<=[0-9].)")
_PARTICLES = re.compile(
    "(?P<any>에서부터|으로부터|로부터|에게서|에서는|에서도|에서의|이라고|입니다|에서|에게|한테|께서|부터|까지|처럼"
    "|보다|마다|조차|밖에|이다|들이|들은|들을|들의|에는|에도|의|에|도|만|께)$"
    "|(?P<closed>으로|이나|이란|이며|이고|은|이|을|과)$|(?P<open>는|가|를|와|로|나|며)$"
)
"""What is written onto a Korean word: anywhere, behind a syllable with a consonant at its end, behind one without."""
_SYLLABLE = re.compile("[가-힣]")
_HEBREW_PREFIX = re.compile("(?:ו?[בכלמש]?ה|[ובכלמש])(?=[\u05d0-\u05ea]{3})")
"""The Hebrew article and what is written before it: *and*, *in*, *as*, *to*, *from*, *that*."""
_ARTICLE = re.compile("(?:[وفبك]?ال|لل)(?=[\u0621-\u064a]{3})")
"""The Arabic article, alone or after *and*, *so*, *by*, *as*, *for*: what follows is the word (Larkey et al. 2002)."""


def joined(text: str) -> str:
    """A text before its compatibility forms are taken: short forms whole, parts of Persian words apart, powers too."""
    if "\u200c" in text:
        text = _HALF_JOINED.sub("_", text)
    text = _HEBREW_SHORT.sub("", text)
    return _POWER.sub(r"^\1", text)


def bare(word: str) -> str:
    """A folded word without what its language writes onto it; nothing where it carries nothing."""
    first, last = word[:1], word[-1:]
    if "\u0590" < first < "\u0700":
        prefix = _ARTICLE.match(word) or _HEBREW_PREFIX.match(word)
        return word[prefix.end() :] if prefix else ""
    if not _SYLLABLE.match(last) or not (match := _PARTICLES.search(word)):
        return ""
    stem = word[: match.start()]
    if not stem:
        return ""
    before = stem[-1]
    if _SYLLABLE.match(before):
        # a Hangul syllable has one of 28 endings: number 0 is none, number 8 is ㄹ
        vowel = (ord(before) - 0xAC00) % 28 == 0
        # behind ㄹ "로" stands as behind a vowel
        liquid = match.group() == "로" and (ord(before) - 0xAC00) % 28 == 8
        if (match.group("closed") and vowel) or (match.group("open") and not vowel and not liquid):
            return ""
    return stem
