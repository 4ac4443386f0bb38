"""Excel workbooks (Office Open XML) as text: what each sheet shows, a line a row.

Numbers, dates and money are written as their formats show them; a merged cell stands in each of its rows. Hidden sheets
are read and marked; comments, text boxes and charts follow the cells.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from twofold.corpus.drawings import description, drawn, paragraphs
from twofold.corpus.marks import lowered, raised, row, settled, struck
from twofold.corpus.number_formats import BUILT_IN, general, shown
from twofold.corpus.packages import Node, Package, attribute, bare, child, inside

_CELL = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_GENERAL = ("General", "@", "")
_FEW = 3
"""Rows of a group below which the empty lines between groups are spacing, not ends of tables."""

Cells = dict[int, dict[int, str]]
"""Row → column → text, both from 1."""


class Workbook:
    """A workbook's text.

    Args:
        package: The file.

    Attributes:
        unread: What is not read, in words.

    Raises:
        KeyError: it has no main part.
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
        self._made: dict[tuple[str, str], str] = {}

    def sheets(self) -> Iterator[tuple[str, str]]:
        """``(place, text)`` of each sheet in the workbook's order."""
        relations = self.package.relations(self.part)
        for sheet in inside(self._root, "sheet"):
            name = attribute(sheet, "name")
            hidden = attribute(sheet, "state") in ("hidden", "veryHidden")
            part = relations.get(attribute(sheet, "id"), ("", ""))[1]
            text = "\n\n".join(block for block in self._sheet(part) if block)
            if text:
                yield (
                    f"sheet {name}{' (hidden)' if hidden else ''}",
                    (f"## {name}{' (hidden sheet)' if hidden else ''}\n\n{text}"),
                )

    def _shared(self) -> list[str]:
        targets = self.package.targets(self.part, "sharedStrings")
        root = self.package.root(targets[0]) if targets else None
        return [_string(one) for one in root if bare(one.tag) == "si"] if root is not None else []

    def _styles(self) -> tuple[list[str], list[bool]]:
        """Of each style of cells: its format, and whether it is struck out."""
        targets = self.package.targets(self.part, "styles")
        root = self.package.root(targets[0]) if targets else None
        if root is None:
            return [], []
        own = {attribute(one, "numFmtId"): attribute(one, "formatCode") for one in inside(root, "numFmt")}
        fonts = [_on(child(one, "strike")) for one in child(root, "fonts") or ()]
        formats, crossed = [], []
        for style in child(root, "cellXfs") or ():
            number = attribute(style, "numFmtId", "0")
            formats.append(own.get(number) or BUILT_IN.get(int(number) if number.isdigit() else 0, ""))
            font = attribute(style, "fontId", "0")
            crossed.append(font.isdigit() and int(font) < len(fonts) and fonts[int(font)])
        return formats, crossed

    def _sheet(self, part: str) -> Iterator[str]:
        cells: Cells = {}
        merged: list[str] = []
        data = self.package.data(part) if part else None
        if data is None:
            self.unread["a sheet that is missing"] = None
            return
        try:
            for _, node in ElementTree.iterparse(io.BytesIO(data), ("end",)):
                name = bare(node.tag)
                if name == "row":
                    number = attribute(node, "r")
                    at = int(number) if number.isdigit() else max(cells, default=0) + 1
                    if found := self._row(node):
                        cells[at] = found
                    node.clear()
                elif name == "mergeCell":
                    merged.append(attribute(node, "ref"))
        except ElementTree.ParseError:
            self.unread[f"the rest of a damaged sheet after row {max(cells, default=0)}"] = None
        _spread(cells, merged)
        yield _lines(cells)
        yield from self._comments(part)
        for drawing in self.package.targets(part, "drawing"):
            root = self.package.root(drawing)
            if root is not None:
                yield from (settled(paragraphs(one)).strip() for one in inside(root, "txBody"))
                yield from (description(one) for one in inside(root, "cNvPr"))
                yield from drawn(self.package, root, drawing)

    def _row(self, node: Node) -> dict[int, str]:
        found: dict[int, str] = {}
        at = 0
        for cell in node:
            place = _CELL.match(cell.get("r", ""))
            at = _column(place.group(1)) if place else at + 1
            text = self._cell(cell)
            if text:
                found[at] = text
        return found

    def _cell(self, cell: Node) -> str:
        kind = cell.get("t", "n")
        value = formula = ""
        for one in cell:
            name = bare(one.tag)
            if name == "v":
                value = one.text or ""
            elif name == "is":
                value = _string(one)
            elif name == "f":
                formula = one.text or ""
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
            value = f"={formula}"
        crossed = number < len(self._struck) and self._struck[number]
        return settled(struck(value)) if crossed and value.strip() else value

    def _number(self, value: str, style: int) -> str:
        code = self._formats[style] if style < len(self._formats) else ""
        known = self._made.get((value, code))
        if known is None:
            try:
                stored = float(value)
                known = general(stored) if code in _GENERAL else shown(stored, code, from_1904=self._from_1904)
            except (ValueError, OverflowError, ZeroDivisionError):
                known = value
            if len(self._made) > 100_000:
                self._made.clear()
            self._made[value, code] = known
        return known

    def _comments(self, part: str) -> Iterator[str]:
        threads = self.package.targets(part, "threadedComment")
        for target in threads or self.package.targets(part, "comments"):
            root = self.package.root(target)
            if root is None:
                continue
            for one in inside(root, "comment", "threadedComment"):
                text = " ".join("".join(t.text or "" for t in inside(one, "t", "text")).split())
                if text:
                    yield f"Comment at {attribute(one, 'ref')}: {text}"


