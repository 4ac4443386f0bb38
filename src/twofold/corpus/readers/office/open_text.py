"""OpenDocument (ODT and ODS, OASIS 1.3) as text: the content of the pages, in reading order.

The text includes numbers of lists and headings, notes, comments, text boxes, headers and alternative texts; tracked
changes are read as accepted; formulas and the values of charts are read from their own objects. Hidden text and
embedded files are named in the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from twofold.corpus.plain_text import clean
from twofold.corpus.readers.marks import Grid, literal, lowered, raised, read_as, settled, struck
from twofold.corpus.readers.office.formulas import mathml
from twofold.corpus.readers.office.numbering import roman, written
from twofold.corpus.readers.office.packages import Node, Package, attribute, bare, child, inside
from twofold.corpus.readers.office.sheets import Cells, Sheet, lines_of, not_seen

_BLANKS = re.compile(r"[ \t\r\n]+")
_CHOICE = re.compile(r'"([^"]{1,400})"')
_LONG = 20_000
"""Characters of a validation's condition that are searched for choices."""
_MOST = 1000
"""Repeated columns or rows of a table, and blanks, that are written out."""
_FORMS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_SKIPPED = frozenset(["tracked-changes", "sequence-decls", "annotation-end", "table-columns", "table-column"])
_ROUND = frozenset(["ellipse", "circle", "polygon", "polyline", "regular-polygon", "path", "line", "connector"])
_SHAPES = _ROUND | {"text-box", "custom-shape", "rect", "caption"}
"""Drawings that hold paragraphs."""
_DRAWINGS = _SHAPES | {"frame", "g"}
_CONTROLS = frozenset(["checkbox", "radio", "text", "textarea", "formatted-text", "date", "time", "number", "combobox"])


