"""Marks that plain letters lose: raised, lowered and struck-out text, and tables with spans.

All are written so that a search for the plain word still finds it and no number changes its value: 10⁶, H2O, ~~30~~.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import compress, zip_longest

_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_HELD_LOW = {ord(letter): 0xE010 + at for at, letter in enumerate("0123456789+-−=()")}
_SET_LOW = {0xE010 + at: letter for at, letter in enumerate("₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")}
_SET_PLAIN = {0xE010 + at: letter for at, letter in enumerate("0123456789")}
_FORMULA = re.compile("(?<=[^\\W\\d_])[\ue010-\ue019]+(?![0-9\ue010-\ue01f])")
_HAS_RAISED = frozenset("0123456789+-−=()n")
_HAS_LOWERED = frozenset("0123456789+-−=()")
_ORDINAL = frozenset(
    ["st", "nd", "rd", "th", "er", "ère", "re", "e", "ème", "nde", "o", "a", "os", "as", "ª", "º", "tm", "sm"]
)
_WORD = re.compile(r"[^\W\d_]{4,}$")
_UNITS = frozenset(["inch", "feet", "foot", "yard", "mile", "miles", "metre", "meter", "metres", "meters"])
_HEADING = re.compile(r"^ {0,3}(?=#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_TILDES = re.compile("~++")
STRIKE, STRUCK = "\ue000", "\ue001"
"""Around each struck-out piece until `settled` joins the pieces."""
_PIECE = re.compile(f"{STRIKE}([^{STRIKE}{STRUCK}]*){STRUCK}")
_STRAY = re.compile(f"[{STRIKE}{STRUCK}]")
_PRIVATE_SIGN = re.compile(f"[{STRIKE}{STRUCK}\ue010-\ue01f]")
_LONGEST = 400
"""Characters of a raised or lowered piece; what is longer is text that was set small."""


def raised(text: str, before: str = "") -> str:
    """Superscript as text: digits and signs as Unicode has them, an ordinal's ending as it is, else behind ``^``.

    Args:
        text: What stands raised.
        before: What it follows, directly.
    """
    bare = text.strip()
    if not bare or len(bare) > _LONGEST:
        return text
    if bare in ("∘", "°", "º") and before[-1:].isdigit():
        return "°"
    if bare.isdigit() and (word := _WORD.search(before[-24:])) and word.group().lower() not in _UNITS:
        return f" {bare.translate(_RAISED)}"  # a note's mark: the word stays findable
    if set(bare) <= _HAS_RAISED:
        return text.replace(bare, bare.translate(_RAISED))
    follows = before[-1:].isalnum() or before[-1:] in (")", "]")
    if not follows or bare.lower().strip(".") in _ORDINAL or not bare[0].isalnum():
        return text
    return text.replace(bare, f"^{bare}" if bare.isalnum() else f"^({bare})")


def lowered(text: str, before: str = "") -> str:
    """Subscript as text, to be ended by `settled`.

    Digits between a letter and no digit stay as they are (H2O), others are set low as Unicode has them (log₂8).
    """
    bare = text.strip()
    if not bare or len(bare) > _LONGEST:
        return text
    if set(bare) <= _HAS_LOWERED:
        return text.replace(bare, bare.translate(_HELD_LOW))
    return text.replace(bare, f"_{bare}") if before[-1:].isdigit() and bare[0].isalnum() else text


def struck(text: str) -> str:
    """A struck-out piece, to be joined with its neighbours by `settled`."""
    return f"{STRIKE}{text}{STRUCK}" if text else ""


def settled(text: str) -> str:
    """Struck-out pieces joined and marked as in Markdown, ``~~so~~``, blanks outside the marks; lowered digits set."""
    if text.isascii() or _PRIVATE_SIGN.search(text) is None:
        return text
    text = _FORMULA.sub(lambda match: match.group().translate(_SET_PLAIN), text).translate(_SET_LOW)
    return _STRAY.sub("", _PIECE.sub(_tilded, text.replace(STRUCK + STRIKE, "")))


def _tilded(match: re.Match[str]) -> str:
    whole = match.group(1)
    bare = whole.strip()
    if not bare:
        return whole
    at = whole.index(bare)
    return f"{whole[:at]}~~{bare}~~{whole[at + len(bare) :]}"


def literal(text: str) -> str:
    """Text that is no Markdown, with lines that would be headings or fences there moved in by four blanks."""
    return _HEADING.sub("    ", text) if "#" in text or "```" in text or "~~~" in text else text


def fence_of(code: str) -> str:
    """Tildes to stand around code: more than it has in a row."""
    return "~" * max(3, 1 + max(map(len, _TILDES.findall(code)), default=0))


def row(cells: Iterable[str]) -> str:
    """A table's row as a line: cells on one line each, bars between, empty ones at the end left out."""
    return " | ".join(" ".join(cell.split()) for cell in cells).rstrip(" |").lstrip(" ")


class Grid:
    """A table being filled, row by row; a cell that spans rows stands in each of them, one that spans columns once."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self._open: dict[int, tuple[int, str]] = {}

    def add(self, cells: Sequence[tuple[str, int, int]]) -> None:
        """The next row: ``(text, columns, rows)`` of each cell that begins in it; 0 rows: to the table's end."""
        line: list[str] = []
        following: dict[int, tuple[int, str]] = {}

        def carry() -> None:
            while len(line) in self._open:
                at = len(line)
                left, text = self._open.pop(at)
                if left > 1:
                    following[at] = (left - 1, text)
                line.append(text)

        for text, columns, rows in cells:
            carry()
            for number in range(max(1, min(columns, 1000))):
                if rows != 1:
                    following[len(line)] = (rows - 1 if rows else 1 << 30, "" if number else text)
                line.append("" if number else text)
        carry()
        for at in sorted(self._open):
            line += [""] * (at - len(line))
            carry()
        self._open = following
        self.rows.append(line)

    def text(self) -> str:
        """One line a row; rows and columns without text are left out."""
        columns = zip_longest(*self.rows, fillvalue="")
        used = [any(cell.strip() for cell in column) for column in columns]
        lines = (list(compress(line, used)) for line in self.rows)
        return "\n".join(line for line in map(row, lines) if line)
