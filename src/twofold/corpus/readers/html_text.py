"""HTML as readable text, for all readers that meet pages: files, mail, books, notebooks.

Blocks stay apart, and headings are marked as in Markdown so that the chunker sees them. A row of a table is a line; a
cell that spans several rows is repeated in each. Lines that only look like headings (comments in ``<pre>``) are fenced.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from twofold.corpus.readers.marks import Grid, fence_of, literal, lowered, raised, read_as, settled, struck
from twofold.corpus.readers.office.formulas import mathml
from twofold.corpus.readers.office.numbering import written
from twofold.corpus.readers.page_order import reorder
from twofold.corpus.readers.page_styles import Styles, styles_of, written_by_styles
from twofold.errors import UnreadableFile
from twofold.files.reading import decode

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.I
)
_UNREAD = frozenset(["script", "style", "canvas", "iframe", "embed", "rp"])
"""Elements without readable text; ``rp`` has brackets that only browsers without ruby show."""
_BLOCKS_WORDS = """
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form header hgroup hr html legend li listing main menu nav object ol optgroup option p plaintext pre search
    section select summary table tbody textarea tfoot thead title desc text tr ul video audio xmp
"""
_BLOCKS = frozenset(_BLOCKS_WORDS.split())
_SHORT = frozenset(["abbr", "acronym", "dfn"])
"""Elements with the long form in their title, which a browser shows on pointing there; the text has it once."""
_CLOSE = frozenset(["tr", "dd", "dt", "tbody", "thead", "option", "optgroup", "title", "desc", "text"])
"""Blocks without a blank line before the next one."""
_OF_MENUS = frozenset(
    ["a", "button", "form", "h1", "h2", "h3", "h4", "h5", "h6", "img", "input", "label", "select", "summary", "svg"]
)
"""Elements of a ``<nav>`` that lead elsewhere; other words in it are text of the page."""
_LEVEL = re.compile(r"vertical-align\s*+:\s*+(super|sub)\b", re.IGNORECASE)
_INLINE = frozenset(["a", "b", "big", "em", "font", "i", "small", "span", "strong"])
_APART = frozenset(["button", "label", "input", "img", "math", "svg", "output", "meter", "progress", "area", "marquee"])
"""Inline elements that a page shows at some distance from their neighbours."""
_STRUCK = frozenset(["s", "strike", "del"])
_CELLS = frozenset(["cell", "gridcell", "columnheader", "rowheader"])
"""Roles that make an element of any name a cell of a row (WAI-ARIA 1.2)."""
_LETTERED = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_NAMED_FIELDS = frozenset(["input", "select", "textarea", "table", "svg", "iframe"])
"""Elements whose ``aria-label`` is a name beside their content, not a replacement of it."""
_SPOKEN = 50
"""Most nodes within an element that are searched for words beside its ``aria-label``."""
_DATED_INPUTS = frozenset(["date", "time", "month", "week", "datetime-local"])
_SHOWN_INPUTS = _DATED_INPUTS | {"", "text", "button", "submit", "reset", "email", "number", "tel", "url", "search"}
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_LATIN = frozenset(["iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252"])
_SPACES = re.compile(r"[ \t\n\r\f\v\u00a0]+")
_CODE = re.compile(r"^ {0,3}(?:#{1,6}[ \t]|```|~~~|=+[ \t]*$|-{3,}[ \t]*$)", re.MULTILINE)
_PARTS = frozenset(["td", "th", "tr", "tbody", "thead", "tfoot", "caption"])
"""Parts of a table. A part without an end tag lies inside the previous one in the tree, and beside it on the page."""
_ROWS = frozenset(["tr", "tbody", "thead", "tfoot"])
_READ_AS = frozenset(["ruby", "rt", "rtc"])
_DEEP = 8
"""Tables within tables from which every table counts as page layout."""
_LONG_CELL = 2_000
"""Characters from which a cell shows that the table lays out a page."""


def markup_of(data: bytes, name: str) -> tuple[str, str]:
    """Decode a page; return its text, and the encoding that had to be assumed, if any.

    A page that declares nothing and is not UTF-8 is read as windows-1252, and so is a page that declares Latin-1 or
    ASCII (HTML Living Standard, section 13.2.3).
    """
    match = _CHARSET.search(data[:4096])
    declared = match.group(1).decode("ascii").lower() if match else ""
    if declared in _LATIN:
        # as browsers do: windows-1252 has all characters of Latin-1, and more
        declared = "cp1252"
    try:
        return decode(data, name=name, declared=declared), ""
    except UnreadableFile:
        if declared:
            raise
        markup = decode(data, name=name, declared="cp1252")
        log.warning("%s declares no encoding and is not UTF-8: read as windows-1252", name)
        return markup, "windows-1252"


def parsed(markup: str, name: str) -> BeautifulSoup:
    """The page as a tree.

    Raises:
        UnreadableFile: the page cannot be parsed.
    """
    from bs4 import BeautifulSoup
    from bs4.builder import ParserRejectedMarkup

    # tags and comments that never end become text: for each of them the parser would search to the end of the page
    whole, mark, rest = markup.rpartition("-->")
    markup = whole + mark + rest.replace("<!--", "")
    whole, mark, rest = markup.rpartition(">")
    try:
        return BeautifulSoup(whole + mark + rest.replace("<", "&lt;"), "html.parser")
    except (RecursionError, AssertionError, ParserRejectedMarkup) as error:
        raise UnreadableFile(f"the page cannot be parsed: {type(error).__name__}", file=name) from error


def page_text(soup: BeautifulSoup) -> str:
    """The readable text of a parsed page."""
    reorder(soup)
    return _Page(styles_of(soup)).text(soup)


def _is_text(node: PageElement) -> bool:
    return getattr(node, "name", None) is None and bool(str(node).strip())


def unread_parts(soup: BeautifulSoup) -> str:
    """Remarks on parts of a page that are shown but not read: drawings, and files in frames."""
    shown_parts: dict[str, None] = {}
    styles: list[Tag] = []
    for node in soup.find_all(["canvas", "embed", "object", "iframe", "style"]):
        if node.name == "style":
            styles.append(node)
            continue
        address = str(node.get("src") or node.get("data") or "")
        if node.name == "canvas":
            shown_parts["a drawing (canvas)"] = None
        elif address and not node.get("srcdoc") and ":" not in address and not any(map(_is_text, _first(node))):
            shown_parts[f"the file {address[:80]} that the page shows"] = None
    return "; ".join([*shown_parts, *written_by_styles(styles)])


def flat(text: str) -> str:
    """A text on one line, without white space at its ends."""
    return _SPACES.sub(" ", text).strip()


def _number(value: object, default: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return default


def _laid_out(table: Tag) -> bool:
    """Does a table lay out parts of a page, rather than contain data?"""
    if table.get("role") in ("presentation", "none") or table.find(["table", *_HEADINGS, "pre"]):
        return True
    cells = table.find_all(["td", "th"])
    return len(cells) < 2 or any(len(cell.get_text()) > _LONG_CELL for cell in cells)


class _Page:
    """Walks the tree without recursion and gathers lines.

    Args:
        styles: The page's own styles.
        cell: The text is a cell of a table: one line, without marks of headings and items.
    """

    def __init__(self, styles: Styles, *, cell: bool = False) -> None:
        self.styles = styles
        self.cell = cell
        self.out: list[str] = []
        self.line: list[str] = []
        # how many of each the walk is inside of: <pre>, headings, struck-out text, <nav>, tables
        self.raw = 0
        self.heading = 0
        self.struck = 0
        self.menu = 0
        self.tables = 0
        self.gap = 0
        """Line feeds to write before the next line."""
        self.mark = ""
        """The mark of a heading or item at the start of the line, while no text follows it."""
        self.opened: list[tuple[int, int]] = []
        """Places at which a <pre> or raised text began."""
        self.spelt: set[str] = set()
        """Long forms of abbreviations that were written."""
        self.readings: list[str] = []
        self.lists: list[tuple[int, int, str] | None] = []
        """Next number, step and form of each open list; None for a list of bullets."""

    def text(self, root: Tag) -> str:
        from bs4.element import CData, NavigableString, PreformattedString, Tag

        # a stack of our own: a page may be nested deeper than Python calls
        stack: list[tuple[PageElement, bool]] = [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if isinstance(node, Tag):
                if leaving:
                    self._leave(node)
                elif node.name == "math":
                    self.line += [" ", _formula(node), " "]
                elif node.name == "table" and not self.cell and self.tables < _DEEP and not _laid_out(node):
                    self._table(node)
                elif not _unread(node) and not (self.cell and node is not root and node.name in _PARTS):
                    if node.name == "title" and node.find_parent("svg") is None:
                        continue  # the page's own
                    if self.menu and node.name in _OF_MENUS:
                        continue
                    self._enter(node)
                    stack.append((node, True))
                    stack += [(child, False) for child in reversed(node.contents)]
                elif node.name == "iframe" and (page := str(node.get("srcdoc") or "")):
                    self._frame(page)
                elif node.name == "script" and str(node.get("type") or "").startswith("math/tex"):
                    self.line += [" $", flat("".join(map(str, node.contents))), "$ "]
            elif isinstance(node, CData) or (
                isinstance(node, NavigableString) and not isinstance(node, PreformattedString)
            ):
                self._say(str(node) if self.raw else _SPACES.sub(" ", str(node)))
        self._flush("")
        return "".join(self.out)

    def _frame(self, markup: str) -> None:
        """Read a page that an attribute of this page contains; frames inside it are left out."""
        inner = parsed(markup, "the page's frame")
        for frame in inner.find_all("iframe"):
            frame.decompose()
        self._break("\n\n")
        reorder(inner)
        text = _Page(styles_of(inner), cell=self.cell).text(inner)
        if self.cell:
            self.line.append(text)
        else:
            self._line(text)

    def _say(self, text: str) -> None:
        if self.menu and len(text.split()) < 2:
            return  # "Menu", the name of the current page, signs between links
        # a soft hyphen is a place to break a word, not a character of it
        text = text.replace("\u00ad", "")
        self.line.append(struck(text) if self.struck else text)

    def _enter(self, node: Tag) -> None:
        tag = _named(node)
        if tag in _HEADINGS and not self.cell and not self.heading:
            self._flush("\n\n")
            self.mark = _HEADINGS[tag].strip()
            self.line.append(_HEADINGS[tag])
            self.heading += 1
        elif tag in ("td", "th") and not self.cell:
            # the end of the line only: to join all of it for each cell takes quadratic time
            if (tail := "".join(self.line[-8:]).rstrip()) and not tail.endswith("|"):
                self.line.append(" | ")
        elif tag == "br":
            self._break("\n")
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._break("\n" if tag in _CLOSE or tag == "li" else "\n\n")
        else:
            self._part(node, tag)
        if tag in ("ol", "ul", "menu"):
            self.lists.append(_numbered(node, self.styles.counts(node)) if tag == "ol" else None)
        elif tag == "li" and not self.cell:
            self._item(node)
        elif tag == "li" and "".join(self.line[-4:]).strip():
            self.line.append("; ")
        elif tag == "pre":
            self.raw += 1
            if self.raw == 1:
                self.opened.append((len(self.out), self.gap))
        elif tag in ("nav", "table"):
            self.menu += tag == "nav"
            self.tables += tag == "table"
        elif tag in _READ_AS or _level(node):
            self.opened.append((len(self.line), 0))
            self.readings += [""] if tag == "ruby" else []
        if self._is_struck(node):
            self.struck += 1
        if tag in _APART:
            self.line.append(" ")
        if shown := _shown(node):
            self._say(f"{shown} ")
        elif tag == "q":
            self.line.append("“")
        if spoken := _spoken(node):
            self.line += [" ", spoken, " "]

    def _leave(self, node: Tag) -> None:
        tag = _named(node)
        if self._is_struck(node):
            self.struck -= 1
        if tag in {"td", "th"} and not self.cell:
            self.line.append(" | ")
        elif tag in _HEADINGS and self.heading and not self.cell:
            self._flush("\n\n")
            self.heading -= 1
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._break("\n" if tag in _CLOSE or tag == "li" else "\n\n")
        if tag in ("ol", "ul", "menu") and self.lists:
            self.lists.pop()
        elif tag == "pre":
            self.raw -= 1
            if not self.raw:
                self._close_code(*self.opened.pop())
        elif tag in ("nav", "table"):
            self.menu -= tag == "nav"
            self.tables -= tag == "table"
        elif tag in _READ_AS and self.opened:
            self._read_as(tag, self.opened.pop()[0])
        elif (level := _level(node)) and self.opened:
            at, _ = self.opened.pop()
            inside = "".join(self.line[at:])
            before = "".join(self.line[max(0, at - 3) : at])
            self.line[at:] = [(raised if level == "super" else lowered)(inside, before)]
        elif tag in _APART:
            self.line.append(" ")
        elif tag not in _BLOCKS:
            self._part(node, tag)
        if tag == "q":
            self.line.append("”")
        elif tag in _SHORT and (whole := flat(str(node.get("title") or ""))) and whole not in self.spelt:
            self.spelt.add(whole)
            self._say(f" ({whole})")
        elif tag == "a" and (address := _address(node)) and address not in "".join(self.line[-12:]):
            # where the link's own words are not the address already
            self.line.append(f" ({address})")

    def _part(self, node: Tag, tag: str) -> None:
        """Part an inline element from its neighbours where the page shows it apart from them."""
        if parting := self.styles.parts(node):
            self._break("\n") if parting == "\n" else self.line.append(" ")
        elif (tag == "tspan" and (node.has_attr("x") or node.has_attr("dy"))) or (
            "-" in tag and "-" in (getattr(node.previous_sibling, "name", None) or "")
        ):
            self.line.append(" ")  # a line of a drawing's text; elements of the page's own side by side

    def _read_as(self, tag: str, at: int) -> None:
        """Put the reading of a word behind the whole word, which a search would not find in pieces."""
        inside = "".join(self.line[at:])
        del self.line[at:]
        if tag == "ruby":
            self.line.append(read_as(inside, self.readings.pop() if self.readings else ""))
        elif self.readings:
            blank = " " if self.readings[-1] and inside.isascii() else ""
            self.readings[-1] += f"{blank}{inside.strip()}"
        else:
            self.line.append(f" {inside} ")

    def _is_struck(self, node: Tag) -> bool:
        return node.name in _STRUCK or self.styles.strikes(node)

    def _item(self, node: Tag) -> None:
        numbering = self.lists[-1] if self.lists else None
        if numbering is None:
            self.mark = "-"
        else:
            number, step, form = numbering
            number = _number(node.get("value"), number)
            self.lists[-1] = (number + step, step, form)
            self.mark = f"{written(number, form) if number > 0 else number}."
        self.line.append(f"{self.mark} ")

    def _table(self, table: Tag) -> None:
        self._flush("\n\n")
        for node in _between_rows(table):
            self._line(_Page(self.styles, cell=True).text(node))
        grid = Grid()
        cells: list[tuple[str, int, int]] = []
        for part in table.find_all(["caption", "tr", "td", "th"]):
            if part.name == "caption":
                self._line(_Page(self.styles, cell=True).text(part))
            elif part.name == "tr":
                if cells:
                    grid.add(cells)
                cells = []
            else:
                columns, rows = _number(part.get("colspan"), 1), _number(part.get("rowspan"), 1)
                cells.append((_Page(self.styles, cell=True).text(part), columns, rows))
        if cells:
            grid.add(cells)
        self._line(grid.text())

    def _line(self, text: str) -> None:
        """Add finished text as a separate block."""
        if text:
            self.out.append("\n" * self.gap + text if self.out else text)
            self.gap = 2

    def _break(self, end: str) -> None:
        if self.cell or self.heading:
            self.line.append(" ")
        elif not self.mark or "".join(self.line[-2:]).strip() != self.mark:
            self._flush(end)

    def _close_code(self, first: int, gap: int) -> None:
        """Put code between fences where Markdown would take a line of it for a heading."""
        self._flush("\n\n")
        code = "".join(self.out[first:])
        if not self.cell and _CODE.search(code):
            fence = fence_of(code)
            lead = len(code) - len(code.lstrip("\n"))
            self.out[first:] = [f"{code[:lead]}{fence}\n{code[lead:]}\n{fence}"]
            self.gap = max(gap, self.gap)

    def _flush(self, end: str) -> None:
        line = settled("".join(self.line))
        self.line = []
        if self.raw and not self.cell:
            line = line.strip("\n")
        else:
            line = _SPACES.sub(" ", line).strip().removesuffix("|").rstrip()
            line = line.removesuffix(";").rstrip().replace(" ; ", "; ") if self.cell else line
            line = line if self.heading or self.cell else literal(line)
        if line and line != self.mark:
            self.mark = ""
            self.out.append("\n" * self.gap + line if self.out else line)
            self.gap = len(end)
        else:
            self.gap = max(self.gap, len(end))


def _named(node: Tag) -> str:
    """The element's name, or that of the part of a table that its role makes of it."""
    role = node.get("role")
    if role == "heading":
        return f"h{min(6, max(1, _number(node.get('aria-level'), 2)))}"
    return "td" if role in _CELLS else "tr" if role == "row" else str(node.name)


