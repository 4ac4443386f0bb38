"""Word files (Office Open XML) as text: the content of the pages, in reading order.

The text includes numbers of lists and headings, tabs and breaks, text boxes, notes, comments, headers, formulas,
charts, diagrams and alternative texts; tracked changes are read as accepted. Hidden text and embedded files are named
in the metadata.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from twofold.corpus.readers.marks import Grid, literal, lowered, raised, read_as, settled, struck
from twofold.corpus.readers.office.drawings import description, drawn
from twofold.corpus.readers.office.formulas import office
from twofold.corpus.readers.office.numbering import Numbering, roman
from twofold.corpus.readers.office.packages import Node, Package, attribute, bare, child, children, inside
from twofold.corpus.readers.office.word_styles import StyleNodes

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_HEADING_ID = re.compile(r"heading ?([1-9])$", re.IGNORECASE)
"""Ids of heading styles, for a file that does not describe its styles."""
_PAGE = re.compile(r"(?:[\d\s/|.–-]|\b(?:page|of|seite|von|sur|de|p)\b)*", re.IGNORECASE)
"""A header or footer with nothing but a page number."""
_OFF = ("0", "false", "none", "off")
_UNSHOWN = frozenset(
    ["del", "moveFrom", "instrText", "delText", "delInstrText", "pPr", "rPr", "sdtPr", "tblPr", "trPr"]
)
_LOOKS = frozenset(["strike", "dstrike", "vanish", "vertAlign", "position"])
_AROUND = frozenset(["sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo"])
"""Elements that rows and cells of a table may stand in."""
_CLOSED = frozenset(["body", "tc", "txbxContent", "hdr", "ftr", "footnote", "endnote", "comment"])
"""Elements at whose end a paragraph ends in any case."""
_BY_STYLE = -1
"""The level of a list that a style names without a level: the list says which it is."""
_LONG_CELL = 2_000
"""Characters from which a cell shows that the table lays out pages: its cells are read as paragraphs."""
_SHIFT = 4
"""Shift, in half points, from which letters moved up or down are an exponent or an index."""
_SYMBOLS = dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)) | dict(
    zip(
        (0x44, 0x46, 0x47, 0x4C, 0x50, 0x51, 0x53, 0x57, 0x58, 0x59, 0xA3, 0xA5, 0xAE, 0xB0, 0xB1, 0xB3, 0xB4, 0xB9),
        "ΔΦΓΛΠΘΣΩΞΨ≤∞→°±≥×≠",
        strict=True,
    )
)
# letters of the fonts Symbol (above) and Wingdings (below), which Word stores as 0xF000 and their code in the font
_DINGBATS = {0xFC: "✓", 0xFB: "✗", 0xA8: "☐", 0x6F: "☐", 0xFE: "☑", 0xFD: "☒", 0xE0: "→", 0xB7: "•", 0xA7: "▪"}


@dataclass(frozen=True, slots=True)
class _Look:
    """The formatting of a run that changes its text."""

    struck: bool = False
    hidden: bool = False
    level: str = ""


@dataclass(slots=True)
class _Style:
    """A style of paragraphs or letters, with everything it inherits."""

    heading: int = 0
    numbers: tuple[str, int] | None = None
    look: _Look = field(default_factory=_Look)


@dataclass(slots=True)
class _Line:
    """A paragraph being read: its text, the blocks that follow it, and its open fields (is the result reached?)."""

    out: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    fields: list[bool] = field(default_factory=list)


class Word:
    """A document's text.

    Args:
        package: The file.

    Attributes:
        unread: Remarks on parts that are not read.

    Raises:
        KeyError: the file has no main part.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        targets = package.targets("", "officeDocument") or ["word/document.xml"]
        self.part = targets[0]
        root = package.root(self.part)
        if root is None:
            raise KeyError(self.part)
        self.body = child(root, "body")
        self.unread: dict[str, None] = {}
        self._styles: dict[str, _Style] = {}
        styles = next(iter(package.targets(self.part, "styles")), "")
        self._described = StyleNodes(package.data(styles) if styles else None, lambda: package.root(styles))
        self._notes: dict[str, dict[str, tuple[Node, str]]] = {}
        """Kind → id → note, read when the first note of the kind is referred to: most files refer to none."""
        self._numbers: dict[tuple[str, str], str] = {}
        self._inside = 0
        self._unended: _Line | None = None

    def text(self) -> str:
        """The whole text; blank lines between blocks, none between items of a list."""
        blocks = list(self._blocks(self.body, self.part)) if self.body is not None else []
        for kind in ("header", "footer"):
            seen: dict[str, None] = {}
            for part in self.package.targets(self.part, kind):
                root = self.package.root(part)
                if root is not None:
                    seen["\n".join(text for _, text in self._blocks(root, part))] = None
            blocks += [("p", text) for text in seen if text.strip() and not _PAGE.fullmatch(text)]
        out: list[str] = []
        before = ""
        for kind, text in blocks:
            if text.strip():
                out += ["\n" if kind == before == "item" else "\n\n", text]
                before = kind
        return "".join(out)

    @cached_property
    def _numbering(self) -> Numbering:
        return Numbering(self._of("numbering"))

    def _of(self, kind: str) -> Node | None:
        targets = self.package.targets(self.part, kind)
        return self.package.root(targets[0]) if targets else None

    def _by_id(self, kind: str) -> dict[str, tuple[Node, str]]:
        part = next(iter(self.package.targets(self.part, kind)), "")
        root = self.package.root(part) if part else None
        return {attribute(one, "id"): (one, part) for one in root} if root is not None else {}

    def _styled(self, name: str) -> _Style | None:
        """The style with an id, with everything it inherits; None where the file has no such style."""
        raw, styles = self._described, self._styles
        if not name:
            return None
        if name not in styles:
            chain: list[str] = []  # from the style up to the first known one: a loop, as styles may refer in a circle
            at = name
            while at in raw and at not in chain and at not in styles:
                chain.append(at)
                based = child(raw[at], "basedOn")
                at = attribute(based, "val") if based is not None else ""
            style = styles.get(at, _Style())
            styles.update(dict.fromkeys(chain, style))  # for a style that refers to itself
            for key in reversed(chain):
                style = self._style(raw[key], style)
                styles[key] = style
        return styles.get(name)

    def _style(self, node: Node, base: _Style) -> _Style:
        title = child(node, "name")
        called = attribute(title, "val").lower() if title is not None else ""
        heading = base.heading
        if match := _HEADING.fullmatch(called):
            heading = int(match.group(1))
        elif called == "title":
            heading = 1
        format_ = child(node, "pPr")
        level = child(format_, "outlineLvl")
        if level is not None and attribute(level, "val").isdigit():
            heading = int(attribute(level, "val")) + 1 if int(attribute(level, "val")) < 9 else 0
        numbers = _number_of(child(format_, "numPr"), unnamed=_BY_STYLE) or base.numbers
        return _Style(heading, numbers, self._look(child(node, "rPr"), base.look))

    def _look(self, node: Node | None, base: _Look) -> _Look:
        if node is None:
            return base
        look = base
        format_ = children(node)
        if "rStyle" in format_ and (known := self._styled(attribute(format_["rStyle"], "val"))):
            look = known.look
        for name, property in format_.items():
            if name not in _LOOKS:
                continue
            on = attribute(property, "val", "1").lower() not in _OFF
            if name in ("strike", "dstrike"):
                look = replace(look, struck=on)
            elif name == "vanish":
                look = replace(look, hidden=on)
            elif name == "vertAlign":
                look = replace(look, level=attribute(property, "val"))
            elif name == "position" and not look.level and (by := attribute(property, "val")).lstrip("-").isdigit():
                look = replace(look, level="lower" if int(by) <= -_SHIFT else "higher" if int(by) >= _SHIFT else "")
        return look

    def _blocks(self, node: Node, part: str) -> Iterator[tuple[str, str]]:
        """``(kind, text)`` of paragraphs and tables: ``p``, ``item``, ``heading``, ``table``."""
        for element in node:
            name = bare(element.tag)
            if name == "p":
                yield from self._paragraph(element, part)
            elif name == "tbl":
                yield from self._ended()
                yield from self._table(element, part)
            # Their content is another file, in any format; Word joins it only when it shows the page.
            elif name in ("altChunk", "subDoc"):
                self.unread["a document put into this one"] = None
            elif name == "AlternateContent":
                yield from self._blocks(_chosen(element), part)
            elif name not in _UNSHOWN and name != "sectPr":
                yield from self._blocks(element, part)
        if bare(node.tag) in _CLOSED:
            yield from self._ended()

    def _ended(self) -> Iterator[tuple[str, str]]:
        """The text of a paragraph that was to go on in the next one, where no next one came."""
        line, self._unended = self._unended, None
        if line is not None:
            text = settled("".join(line.out)).strip()
            yield from (("p", literal(one)) for one in (text, *line.after) if one)

    def _paragraph(self, node: Node, part: str) -> Iterator[tuple[str, str]]:
        format_ = children(child(node, "pPr"))
        style = format_.get("pStyle")
        named = attribute(style, "val") if style is not None else ""
        known = self._styled(named) or _Style(int(_HEADING_ID.findall(named)[0]) if _HEADING_ID.match(named) else 0)
        level = format_.get("outlineLvl")
        heading = known.heading
        if level is not None and attribute(level, "val").isdigit():
            heading = int(attribute(level, "val")) + 1 if int(attribute(level, "val")) < 9 else 0
        line, self._unended = self._unended or _Line(), None
        self._runs(node, part, line, known.look)
        frame = format_.get("framePr")
        initial = frame is not None and attribute(frame, "dropCap", "none") != "none"
        if initial or ((mark := format_.get("rPr")) is not None and _deleted_mark(mark)):
            self._unended = line  # a large initial, or a deleted end of the paragraph: the next paragraph goes on
            return
        text = settled("".join(line.out)).strip()
        marked = bool(text) or bool(line.after)
        numbers = (_number_of(format_.get("numPr")) or known.numbers) if marked else None
        if numbers is not None and numbers[1] == _BY_STYLE:
            numbers = (numbers[0], self._numbering.level_of(numbers[0], named))
        label = self._numbering.label(numbers) if numbers is not None else ""
        kind = "item" if label else "p"
        # Within a cell or note the text is one line: a heading's marks would stand in its midst.
        if text and heading and not self._inside:
            kind, text = "heading", f"{'#' * min(6, heading)} {' '.join(f'{label} {text}'.split())}"
        elif text:
            text = f"{label} {text}" if label else literal(text)
        if text:
            yield kind, text
        yield from (("p", more) for more in line.after)

    def _runs(self, node: Node, part: str, line: _Line, look: _Look) -> None:
        for element in node:
            name = bare(element.tag) if isinstance(element.tag, str) else ""
            if name == "r":
                self._run(element, part, line, look)
            elif name in ("oMath", "oMathPara"):
                line.out.append(" ".join(office(element).split()))
            elif name == "AlternateContent":
                self._runs(_chosen(element), part, line, look)
            elif name == "ruby":
                base, read = (child(element, key) for key in ("rubyBase", "rt"))
                word = _Line()
                if base is not None:
                    self._runs(base, part, word, look)
                reading = "".join(t.text or "" for t in inside(read, "t")) if read is not None else ""
                line.out.append(read_as("".join(word.out), reading))
                line.after += word.after
            elif name and name not in _UNSHOWN:
                self._runs(element, part, line, look)

    def _run(self, node: Node, part: str, line: _Line, look: _Look) -> None:
        look = self._look(child(node, "rPr"), look)
        for element in node:
            name = bare(element.tag)
            if name == "fldChar":
                self._field(element, line)
            # The instruction of a field (PAGE, HYPERLINK) is no text; what it results in is.
            elif line.fields and not line.fields[-1]:
                if name == "instrText" and (element.text or "").split()[:1] == ["EQ"]:
                    self.unread["a formula written as a field (EQ)"] = None
            elif name == "t":
                self._say(element.text or "", line, look)
            elif name in _LETTERS:
                self._say(_LETTERS[name], line, look)
            elif name == "br":
                self._say("\n" if attribute(element, "type") in ("", "textWrapping") else " ", line, look)
            elif name == "sym":
                self._say(_symbol(element), line, look)
            elif name in ("footnoteReference", "endnoteReference", "commentReference"):
                self._note(name.removesuffix("Reference") + "s", attribute(element, "id"), line)
            elif name == "AlternateContent":
                self._run(_chosen(element), part, line, look)
            elif name in ("drawing", "pict", "object"):
                self._drawing(element, part, line)
            elif name in ("ruby", "oMath"):
                self._runs([element], part, line, look)  # type: ignore[arg-type]

    def _say(self, text: str, line: _Line, look: _Look) -> None:
        if look.hidden:
            if text.strip():
                self.unread["hidden text"] = None
            return
        before = "".join(line.out[-3:])
        beside = before[-1:].strip()
        if look.level == "superscript" or (look.level == "higher" and beside):
            text = raised(text, before)
        elif look.level == "subscript" or (look.level == "lower" and beside):
            text = lowered(text, before)
        line.out.append(struck(text) if look.struck else text)

    def _field(self, node: Node, line: _Line) -> None:
        """Track fields: their results are read, their instructions not; a form's field gives its choice."""
        kind = attribute(node, "fldCharType")
        if kind == "begin":
            line.fields.append(False)
            box, choice = (next(inside(node, key), None) for key in ("checkBox", "ddList"))
            if box is not None:
                state = child(box, "checked") if child(box, "checked") is not None else child(box, "default")
                line.out.append("☒" if state is not None and attribute(state, "val", "1") not in _OFF else "☐")
            elif choice is not None:
                entries = [attribute(one, "val") for one in inside(choice, "listEntry")]
                result = child(choice, "result")
                result = result if result is not None else child(choice, "default")
                at = attribute(result, "val", "0") if result is not None else "0"
                line.out += entries[int(at) : int(at) + 1] if at.isdigit() else []
        elif kind == "separate" and line.fields:
            # the result of a field within the instruction of another is no text of the page
            line.fields[-1] = all(line.fields[:-1])
        elif kind == "end" and line.fields:
            line.fields.pop()

    def _note(self, kind: str, name: str, line: _Line) -> None:
        if kind not in self._notes:
            self._notes[kind] = self._by_id(kind)
        note = self._notes[kind].get(name)
        if note is None or (kind, name) in self._numbers:
            line.out.append(self._numbers.get((kind, name), ""))
            return
        number = 1 + sum(1 for known, _ in self._numbers if known == kind)
        mark = {"footnotes": f"[^{number}]", "endnotes": f"[^{roman(number)}]", "comments": ""}[kind]
        self._numbers[kind, name] = mark
        line.out.append(mark)
        node, part = note
        text = " ".join(self._cell(node, part).split())
        author = attribute(node, "author")
        head = f"{mark}:" if mark else f"Comment ({author}):" if author else "Comment:"
        if text:
            line.after.append(f"{head} {text}")

    def _drawing(self, node: Node, part: str, line: _Line) -> None:
        described = dict.fromkeys(map(description, inside(node, "docPr", "cNvPr", "shape", "imagedata")))
        # text boxes within notes within text boxes: 8 levels, for the walk is recursive
        boxes = [] if self._inside > 8 else list(_outermost(node, "txbxContent"))
        for box in boxes:
            line.after += [text for _, text in self._blocks(box, part)]
        line.after += [
            attribute(element, "string") for element in inside(node, "textpath") if attribute(element, "string")
        ]
        line.after += drawn(self.package, node, part)
        line.after += [text for text in described if text and not boxes]
        if next(inside(node, "webVideoPr"), None) is not None:
            self.unread["a film"] = None
        if bare(node.tag) == "object":
            for element in inside(node, "OLEObject"):
                self.unread[f"an object put in ({attribute(element, 'ProgID') or 'unknown'})"] = None
            if next(inside(node, "control"), None) is not None:
                self.unread["what a control of a form (ActiveX) shows"] = None

    def _table(self, node: Node, part: str) -> Iterator[tuple[str, str]]:
        """A table, one line a row; a table of one cell, or one that lays out pages, as its paragraphs."""
        settings = child(node, "tblPr")
        for name in ("tblCaption", "tblDescription"):
            if (element := child(settings, name)) is not None and attribute(element, "val").strip():
                yield "p", literal(" ".join(attribute(element, "val").split()))
        lines = [one for one in _rows(node) if not _deleted(one)]
        cells = [_shown_cells(line) for line in lines]
        count = sum(map(len, cells))
        if not self._inside and (count < 2 or any(map(_long, itertools.chain.from_iterable(cells)))):
            for row in cells:
                for cell in row:
                    yield from self._blocks(cell, part)
            return
        grid = Grid()
        above: dict[int, str] = {}  # column → text of a cell that goes on below
        for line, row_cells in zip(lines, cells, strict=True):
            settings = child(line, "trPr")
            gap = next(inside(settings, "gridBefore"), None) if settings is not None else None
            grid_row = [("", int(attribute(gap, "val", "1") or 1), 1)] if gap is not None else []
            at = sum(columns for _, columns, _ in grid_row)
            for cell in row_cells:
                format_ = child(cell, "tcPr")
                span, merged = child(format_, "gridSpan"), child(format_, "vMerge")
                width = attribute(span, "val") if span is not None else "1"
                columns = int(width) if width.isdigit() else 1
                # A merged cell counts in each of its rows, which passages may part from the first.
                if merged is not None and attribute(merged, "val", "continue") == "continue":
                    text = above.get(at, "")
                else:
                    text = self._cell(cell, part)
                above[at] = text if merged is not None else ""
                grid_row.append((text, columns, 1))
                at += columns
            grid.add(grid_row)
        yield "table", grid.text()

    def _cell(self, node: Node, part: str) -> str:
        self._inside += 1
        try:
            return " ".join(" ".join(text.split()) for _, text in self._blocks(node, part))
        finally:
            self._inside -= 1