@dataclass(frozen=True, slots=True)
class _Look:
    struck: bool = False
    hidden: bool = False
    level: str = ""


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level of a list is numbered; no form: with a bullet."""

    form: str = ""
    before: str = ""
    after: str = ""
    start: int = 1
    shown: int = 1


class OpenText:
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
        root = package.root("content.xml")
        body = next((one for one in child(root, "body") or () if bare(one.tag) in ("text", "spreadsheet")), None)
        if root is None or body is None:
            raise KeyError("content.xml")
        self.unread: dict[str, None] = {}
        self._body = body
        self._pages = package.root("styles.xml") if "styles.xml" in package.names() else None
        self._parents: dict[str, str] = {}
        self._own_styles: dict[str, Node] = {}
        self._lists: dict[str, dict[int, _Level]] = {}
        for part in (self._pages, root):
            if part is not None:
                self._learn(part)
        self._looks: dict[str, _Look] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._notes = {"footnote": 0, "endnote": 0}
        self._inside = 0

    def title(self) -> str:
        """The title in the document's properties."""
        root = self.package.root("meta.xml") if "meta.xml" in self.package.names() else None
        titles = (" ".join((one.text or "").split()) for one in inside(root, "title")) if root is not None else ()
        return next(filter(None, titles), "")

    def text(self) -> str:
        """The whole text; blank lines between blocks, none between items of a list."""
        blocks = list(self._blocks(self._body))
        # each once: many styles of pages have the same
        seen: dict[str, None] = {}
        for element in inside(self._pages, "header", "footer") if self._pages is not None else ():
            seen["\n".join(text for _, text in self._blocks(element))] = None
        blocks += [("p", text) for text in seen if any(map(str.isalpha, text))]
        out: list[str] = []
        before = ""
        for kind, text in blocks:
            if text.strip():
                out += ["\n" if kind == before == "item" else "\n\n", text]
                before = kind
        return "".join(out)

    def sheets(self) -> Iterator[Sheet]:
        """The sheets of a spreadsheet that have text; cells as they are shown."""
        self._inside += 1
        prompts: list[str] = []
        for validation in inside(self._body, "content-validation"):
            prompts += self._prompts(validation)
        for table in self._body:
            if bare(table.tag) != "table":
                continue
            hidden: list[int] = []
            cells = self._cells(table, hidden)
            text, rows = lines_of(cells)
            beside = self._beside(table) + prompts
            prompts = []  # they belong to the file: shown once, with the first sheet
            name = attribute(table, "name")
            unseen = child(self._own_styles.get(attribute(table, "style-name")), "table-properties")
            closed = unseen is not None and attribute(unseen, "display") == "false"
            above = clean(f"## {name}{' (hidden sheet)' if closed else ''}")
            if remark := not_seen(cells, hidden, _closed(table)):
                above += f"\n\n{remark}"
            start = len(above) + 2
            if text or beside:
                yield Sheet(
                    f"sheet {name}{' (hidden)' if closed else ''}",
                    "\n\n".join(filter(None, (above, text, *map(clean, beside)))),
                    tuple((start + at, number) for at, number in rows),
                )

    def _beside(self, table: Node) -> list[str]:
        """The texts of a sheet's shapes, then of its form controls."""
        shapes: list[str] = []
        controls: list[str] = []
        for element in table:
            if bare(element.tag) == "shapes":
                shapes += [text for _, text in self._blocks(element)]
            elif bare(element.tag) == "forms":
                controls += _fields(element)
        return shapes + controls

    def _prompts(self, node: Node) -> Iterator[str]:
        """The questions that cells to be filled in ask, and their choices."""
        prompt = child(node, "help-message")
        if prompt is not None and (text_of_prompt := " ".join(text for _, text in self._blocks(prompt))):
            yield f"Asked: {text_of_prompt}"
        if choices := _CHOICE.findall(attribute(node, "condition")[:_LONG]):
            yield f"Choices: {', '.join(choices)}"

    def _cells(self, table: Node, hidden: list[int]) -> Cells:
        """The cells of a sheet; the numbers of hidden rows with text go to `hidden`."""
        cells: Cells = {}
        # (column, rows below, text) of cells that span rows: written at the end, where those rows exist
        over: list[tuple[int, range, str]] = []
        number = 0
        for line in _rows(table):
            column, row_cells = 0, dict[int, str]()
            for cell in line:
                times = max(1, _int(attribute(cell, "number-columns-repeated"), 1))
                blocks = [text for _, text in self._blocks(cell)] if bare(cell.tag) == "table-cell" else []
                text = " ".join(" ".join(blocks).split()) or _value(cell)
                if text:
                    row_cells |= dict.fromkeys(range(column + 1, column + 1 + min(_MOST, times)), text)
                    down = min(_MOST, _int(attribute(cell, "number-rows-spanned"), 1))
                    over += [(column + 1, range(number + 2, number + 1 + down), text)] if down > 1 else []
                column += times
            repeated = max(1, _int(attribute(line, "number-rows-repeated"), 1))
            if row_cells and attribute(line, "visibility", "visible") != "visible":
                hidden += range(number + 1, number + 1 + min(_MOST, repeated))
            if row_cells:
                cells |= {number + 1 + more: dict(row_cells) for more in range(min(_MOST, repeated))}
            number += repeated
        for at, numbers, text in over:
            for row_number in numbers:
                if row_number in cells:
                    cells[row_number].setdefault(at, text)
        return cells

    def _learn(self, root: Node) -> None:
        for style in inside(root, "style"):
            self._own_styles[attribute(style, "name")] = style
            self._parents[attribute(style, "name")] = attribute(style, "parent-style-name")
        for style in inside(root, "list-style", "outline-style"):
            levels = {}
            for element in style:
                level = _int(attribute(element, "level"), 1)
                levels[level] = _Level(
                    form=_FORMS.get(attribute(element, "num-format"), ""),
                    before=attribute(element, "num-prefix"),
                    after=attribute(element, "num-suffix"),
                    start=_int(attribute(element, "start-value"), 1),
                    shown=_int(attribute(element, "display-levels"), 1),
                )
            self._lists["" if bare(style.tag) == "outline-style" else attribute(style, "name")] = levels

    def _look(self, name: str) -> _Look:
        if name not in self._looks:
            chain: list[str] = []
            # a style may stand among its own parents
            while name in self._own_styles and name not in chain:
                chain.append(name)
                name = self._parents[name]
            look = _Look()
            for key in reversed(chain):
                settings = child(self._own_styles[key], "text-properties")
                look = look if settings is None else _changed(look, settings)
            self._looks[chain[0] if chain else name] = look
            return look
        return self._looks[name]

    def _blocks(self, node: Node, style: str = "", level: int = 0) -> Iterator[tuple[str, str]]:
        """``(kind, text)`` of paragraphs and tables: ``p``, ``item``, ``heading``, ``table``."""
        for element in node:
            name = bare(element.tag) if isinstance(element.tag, str) else ""
            if name in ("p", "h"):
                yield from self._paragraph(element, name)
            elif name == "list":
                yield from self._list(element, attribute(element, "style-name") or style, level + 1)
            elif name == "table":
                yield from self._table(element)
            elif name in _DRAWINGS:
                after: list[str] = []
                self._drawing(element, after)
                yield from (("p", text) for text in after)
            elif name == "forms":
                yield from (("p", text) for text in _fields(element))
            elif name and name not in _SKIPPED:
                yield from self._blocks(element, style, level)

    def _paragraph(self, node: Node, name: str) -> Iterator[tuple[str, str]]:
        out: list[str] = []
        after: list[str] = []
        self._runs(node, out, after, self._look(attribute(node, "style-name")))
        text = settled("".join(out)).strip()
        # Within a cell or note the text is one line: a heading's marks would stand in its midst.
        if text and name == "h" and not self._inside:
            level = max(1, _int(attribute(node, "outline-level"), 1))
            label = self._label("", level) if attribute(node, "is-list-header") != "true" else ""
            yield "heading", f"{'#' * min(6, level)} {' '.join(f'{label} {text}'.split())}"
        elif text:
            yield "p", literal(text)
        yield from (("p", more) for more in after)

    def _label(self, style: str, level: int, start: int | None = None) -> str:
        levels = self._lists.get(style, {})
        own_level = levels.get(level, _Level())
        counts = self._counts.setdefault(style, {})
        # A number begins the levels below it anew.
        for deeper in [one for one in counts if one > level]:
            del counts[deeper]
        counts[level] = start if start is not None else counts.get(level, own_level.start - 1) + 1
        if not own_level.form:
            return "" if not style else "-"
        shown = []
        for depth in range(max(1, level - own_level.shown + 1), level + 1):
            # A level without numbers leaves no empty place between the dots.
            if levels.get(depth, own_level).form:
                shown.append(depth)
        numbers = [written(counts.get(one, 1), levels.get(one, own_level).form) for one in shown]
        return f"{own_level.before}{'.'.join(numbers)}{own_level.after}"

    def _list(self, node: Node, style: str, level: int) -> Iterator[tuple[str, str]]:
        known = style or "-"
        # A list counts on from an earlier one only where it says so.
        if level == 1 and attribute(node, "continue-numbering") != "true" and not attribute(node, "continue-list"):
            self._counts.pop(known, None)
        for item in node:
            start = attribute(item, "start-value")
            label = ""
            if bare(item.tag) == "list-item" and any(bare(one.tag) in ("p", "h") for one in item):
                label = self._label(known, level, int(start) if start.isdigit() else None)
            for kind, text in self._blocks(item, style, level):
                if label and kind == "p":
                    yield "item", f"{label} {text}"
                    label = ""
                else:
                    yield kind, text

    def _runs(self, node: Node, out: list[str], after: list[str], look: _Look) -> None:
        self._say(node.text, out, look)
        for element in node:
            name = bare(element.tag) if isinstance(element.tag, str) else ""
            if name == "span":
                style = self._look(attribute(element, "style-name"))
                self._runs(element, out, after, _over(look, style))
            elif name == "s":
                out.append(" " * min(_MOST, _int(attribute(element, "c"), 1)))
            elif name == "tab":
                out.append(" ")
            elif name == "line-break":
                out.append("\n")
            elif name == "note":
                self._note(element, out, after)
            elif name == "annotation":
                author = child(element, "creator")
                comment = " ".join(text for _, text in self._blocks(element))
                head = f"Comment ({author.text})" if author is not None and author.text else "Comment"
                after += [f"{head}: {comment}"] if comment else []
            elif name == "frame" and (line := self._formula(element)):
                out.append(line)
            elif name in _DRAWINGS:
                self._drawing(element, after)
            elif name == "ruby":
                base, read = child(element, "ruby-base"), child(element, "ruby-text")
                word: list[str] = []
                if base is not None:
                    self._runs(base, word, after, look)
                out.append(read_as("".join(word), "".join(read.itertext()) if read is not None else ""))
            elif name and name not in _SKIPPED:
                self._runs(element, out, after, look)
            self._say(element.tail, out, look)

    def _say(self, raw: str | None, out: list[str], look: _Look) -> None:
        if not raw:
            return
        text = _BLANKS.sub(" ", raw)  # more than one blank is written as elements
        if look.hidden:
            if text.strip():
                self.unread["hidden text"] = None
            return
        if look.level and text.strip():
            text = (raised if look.level == "super" else lowered)(text, "".join(out[-3:]))
        out.append(struck(text) if look.struck else text)

    def _note(self, node: Node, out: list[str], after: list[str]) -> None:
        kind = "endnote" if attribute(node, "note-class") == "endnote" else "footnote"
        self._notes[kind] += 1
        mark = f"[^{roman(self._notes[kind]) if kind == 'endnote' else self._notes[kind]}]"
        body = child(node, "note-body")
        note = " ".join(text for _, text in self._blocks(body)) if body is not None else ""
        out.append(mark)
        after += [f"{mark}: {note}"] if note else []

    def _drawing(self, node: Node, after: list[str]) -> None:
        if bare(node.tag) in _SHAPES:
            texts = (
                " ".join((element.text or "").split()) for element in node if bare(element.tag) in ("title", "desc")
            )
            after += [*filter(None, texts), *(text for _, text in self._blocks(node))]
            return
        for element in node:
            name = bare(element.tag) if isinstance(element.tag, str) else ""
            if name in ("title", "desc"):
                after += [text] if (text := " ".join((element.text or "").split())) else []
            elif name == "object" and (text := self._object(element)):
                after.append(text)
            elif name in ("object", "object-ole"):
                self.unread["an object put in"] = None
            elif name:
                self._drawing(element, after)

    def _content(self, node: Node) -> Node | None:
        """The content of an embedded object."""
        place = attribute(node, "href").removeprefix("./").rstrip("/")
        known = f"{place}/content.xml" in self.package.names()
        return self.package.root(f"{place}/content.xml") if known else child(node, "math")

    def _formula(self, frame: Node) -> str:
        """The formula that a frame within a line shows; nothing of another frame."""
        node = child(frame, "object")
        root = self._content(node) if node is not None else None
        return formula(root) if root is not None and bare(root.tag) == "math" else ""

    def _object(self, node: Node) -> str:
        """The text of an object: a formula, or titles and values of a chart; empty for any other object."""
        root = self._content(node)
        if root is None:
            return ""
        if bare(root.tag) == "math":
            return formula(root)
        chart = next(inside(root, "chart"), None)
        if chart is None:
            return ""
        texts = [" ".join("".join(one.itertext()).split()) for one in inside(chart, "title", "subtitle")]
        for table in inside(chart, "table"):
            texts += [text for _, text in self._table(table)]
        return "\n".join(filter(None, texts))

    def _table(self, node: Node) -> Iterator[tuple[str, str]]:
        """A table, one line a row; a table of a single cell as its paragraphs."""
        rows = list(_rows(node))
        cells = [_table_cells(line) for line in rows]
        if sum(map(len, cells)) < 2 and not self._inside:
            for line in cells:
                for cell in line:
                    yield from self._blocks(cell)
            return
        grid = Grid()
        self._inside += 1
        for line in cells:
            row = []
            for cell in line:
                text = " ".join(text for _, text in self._blocks(cell))
                spans = [_int(attribute(cell, f"number-{way}-spanned"), 1) for way in ("columns", "rows")]
                times = max(1, min(_MOST, _int(attribute(cell, "number-columns-repeated"), 1)))
                row += [(" ".join(text.split()), spans[0], spans[1])] * times
            grid.add(row)
        self._inside -= 1
        if text := grid.text():
            yield "table", text


