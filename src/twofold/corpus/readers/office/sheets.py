"""Excel workbooks (Office Open XML) as text: the displayed content of each sheet, one line a row.

Numbers, dates and money are written as their formats show them; a merged cell is repeated in each of its rows. Hidden
sheets are read and marked; comments, text boxes and charts follow the cells.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from twofold.corpus.plain_text import clean
from twofold.corpus.readers.marks import lowered, raised, row, settled, struck
from twofold.corpus.readers.office.drawings import description, drawn, paragraphs
from twofold.corpus.readers.office.number_formats import BUILT_IN, general, shown
from twofold.corpus.readers.office.packages import Node, Package, attribute, bare, child, inside

_CELL = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_GENERAL = ("General", "@", "")
_PRINTED = re.compile(r'&(?:"[^"]*"|K[0-9A-F]{6}|[0-9]{1,3}|[A-Za-z])')
"""Codes of places, fonts and fields in the headers and footers of a sheet."""
_PRINT = tuple(f"{pages}{place}" for place in ("Header", "Footer") for pages in ("odd", "even", "first"))
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
"""A sign that the format writes by its number (ECMA-376 part 1, 22.9.2.19)."""
_TRUE = ("1", "true")
_MOST_RANGES = 8
"""Ranges of hidden rows and columns that a remark lists."""
_FEW = 3
"""Rows of a group below which the empty lines between groups are spacing, not ends of tables."""

Cells = dict[int, dict[int, str]]
"""Row → column → text, both from 1."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet as read."""

    label: str
    text: str
    rows: tuple[tuple[int, int], ...]
    """``(character, row)`` of each line that does not continue the row numbers of the line before it."""