_LETTERS = {"tab": " ", "ptab": " ", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}


def _symbol(node: Node) -> str:
    try:
        code = int(attribute(node, "char"), 16)
    except ValueError:
        return ""
    if not 0xF000 <= code <= 0xF0FF:
        return chr(code) if code < 0x110000 else ""
    low = code - 0xF000
    if "symbol" in attribute(node, "font").lower():
        return _SYMBOLS.get(low, chr(low) if 0x20 <= low < 0x7F else "")
    return _DINGBATS.get(low, "")


def _readable(node: Node) -> bool:
    return next(inside(node, "t", "drawing", "pict", "chart"), None) is not None


def _chosen(node: Node) -> Node:
    """Choose among two versions of the same content the newer, unless only the older has text or drawings."""
    choices = [one for one in node if bare(one.tag) == "Choice"]
    fallback = child(node, "Fallback")
    readable = next((one for one in choices if _readable(one)), None)
    chosen = readable if readable is not None else fallback
    return chosen if chosen is not None else node


def _outermost(node: Node, name: str) -> Iterator[Node]:
    """Elements with a name that lie in no other such element; of alternative versions only the chosen one."""
    for element in node:
        if bare(element.tag) == name:
            yield element
        elif bare(element.tag) == "AlternateContent":
            yield from _outermost(_chosen(element), name)
        else:
            yield from _outermost(element, name)