def _unread(node: Tag) -> bool:
    """Does a browser show nothing of the element, or its content twice?"""
    if node.name == "template":
        return not node.get("shadowrootmode")
    if node.name == "mjx-math" or "katex-html" in node.get_attribute_list("class"):  # a formula drawn beside its MathML
        return any(getattr(one, "name", None) == "math" for one in _first(node.parent))
    return node.name in _UNREAD


def _level(node: Tag) -> str:
    """``super`` or ``sub`` for a raised or lowered element, else empty."""
    if node.name in ("sup", "sub"):
        return "super" if node.name == "sup" else "sub"
    match = _LEVEL.search(str(node.get("style") or "")) if node.name in _INLINE else None
    return match.group(1).lower() if match else ""


def _between_rows(table: Tag) -> list[Tag]:
    """The elements of a table outside its cells, which a page shows above the table."""
    from bs4.element import NavigableString, PreformattedString, Tag

    outside: list[Tag] = []
    waiting: list[PageElement] = list(reversed(table.contents))
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tag):
            if node.name in _ROWS or (node.name == "form" and node.find("tr")):
                waiting += reversed(node.contents)
            elif node.name not in _PARTS and not _unread(node):
                outside.append(node)
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString) and node.strip():
            words = Tag(name="span")
            words.string = str(node)
            outside.append(words)
    return outside


