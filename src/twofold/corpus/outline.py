"""Markdown's outline for chunkers: headings, fenced code, and tables with their header row."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.corpus.bounds import TITLE

ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]++(\S[^\n]*)$", re.MULTILINE)
"""A heading of Markdown that begins with ``#``; see `heading_text` for its second group."""
_SETEXT = re.compile(r"^(?=\S)([^\n]{1,200})\n(=+|-{3,}|~{4,})[ \t]*$", re.MULTILINE)
"""A heading by the line below it; tildes as long as the title are one of reStructuredText."""
_EDGE = re.compile(
    r"^ {0,3}(?:((?:(?:[-*+]|\d{1,9}[.)]) {1,4})?)(`{3,}+|~{3,}+)([^\n]*)|<(pre|script|style|!--)(?=[\s>-])[^\n]*)$",
    re.MULTILINE | re.IGNORECASE,
)
"""Begin or end of code or a comment; a fence may also follow the mark of a list item."""
# cells of dashes with optional colons: the line below the head of a table in Markdown
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-*:?[ \t]*)*")
_NAMES = 300
"""Characters of a table's head that are kept with its rows."""


def heading_text(line: str) -> str:
    """The text of a heading without closing ``#`` signs, which follow a blank (CommonMark 4.2): "C#" keeps its sign."""
    whole = line.rstrip(" \t")
    text = whole.rstrip("#")
    return text.rstrip(" \t") if text.endswith((" ", "\t")) else whole


def fences(text: str) -> list[tuple[int, int]]:
    """Ranges of fenced code, and of HTML's code and comments to where they are closed (CommonMark 4.5, 4.6)."""
    if "```" not in text and "~~~" not in text and "<" not in text:
        return []
    ranges: list[tuple[int, int]] = []
    opened, mark = -1, ""
    done = 0
    for line in _EDGE.finditer(text):
        item, fence, rest, tag = line.groups()
        if opened >= 0:
            # inside code only a fence of the same sign, as long or longer and with nothing behind it, counts
            if fence and fence.startswith(mark) and not (item or rest.strip()):
                ranges.append((opened, line.end()))
                opened = -1
        elif line.start() < done:
            continue
        elif fence and (fence[0] == "~" or "`" not in rest) and not _underlines(text, line.start(), fence, rest):
            if item:
                done = _item_end(text, line.end(), line.start(2) - line.start(), fence)
                ranges.append((line.start(), done))
            else:
                opened, mark = line.start(), fence
        elif tag:
            end = "-->" if tag == "!--" else f"</{tag.lower()}>"
            at = text.find(end, line.start())
            done = at + len(end) if at >= 0 else len(text)
            ranges.append((line.start(), done))
    if opened >= 0:
        ranges.append((opened, len(text)))
    return ranges


def _underlines(text: str, at: int, mark: str, rest: str) -> bool:
    """Do the tildes of the line at a place underline a title, as in reStructuredText, and begin no code?"""
    if mark[0] != "~" or len(mark) < 4 or rest.strip() or at < 2:
        return False
    # titles have at most 200 characters, as in `_SETEXT`
    start = text.rfind("\n", max(0, at - 202), at - 1) + 1
    title = text[start : at - 1]
    return 0 < len(title.strip()) <= len(mark) and text[max(0, start - 2) : start] in ("", "\n", "\n\n")


def _item_end(text: str, at: int, indent: int, mark: str) -> int:
    """Find the end of code that opens in a list item: its closing fence, or the first line outside the item.

    Args:
        text: The whole text.
        at: The end of the line with the opening fence.
        indent: Blanks before what belongs to the item.
        mark: The opening fence.
    """
    while at < len(text):
        stop = text.find("\n", at + 1)
        stop = stop if stop >= 0 else len(text)
        line = text[at + 1 : stop]
        bare = line.strip()
        if bare and len(line) - len(line.lstrip()) < indent:
            return at
        if bare.startswith(mark) and not bare.strip(mark[0]):
            return stop
        at = stop
    return at


def headings_of(text: str) -> list[tuple[int, int, int, str]]:
    """``(start, end, level, title)`` of every Markdown heading (ATX and setext) outside code, in order."""
    # most texts have none of these, and no pattern is tried on them
    if "#" not in text and "\n==" not in text and "\n--" not in text and "\n~~~~" not in text:
        return []
    headings = [(m.start(), m.end(), len(m.group(1)), heading_text(m.group(2))[:TITLE]) for m in ATX.finditer(text)]
    for m in _SETEXT.finditer(text):
        before = text[max(0, m.start() - 2) : m.start()]
        title, mark = m.group(1).strip(), m.group(2)
        if mark[0] == "~" and len(title) > len(mark):
            continue
        # such a line begins a list, a table or a quotation
        if before in ("", "\n", "\n\n") and not title.startswith(("#", "-", "|", ">", "*")):
            headings.append((m.start(), m.end(), {"=": 1, "-": 2, "~": 3}[mark[0]], title))
    code = fences(text) if headings else []
    return sorted(h for h in headings if not within(code, h[0]))


def within(ranges: Sequence[tuple[int, int]], at: int) -> bool:
    """Is a place in one of the ranges, which are sorted and apart?"""
    number = bisect_right(ranges, at, key=lambda span: span[0]) - 1
    return number >= 0 and at < ranges[number][1]


@dataclass(frozen=True, slots=True)
class Table:
    """Lines of cells with bars between them; all places are characters of the text."""

    start: int
    body: int
    """Place of the first row below the head."""
    end: int
    names: str
    """The head's cells with bars between them: the names of the columns."""


def tables(text: str) -> list[Table]:
    """The tables of a text: three lines or more of two cells or more, one below the other, outside code."""
    # a table has three lines, each with a bar
    if text.count("|") < 3:
        return []
    parsed_tables: list[Table] = []
    code: list[tuple[int, int]] | None = None  # found only when a text has a table, which few have
    rows: list[tuple[int, int]] = []
    start = 0
    size = len(text)
    while start <= size:
        stop = text.find("\n", start)
        stop = size if stop < 0 else stop
        bar = text.find("|", start, stop)
        if bar >= 0 and (text.find(" | ", start, stop) >= 0 or text.find("|", bar + 1, stop) >= 0):
            rows.append((start, stop))
        else:
            if len(rows) > 2:
                code = fences(text) if code is None else code
                if not within(code, rows[0][0]):
                    parsed_tables.append(_table(text, rows))
            rows = []
        start = stop + 1
    if len(rows) > 2 and not within(fences(text) if code is None else code, rows[0][0]):
        parsed_tables.append(_table(text, rows))
    return parsed_tables


def _table(text: str, lines: Sequence[tuple[int, int]]) -> Table:
    """A table whose head is its first row, and the rule below it where there is one."""
    (start, stop), (after, end) = lines[0], lines[1]
    # bounded: a line of any length would be searched for as long
    ruled = end - after <= 4 * _NAMES and _RULE.fullmatch(text, after, end) is not None
    cells = (" ".join(cell.split()) for cell in text[start : min(stop, start + 4 * _NAMES)].strip(" |\t").split("|"))
    names = " | ".join(cells).strip(" |")
    return Table(start, lines[2][0] if ruled else after, lines[-1][1], names if len(names) <= _NAMES else "")
