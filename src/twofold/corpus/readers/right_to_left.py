"""Put words written from right to left into reading order, where PDFium gives them in another.

PDFium reverses the characters of a line one by one. Characters that share one glyph lie in one place and come out
backwards. Some words whose glyphs a program wrote in reading order come out in the order of the page, from the left.
The places of the characters tell which is the case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

_SIGNS = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_LINE = re.compile(f"[{_SIGNS}](?:[ {_SIGNS}]*[{_SIGNS}])?")
"""Words of Hebrew, Arabic and their like, with blanks between."""
_LONGEST = 200
"""Most characters of a word; a longer run is no word and stays as it is."""
_FORMS = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]+")


class _Sign(NamedTuple):
    """A character and the edges of its glyph, in points from the left of the page."""

    left: float
    right: float
    text: str


def _left_edge(word: Sequence[_Sign]) -> float:
    return min(sign.left for sign in word)


def righted(page: PdfTextPage, text: str) -> str:
    """Put right-to-left words into reading order; other text stays as it is.

    Args:
        page: The page.
        text: The whole text of the page.
    """
    if text.isascii() or not _LINE.search(text):
        return text
    from pypdfium2.raw import FS_RECTF, FPDFText_GetLooseCharBox, FPDFText_GetUnicode

    box, raw = FS_RECTF(), page.raw
    codes = ((at, FPDFText_GetUnicode(raw, at)) for at in range(page.count_chars()))
    places = [at for at, code in codes if code >= 32 or code in (10, 13)]
    if len(places) != len(text):  # characters beyond 16 bits: places and text do not match
        return text

    def sign(at: int) -> _Sign:
        FPDFText_GetLooseCharBox(raw, places[at], box)
        return _Sign(box.left, box.right, text[at])

    def turned(match: re.Match[str]) -> str:
        signs = [sign(at) for at in range(*match.span())]
        words = [list(word) for blank, word in groupby(signs, lambda letter: letter.text == " ") if not blank]
        if _ascends([_left_edge(word) for word in words]):
            words.reverse()
        return " ".join(map(_word, words))

    return _LINE.sub(turned, text)


def formless(text: str) -> str:
    """Replace the forms of Arabic letters (initial, medial, final) by the letters themselves (Unicode, NFKC)."""
    if text.isascii() or not _FORMS.search(text):
        return text
    return _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def _word(signs: Sequence[_Sign]) -> str:
    """The characters of a word in reading order; a mark above or below follows its letter."""
    if len(signs) > _LONGEST:
        return "".join(sign.text for sign in signs)
    ordered: list[_Sign] = []
    for (left, right), each in groupby(signs, attrgetter("left", "right")):
        run = list(each)
        ordered += reversed(run) if left < right else run
    letters = [sign for sign in ordered if not unicodedata.combining(sign.text)]
    if not _ascends([sign.left for sign in letters]):
        return "".join(sign.text for sign in ordered)
    letters.sort(key=lambda sign: -sign.left)
    after: dict[int, list[str]] = {}
    for sign in ordered:
        if unicodedata.combining(sign.text):
            away = [abs(letter.left + letter.right - sign.left - sign.right) for letter in letters]
            after.setdefault(away.index(min(away)), []).append(sign.text)
    return "".join(sign.text + "".join(after.get(at, ())) for at, sign in enumerate(letters))


def _ascends(places: Sequence[float]) -> bool:
    """Do more places lie to the right of the previous one than to its left?"""
    steps = [b - a for a, b in pairwise(places)]
    return sum(step > 0 for step in steps) > sum(step < 0 for step in steps)