class Workbook:
    """A workbook's text.

    Args:
        package: The file.

    Attributes:
        unread: Remarks on parts that are not read.

    Raises:
        KeyError: the file has no main part.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        self.part = (package.targets("", "officeDocument") or ["xl/workbook.xml"])[0]
        root = package.root(self.part)
        if root is None:
            raise KeyError(self.part)
        self.unread: dict[str, None] = {}
        self._root = root
        settings = next(inside(root, "workbookPr"), None)
        self._from_1904 = settings is not None and attribute(settings, "date1904") in ("1", "true")
        self._strings = self._shared()
        self._formats, self._struck = self._styles()
        self._displayed: dict[tuple[str, str], str] = {}
        self._hidden: tuple[list[int], list[tuple[int, int]]] = ([], [])

    def sheets(self) -> Iterator[Sheet]:
        """The sheets that have text, in the workbook's order."""
        relations = self.package.relations(self.part)
        for sheet in inside(self._root, "sheet"):
            name = attribute(sheet, "name")
            hidden = attribute(sheet, "state") in ("hidden", "veryHidden")
            part = relations.get(attribute(sheet, "id"), ("", ""))[1]
            cells, printed = self._cells(part) if part else ({}, [])
            lines, rows = lines_of(cells)
            more = []
            for drawing in (*printed, *self._beside(part)):
                if block := clean(drawing):
                    more.append(block)
            if not lines and not more:
                continue
            above = clean(f"## {name}{' (hidden sheet)' if hidden else ''}")
            if remark := not_seen(cells, *self._hidden):
                above += f"\n\n{remark}"
            start = len(above) + 2  # the blank line below it
            yield Sheet(
                label=f"sheet {name}{' (hidden)' if hidden else ''}",
                text="\n\n".join(filter(None, (above, lines, *more))),
                rows=tuple((start + at, number) for at, number in rows),
            )

    def _shared(self) -> list[str]:
        targets = self.package.targets(self.part, "sharedStrings")
        root = self.package.root(targets[0]) if targets else None
        return [_string(one) for one in root if bare(one.tag) == "si"] if root is not None else []

    def _styles(self) -> tuple[list[str], list[bool]]:
        """Two lists by number of cell style: the number format, and whether the style is struck out."""
        targets = self.package.targets(self.part, "styles")
        root = self.package.root(targets[0]) if targets else None
        if root is None:
            return [], []
        codes = {attribute(one, "numFmtId"): attribute(one, "formatCode") for one in inside(root, "numFmt")}
        fonts = [_on(child(one, "strike")) for one in child(root, "fonts") or ()]
        formats, crossed = [], []
        for style in child(root, "cellXfs") or ():
            number = attribute(style, "numFmtId", "0")
            formats.append(codes.get(number) or BUILT_IN.get(int(number) if number.isdigit() else 0, ""))
            font = attribute(style, "fontId", "0")
            crossed.append(font.isdigit() and int(font) < len(fonts) and fonts[int(font)])
        return formats, crossed

    def _cells(self, part: str) -> tuple[Cells, list[str]]:
        """The cells of a sheet, and its headers, footers and prompts; hidden rows and columns go to `_hidden`."""
        cells: Cells = {}
        merged: list[str] = []
        printed: dict[str, None] = {}
        rows: list[int] = []
        columns: list[tuple[int, int]] = []
        self._hidden = (rows, columns)
        data = self.package.data(part)
        if data is None:
            self.unread["a sheet that is missing"] = None
            return cells, []
        try:
            # row by row, each freed at once: a sheet may have a million
            for _, node in ElementTree.iterparse(io.BytesIO(data), ("end",)):
                name = bare(node.tag)
                if name == "row":
                    number = attribute(node, "r")
                    # a file may leave the numbers of rows out: then they follow one another
                    at = int(number) if number.isdigit() else max(cells, default=0) + 1
                    if row := self._row(node):
                        cells[at] = row
                        if attribute(node, "hidden") in _TRUE or attribute(node, "ht") == "0":
                            rows.append(at)
                    node.clear()
                elif name == "mergeCell":
                    merged.append(attribute(node, "ref"))
                elif name == "col" and (attribute(node, "hidden") in _TRUE or attribute(node, "width") == "0"):
                    first, last = attribute(node, "min"), attribute(node, "max")
                    columns += [(int(first), int(last))] if first.isdigit() and last.isdigit() else []
                elif name == "dataValidation":
                    printed |= dict.fromkeys(_prompts(node))
                elif name in _PRINT and node.text:
                    printed[" ".join(_PRINTED.sub(" ", node.text).split())] = None
        except ElementTree.ParseError:
            self.unread[f"the rest of a damaged sheet after row {max(cells, default=0)}"] = None
        _spread(cells, merged)
        return cells, list(printed)

    def _beside(self, part: str) -> Iterator[str]:
        """Comments, text boxes, charts and pictures' descriptions of a sheet."""
        yield from self._comments(part)
        if self.package.targets(part, "ctrlProp"):
            self.unread["what form controls of a sheet are set to"] = None
        for drawing in self.package.targets(part, "drawing"):
            root = self.package.root(drawing)
            if root is not None:
                yield from (settled(paragraphs(one)).strip() for one in inside(root, "txBody"))
                yield from (description(one) for one in inside(root, "cNvPr"))
                yield from drawn(self.package, root, drawing)

    def _row(self, node: Node) -> dict[int, str]:
        row: dict[int, str] = {}
        at = 0
        for cell in node:
            place = _CELL.match(cell.get("r", ""))
            at = _column(place.group(1)) if place else at + 1
            text = self._cell(cell)
            if text:
                row[at] = text
        return row

    def _cell(self, cell: Node) -> str:
        kind = cell.get("t", "n")
        value = formula = ""
        for element in cell:
            name = bare(element.tag)
            if name == "v":
                value = element.text or ""
            elif name == "is":
                value = _string(element)
            elif name == "f":
                formula = element.text or ""
        style = cell.get("s", "0")
        number = int(style) if style.isdigit() else 0
        if kind == "s":
            value = self._strings[int(value)] if value.isdigit() and int(value) < len(self._strings) else ""
        elif kind == "b":
            value = {"1": "TRUE", "0": "FALSE"}.get(value, value)
        elif kind == "n" and value:
            value = self._number(value, number)
        if not value and formula:
            self.unread["formulas without a stored result"] = None
            # a file written by a program that computes nothing has formulas alone
            value = f"={formula}"
        crossed = number < len(self._struck) and self._struck[number]
        return settled(struck(value)) if crossed and value.strip() else value

    def _number(self, value: str, style: int) -> str:
        code = self._formats[style] if style < len(self._formats) else ""
        known = self._displayed.get((value, code))
        if known is None:
            try:
                stored = float(value)
                known = general(stored) if code in _GENERAL else shown(stored, code, from_1904=self._from_1904)
            except (ValueError, OverflowError, ZeroDivisionError):
                known = value
            # numbers repeat; beyond so many different ones keeping them only costs memory
            if len(self._displayed) > 100_000:
                self._displayed.clear()
            self._displayed[value, code] = known
        return known

    def _comments(self, part: str) -> Iterator[str]:
        threads = self.package.targets(part, "threadedComment")
        for target in threads or self.package.targets(part, "comments"):
            root = self.package.root(target)
            if root is None:
                continue
            for comment in inside(root, "comment", "threadedComment"):
                text = " ".join("".join(t.text or "" for t in inside(comment, "t", "text")).split())
                if text:
                    yield f"Comment at {attribute(comment, 'ref')}: {text}"