def _numbered(node: Tag, form: str) -> tuple[int, int, str]:
    """The first number of a list, the step to the next one, and the form of the numbers.

    Args:
        node: The list.
        form: The form that a style gives the numbers; empty for none.
    """
    from bs4.element import Tag

    step = -1 if node.has_attr("reversed") else 1
    first = 1
    if step < 0:  # an item whose end is not written stands inside the one before
        waiting, first = [element for element in node.contents if isinstance(element, Tag)], 0
        while waiting:
            element = waiting.pop()
            first += element.name == "li"
            if element.name not in ("ol", "ul", "menu"):
                waiting += [inner for inner in element.contents if isinstance(inner, Tag)]
    first = _number(node.get("start"), first)
    return first, step, form or _LETTERED.get(str(node.get("type") or ""), "decimal")


def _spoken(node: Tag) -> str:
    """The ``aria-label`` of an element that shows no words: stars, signs, buttons with a picture."""
    label = node.get("aria-label")
    if not label or (node.name in _NAMED_FIELDS and node.get("role") != "img"):
        return ""
    inside = _first(node)
    words = (str(one if one.name is None else one.get("alt") or "") for one in inside)
    if len(inside) == _SPOKEN or any(text.strip() for text in words):
        return ""
    return " ".join(str(label).split())


