"""Formatting that plain letters lose: raised, lowered and struck-out text, and tables with spans.

The signs are chosen so that a search still finds the plain word and no number changes its value: 10⁶, H2O, ~~30~~.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import compress, zip_longest

_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
# lowered digits stand as private signs until `settled` sees what follows them: H2O stays plain, log₂8 does not
_HELD_LOW = {ord(letter): 0xE010 + at for at, letter in enumerate("0123456789+-−=()")}
_SET_LOW = {0xE010 + at: letter for at, letter in enumerate("₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")}
_SET_PLAIN = {0xE010 + at: letter for at, letter in enumerate("0123456789")}
_FORMULA = re.compile("(?<=[^\\W\\d_])[\ue010-\ue019]+(?![0-9\ue010-\ue01f])")
_HAS_RAISED = frozenset("0123456789+-−=()n")
_HAS_LOWERED = frozenset("0123456789+-−=()")
_ORDINAL = frozenset(
    ["st", "nd", "rd", "th", "er", "ère", "re", "e", "ème", "nde", "o", "a", "os", "as", "ª", "º", "tm", "sm"]
)
"""Raised endings that are written on the line as well: 1st, 2ème."""
_WORD = re.compile(r"[^\W\d_]{4,}$")
_UNITS = frozenset(["inch", "feet", "foot", "yard", "mile", "miles", "metre", "meter", "metres", "meters"])
"""Words behind which a raised digit is a power, not the mark of a note."""
_HEADING = re.compile(r"^ {0,3}(?=#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_TILDES = re.compile("~++")
STRIKE, STRUCK = "\ue000", "\ue001"
"""Around each struck-out piece until `settled` joins the pieces."""
_BASE, _READ, _DONE = "\ue004", "\ue005", "\ue006"
"""Before a word that has a reading above it, before the reading, and behind it."""
_RUBY = re.compile(f"(?:{_BASE}[^{_BASE}-{_DONE}]*{_READ}[^{_BASE}-{_DONE}]*{_DONE})+")
_READING = re.compile(f"{_BASE}([^{_BASE}-{_DONE}]*){_READ}([^{_BASE}-{_DONE}]*){_DONE}")
_RUBY_SIGN = re.compile(f"[{_BASE}-{_DONE}]")
_PIECE = re.compile(f"{STRIKE}([^{STRIKE}{STRUCK}]*){STRUCK}")
_STRAY = re.compile(f"[{STRIKE}{STRUCK}{_BASE}-{_DONE}]")
_PRIVATE_SIGN = re.compile(f"[{STRIKE}{STRUCK}{_BASE}-{_DONE}\ue010-\ue01f]")
_LONGEST = 400
"""Longest raised or lowered piece, in characters; a longer piece is text that was merely set small."""


def raised(text: str, before: str = "") -> str:
    """Superscript as text: Unicode digits and signs, the ending of an ordinal unchanged, anything else behind ``^``.

    Args:
        text: The raised text.
        before: The text directly before it.
    """
    if STRIKE in text:
        return struck(raised(_STRAY.sub("", text), _STRAY.sub("", before)))
    before = before.rstrip(STRUCK)
    bare = text.strip()
    if not bare or len(bare) > _LONGEST:
        return text
    if bare in ("∘", "°", "º") and before[-1:].isdigit():  # a degree sign, typed as a raised ring
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
    """Subscript as text with private signs, which `settled` replaces.

    Digits after a letter and not before a digit become plain (H2O), others Unicode's lowered digits (log₂8).
    """
    if STRIKE in text:
        return struck(lowered(_STRAY.sub("", text), _STRAY.sub("", before)))
    before = before.rstrip(STRUCK)
    bare = text.strip()
    if not bare or len(bare) > _LONGEST:
        return text
    if set(bare) <= _HAS_LOWERED:
        return text.replace(bare, bare.translate(_HELD_LOW))
    return text.replace(bare, f"_{bare}") if before[-1:].isdigit() and bare[0].isalnum() else text


def struck(text: str) -> str:
    """A struck-out piece between private signs; `settled` joins it with its neighbours."""
    return f"{STRIKE}{text}{STRUCK}" if text else ""


def read_as(word: str, reading: str) -> str:
    """A word with its reading above it (ruby), to be joined with its neighbours by `settled`."""
    inner = [reading for _, reading in _READING.findall(word)]  # of words within it that have their own
    bare = " ".join(filter(None, (*inner, _RUBY_SIGN.sub("", reading).strip())))
    return f"{_BASE}{_RUBY_SIGN.sub('', _READING.sub(_word_alone, word))}{_READ}{bare}{_DONE}" if bare else word


def _word_alone(match: re.Match[str]) -> str:
    return match[1]


def _spelt(match: re.Match[str]) -> str:
    """Words with their readings as one word and its reading: 漢 (かん) and 字 (じ) as 漢字 (かんじ)."""
    pieces = [piece.split(_READ) for piece in match.group()[1:-1].split(_DONE + _BASE)]
    words, readings = zip(*pieces, strict=True)
    return f"{''.join(words)} ({''.join(readings)})"


def settled(text: str) -> str:
    """Replace all private signs: join struck-out pieces and mark them as ``~~so~~``, and write lowered digits.

    Words with readings above them stay whole, and their readings follow in brackets.
    """
    if text.isascii() or _PRIVATE_SIGN.search(text) is None:
        return text
    text = _RUBY.sub(_spelt, text)
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
    """Indent lines of plain text that Markdown would take for headings or fences by four blanks."""
    return _HEADING.sub("    ", text) if "#" in text or "```" in text or "~~~" in text else text


def fence_of(code: str) -> str:
    """A fence of tildes to put around code: more tildes than the code has in a row."""
    return "~" * max(3, 1 + max(map(len, _TILDES.findall(code)), default=0))


def row(cells: Iterable[str]) -> str:
    """A row of a table as a line: bars between the cells, empty cells at the end left out."""
    return " | ".join(" ".join(cell.split()) for cell in cells).rstrip(" |").lstrip(" ")


class Grid:
    """A table, filled row by row. A cell that spans rows is repeated in each; one that spans columns stands once."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        # column → (rows still to come, text) of cells that reach into the next row
        self._open: dict[int, tuple[int, str]] = {}

    def add(self, cells: Sequence[tuple[str, int, int]]) -> None:
        """Add a row: ``(text, columns, rows)`` of each cell that begins in it; 0 rows: to the end of the table."""
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
            # a span is no wider than 1,000 columns (HTML 4.9.11)
            for number in range(max(1, min(columns, 1000))):
                if rows != 1:
                    following[len(line)] = (rows - 1 if rows else 1 << 30, "" if number else text)
                line.append("" if number else text)
        carry()
        # cells from above that reach further to the right than this row
        for at in sorted(self._open):
            line += [""] * (at - len(line))
            carry()
        self._open = following
        self.rows.append(line)

    def text(self) -> str:
        """One line a row; rows and columns without text are left out."""
        columns = zip_longest(*self.rows, fillvalue="")
        used = [bool("".join(column).strip()) for column in columns]
        lines = (list(compress(line, used)) for line in self.rows)
        return "\n".join(line for line in map(row, lines) if line)