def _fields(forms: Node) -> Iterator[str]:
    """The controls of a document's forms, each with its label and its value or choice."""
    for control in inside(forms, *_CONTROLS, "listbox"):
        label, name = attribute(control, "label"), bare(control.tag)
        value = attribute(control, "current-value") or attribute(control, "value")
        if name in ("checkbox", "radio"):
            on = attribute(control, "current-state") == "checked" or attribute(control, "current-selected") == "true"
            if label or value:
                yield f"{'☒' if on else '☐'} {label or value}"
            continue
        entries = []
        for item in inside(control, "option", "item"):
            if text := attribute(item, "label"):
                entries.append(text)
        if line := "; ".join(filter(None, (label, value, *entries))):
            yield line


def _rows(node: Node) -> Iterator[Node]:
    for element in node:
        name = bare(element.tag)
        if name == "table-row":
            yield element
        elif name in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(element)


def _table_cells(line: Node) -> list[Node]:
    return [element for element in line if bare(element.tag) == "table-cell"]


def _closed(table: Node) -> list[tuple[int, int]]:
    """First and last of each range of hidden columns."""
    ranges, at = [], 1
    for column in inside(table, "table-column"):
        times = max(1, _int(attribute(column, "number-columns-repeated"), 1))
        if attribute(column, "visibility", "visible") != "visible":
            ranges.append((at, at + times - 1))
        at += times
    return ranges