def _string(node: Node) -> str:
    """A string item: its own text, or its runs with their formatting; phonetic hints (Japanese) are left out."""
    out: list[str] = []
    for element in node:
        name = bare(element.tag)
        if name == "t":
            out.append(element.text or "")
        elif name == "r":
            text = "".join(t.text or "" for t in element if bare(t.tag) == "t")
            look = child(element, "rPr")
            level = child(look, "vertAlign")
            if level is not None:
                change = {"superscript": raised, "subscript": lowered}.get(attribute(level, "val"))
                text = change(text, "".join(out[-1:])) if change else text
            out.append(struck(text) if _on(child(look, "strike")) else text)
    return settled(_unescaped("".join(out)))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), text) if "_x" in text else text


def _prompts(node: Node) -> Iterator[str]:
    """The question that a cell to be filled in asks, and its choices."""
    place = attribute(node, "sqref")
    prompt = " ".join(f"{attribute(node, 'promptTitle')} {attribute(node, 'prompt')}".split())
    first = child(node, "formula1")
    listed = (first.text or "").strip() if first is not None else ""
    choices = ", ".join(one.strip() for one in listed.strip('"').split(",")) if listed.startswith('"') else ""
    if prompt:
        yield f"Asked at {place}: {prompt}"
    if choices:
        yield f"Choices at {place}: {choices}"


def _on(node: Node | None) -> bool:
    return node is not None and attribute(node, "val", "1") not in ("0", "false")


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


def _spread(cells: Cells, merged: list[str]) -> None:
    """Repeat a cell merged over several rows in each of those rows that has cells of its own."""
    for name in merged:
        corners = [_CELL.fullmatch(corner) for corner in name.split(":")]
        if len(corners) != 2 or not corners[0] or not corners[1]:
            continue
        column = _column(corners[0].group(1))
        first, last = int(corners[0].group(2)), int(corners[1].group(2))
        text = cells.get(first, {}).get(column, "")
        if text and first < last:
            # a merged range may be far longer than the sheet: the shorter of the two is walked
            rows = range(first + 1, last + 1) if last - first < len(cells) else (n for n in cells if first < n <= last)
            for number in rows:
                if number in cells:
                    cells[number].setdefault(column, text)


def lines_of(cells: Cells) -> tuple[str, list[tuple[int, int]]]:
    """Write one line a row, columns aligned from the first used one; an empty row ends a table.

    Returns:
        The text; and ``(character, row)`` of each line whose row does not follow that of the line before.
    """
    groups: list[list[int]] = []
    for number in sorted(cells):
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    # by the median group: sheets with an empty line after every row or two are one table
    spaced = bool(groups) and sorted(map(len, groups))[len(groups) // 2] < _FEW
    gap = 1 if spaced and len(groups) > 2 else 2
    columns = _used(cells, list(cells)) if spaced else []  # groups of one table
    out: list[str] = []
    rows: list[tuple[int, int]] = []
    length = before = 0
    for group in groups:
        columns = columns if spaced else _used(cells, group)
        first = True
        for number in group:
            line = row(cells[number].get(at, "") for at in columns)
            line = line if line.isascii() and line.isprintable() else clean(line)
            if not line:
                continue
            between = "\n" * (gap if first else 1) if out else ""
            length += len(between)
            if first or number != before + 1:
                rows.append((length, number))
            out += [between, line]
            length += len(line)
            first, before = False, number
    return "".join(out), rows


def _used(cells: Cells, numbers: Sequence[int]) -> list[int]:
    return sorted(set().union(*(cells[number] for number in numbers)))


def not_seen(cells: Cells, rows: Sequence[int], columns: Sequence[tuple[int, int]]) -> str:
    """A remark on hidden rows and columns; `columns` are the first and last of each range."""
    last = max(map(max, cells.values()), default=0)
    ranges: list[list[int]] = []
    for number in sorted(rows):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    parts = [_range("row", str(first), str(end)) for first, end in ranges]
    parts += [_range("column", _letters(first), _letters(min(end, last))) for first, end in columns if first <= last]
    listed = ", ".join(parts[:_MOST_RANGES]) + (" …" if len(parts) > _MOST_RANGES else "")
    return f"(hidden: {listed})" if listed else ""


def _range(what: str, first: str, last: str) -> str:
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def _letters(number: int) -> str:
    text = ""
    while number > 0:
        number, at = divmod(number - 1, 26)
        text = chr(65 + at) + text
    return text
