"""The order in which a page of a PDF is read, where its program wrote the page's parts in another.

What stands above a part and shares columns with it is read before it (Breuel 2003, the first of his two rules); parts
side by side stay as they were written. Lines that go down the page one after another are one part and stay together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

_LINE = re.compile(r"\S(?:[^\r\n]*\S)?")
_MOST = 120
"""Parts of a page beyond which it is a drawing, and stays as it was written."""
_SLACK = 0.2
"""Share of a line's height by which parts that stand one above the other may overlap."""
_NEAR = 1.0
"""Heights of a line up to which the next one below belongs to the same part."""
_SHARED = 0.2
"""Share of the narrower part's width that parts must have in common to stand one above the other."""


class _Part(NamedTuple):
    """Lines that follow one another down the page, and where they stand, in points from the left and from below."""

    start: int
    end: int
    left: float
    right: float
    bottom: float
    top: float

    def is_above(self, other: _Part) -> bool:
        shared = min(self.right, other.right) - max(self.left, other.left)
        if shared <= _SHARED * min(self.right - self.left, other.right - other.left):
            return False
        return self.bottom >= other.top - _SLACK * (other.top - other.bottom)

    def goes_on_in(self, line: _Part) -> bool:
        """Does a line stand below, and near?"""
        near = self.bottom - line.top <= _NEAR * (line.top - line.bottom)
        return near and line.top <= self.top and line.bottom < self.bottom

    def with_line(self, line: _Part) -> _Part:
        left, right = min(self.left, line.left), max(self.right, line.right)
        return _Part(self.start, line.end, left, right, line.bottom, self.top)


def reading_order(page: PdfTextPage, text: str) -> list[tuple[int, int]]:
    """Ranges of the page's text in the order of reading; the whole where that is the order in which it was written.

    Args:
        page: The page.
        text: All of its text, a character for each of the page's.
    """
    whole = [(0, len(text))]
    # signs beyond 16 bits: places and letters do not fit
    if len(text) != page.count_chars():
        return whole
    parts = _parts(page, text)
    moved = any(later.is_above(part) for at, part in enumerate(parts) for later in parts[at + 1 :])
    return [(part.start, part.end) for part in _sorted(parts)] if moved else whole


def _parts(page: PdfTextPage, text: str) -> list[_Part]:
    """The parts as they were written; none where they go down the page, do not run to the right, or are too many."""
    from pypdfium2.raw import FS_RECTF, FPDFText_GetLooseCharBox

    box, raw = FS_RECTF(), page.raw
    lines = [match.span() for match in _LINE.finditer(text)]
    firsts: list[tuple[float, float, float, float]] = []
    for start, _ in lines:
        FPDFText_GetLooseCharBox(raw, start, box)
        firsts.append((box.left, box.right, box.bottom, box.top))
    # most pages go down in one column: nothing is to be sorted
    if all(below[3] <= above[3] for above, below in pairwise(firsts)):
        return []
    parts: list[_Part] = []
    for (start, end), (left, right, bottom, top) in zip(lines, firsts, strict=True):
        FPDFText_GetLooseCharBox(raw, end - 1, box)
        line = _Part(start, end, min(left, box.left), max(right, box.right), min(bottom, box.bottom), max(top, box.top))
        if abs(bottom - box.bottom) > line.right - line.left:
            return []  # turned letters
        if parts and parts[-1].goes_on_in(line):
            parts[-1] = parts[-1].with_line(line)
        else:
            parts.append(line)
        if len(parts) > _MOST:
            return []
    return parts


def _sorted(parts: Sequence[_Part]) -> list[_Part]:
    """The parts, each when none that stands above it is left, else as they were written."""
    above = []
    for part in parts:
        above.append({at for at, other in enumerate(parts) if other.is_above(part)})
    left, ordered = list(range(len(parts))), list[_Part]()
    while left:
        at = next((one for one in left if not above[one]), left[0])
        ordered.append(parts[at])
        left.remove(at)
        for waiting in above:
            waiting.discard(at)
    return ordered