def _number_of(numbers: Node | None, *, unnamed: int = 0) -> tuple[str, int] | None:
    """``(id of the list, level)`` in the properties of a paragraph or style; `unnamed` is the level where none is."""
    if numbers is None:
        return None
    name, level = child(numbers, "numId"), child(numbers, "ilvl")
    at = attribute(level, "val", "0") if level is not None else str(unnamed)
    return (attribute(name, "val") if name is not None else "", unnamed if not at.isdigit() else int(at))


def _rows(table: Node) -> Iterator[Node]:
    for element in table:
        if bare(element.tag) == "tr":
            yield element
        elif bare(element.tag) == "AlternateContent":
            yield from _rows(_chosen(element))
        elif bare(element.tag) in _AROUND:
            yield from _rows(element)


def _shown_cells(line: Node) -> list[Node]:
    return [cell for cell in _cells(line) if not _deleted(cell)]


def _cells(line: Node) -> Iterator[Node]:
    for element in line:
        if bare(element.tag) == "tc":
            yield element
        elif bare(element.tag) == "AlternateContent":
            yield from _cells(_chosen(element))
        elif bare(element.tag) in _AROUND:
            yield from _cells(element)


def _deleted_mark(look: Node) -> bool:
    return any(child(look, name) is not None for name in ("del", "moveFrom"))


def _deleted(node: Node) -> bool:
    format_ = child(node, "trPr") if bare(node.tag) == "tr" else child(node, "tcPr")
    return any(child(format_, name) is not None for name in ("del", "cellDel"))


def _long(cell: Node) -> bool:
    size = 0
    for element in inside(cell, "t"):
        size += len(element.text or "")
        if size > _LONG_CELL:
            return True
    return False