def _value(cell: Node) -> str:
    """The stored value of a cell without paragraphs; programs that generate sheets write only this."""
    kind = attribute(cell, "value-type")
    named = {"date": "date-value", "time": "time-value", "boolean": "boolean-value", "string": "string-value"}
    return attribute(cell, named.get(kind, "value")).strip() if kind else ""


def formula(math: Node) -> str:
    """MathML as a line."""
    done: dict[Node, str] = {}
    for element in reversed(list(math.iter())):  # children before their parents, without recursion
        parts = [done[part] for part in element]
        done[element] = mathml(bare(element.tag), parts, "" if parts else element.text or "")
    return " ".join(done[math].split())


def _changed(look: _Look, settings: Node) -> _Look:
    through = attribute(settings, "text-line-through-style") or attribute(settings, "text-line-through-type")
    if through:
        look = replace(look, struck=through != "none")
    if position := attribute(settings, "text-position").split(" ")[0]:
        low = position.startswith(("sub", "-"))
        look = replace(look, level="sub" if low else "" if position in ("0%", "0") else "super")
    if display := attribute(settings, "display"):
        look = replace(look, hidden=display == "none")
    return look


def _over(look: _Look, style: _Look) -> _Look:
    return _Look(look.struck or style.struck, look.hidden or style.hidden, style.level or look.level)


def _int(text: str, default: int) -> int:
    return int(text) if text.isdigit() else default