def _string(node: Node) -> str:
    """A string item: its own text, or its runs as they look; how to read it aloud (Japanese) is left out."""
    out: list[str] = []
    for one in node:
        name = bare(one.tag)
        if name == "t":
            out.append(one.text or "")
        elif name == "r":
            text = "".join(t.text or "" for t in one if bare(t.tag) == "t")
            look = child(one, "rPr")
            level = child(look, "vertAlign")
            if level is not None:
                change = {"superscript": raised, "subscript": lowered}.get(attribute(level, "val"))
                text = change(text, "".join(out[-1:])) if change else text
            out.append(struck(text) if _on(child(look, "strike")) else text)
    return settled("".join(out))


def _on(node: Node | None) -> bool:
    return node is not None and attribute(node, "val", "1") not in ("0", "false")


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


def _spread(cells: Cells, merged: list[str]) -> None:
    """A cell merged over several rows stands in each that has cells of its own."""
    for name in merged:
        corners = [_CELL.fullmatch(corner) for corner in name.split(":")]
        if len(corners) != 2 or not corners[0] or not corners[1]:
            continue
        column = _column(corners[0].group(1))
        first, last = int(corners[0].group(2)), int(corners[1].group(2))
        text = cells.get(first, {}).get(column, "")
        if text and first < last:
            held = range(first + 1, last + 1) if last - first < len(cells) else (n for n in cells if first < n <= last)
            for number in held:
                if number in cells:
                    cells[number].setdefault(column, text)


def _lines(cells: Cells) -> str:
    """One line a row, columns aligned from the first that is used; an empty row ends a table."""
    if not cells:
        return ""
    left = min(min(found) for found in cells.values())
    groups: list[list[str]] = []
    before = -1
    for number in sorted(cells):
        found = cells[number]
        line = row(found.get(at, "") for at in range(left, max(found) + 1))
        if number == before + 1 and groups:
            groups[-1].append(line)
        else:
            groups.append([line])
        before = number
    spaced = sorted(map(len, groups))[len(groups) // 2] < _FEW
    return ("\n" if spaced and len(groups) > 2 else "\n\n").join("\n".join(group) for group in groups)