def _first(top: Tag | None) -> list[PageElement]:
    """The first `_SPOKEN` nodes within an element."""
    nodes: list[PageElement] = []
    waiting = list(reversed(top.contents[:_SPOKEN])) if top is not None else []
    while waiting and len(nodes) < _SPOKEN:
        node = waiting.pop()
        nodes.append(node)
        waiting += reversed(getattr(node, "contents", [])[:_SPOKEN])
    return nodes


def _address(node: Tag) -> str:
    """The mail address or telephone number that a link opens."""
    scheme, _, rest = str(node.get("href") or "").partition(":")
    return rest.partition("?")[0].strip() if scheme.lower() in ("mailto", "tel") else ""


def _shown(node: Tag) -> str:
    """The text that a browser shows for an element and that is not inside it: alternative texts, values of fields."""
    if node.name in ("img", "area"):
        return " ".join(str(node.get("alt") or node.get("title") or "").split())
    if node.name == "input":
        kind = str(node.get("type") or "").lower()
        if kind == "image":
            return str(node.get("alt") or "")
        if kind in ("checkbox", "radio"):
            return "☒" if node.has_attr("checked") else "☐"
        return str(node.get("value") or node.get("placeholder") or "") if kind in _SHOWN_INPUTS else ""
    if node.name == "textarea" and not node.get_text().strip():
        return str(node.get("placeholder") or "")
    if node.name == "option" and node.parent is not None and node.parent.name == "datalist":
        return str(node.get("label") or node.get("value") or "")
    return str(node.get("label") or "") if node.name in ("optgroup", "option") else ""


def _formula(math: Tag) -> str:
    """MathML as a line; its alternative text where the formula has no elements."""
    from bs4.element import Tag

    done: dict[int, str] = {}
    stack: list[tuple[Tag, bool]] = [(math, False)]
    while stack:
        node, leaving = stack.pop()
        inner = [child for child in node.children if isinstance(child, Tag)]
        if not leaving:
            stack.append((node, True))
            stack += [(child, False) for child in inner]
            continue
        done[id(node)] = mathml(node.name, [done[id(child)] for child in inner], "" if inner else node.get_text())
    formula = flat(done[id(math)])
    return formula or str(math.get("alttext") or "")
