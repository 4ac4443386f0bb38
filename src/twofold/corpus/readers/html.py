"""HTML pages as readable text: blocks stay apart, headings are marked as in Markdown so that the chunker sees them.

A row of a table is a line, with what spans several rows in each of them. Lines that only look like headings (comments
in ``<pre>``) are kept from being taken for such.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from twofold.corpus.plain_text import title_of
from twofold.corpus.readers.marks import Grid, fence_of, literal, lowered, raised, settled, struck
from twofold.corpus.readers.office.formulas import mathml
from twofold.corpus.readers.office.numbering import written
from twofold.errors import UnreadableFile
from twofold.files.reading import decode
from twofold.plugins import protocols
from twofold.types import Document

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.I
)
_UNREAD = frozenset(["script", "style", "canvas", "iframe", "embed", "rp"])
_BLOCKS_WORDS = """
    address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure
    footer form header hr html legend li main menu object ol optgroup option p pre section select summary table
    tbody textarea tfoot thead title desc text tr ul video audio
"""
_BLOCKS = frozenset(_BLOCKS_WORDS.split())
_SHORT = frozenset(["abbr", "acronym", "dfn"])
"""Elements whose title says what they stand for; a person sees it on pointing there, a text has it the first time."""
_CLOSE = frozenset(["tr", "dd", "dt", "tbody", "thead", "option", "optgroup", "title", "desc", "text"])
"""Blocks that no blank line parts from the next."""
_OF_MENUS = frozenset(
    ["a", "button", "form", "h1", "h2", "h3", "h4", "h5", "h6", "img", "input", "label", "select", "summary", "svg"]
)
"""What a ``<nav>`` shows to lead elsewhere; other words in it are text of the page."""
_LEVEL = re.compile(r"vertical-align\s*+:\s*+(super|sub)\b", re.IGNORECASE)
_INLINE = frozenset(["a", "b", "big", "em", "font", "i", "small", "span", "strong"])
_APART = frozenset(["button", "label", "input", "img", "math", "svg", "output", "meter", "progress", "rt", "area"])
"""Inline elements that a page shows at some distance from their neighbours."""
_STRUCK = frozenset(["s", "strike", "del"])
_CELLS = frozenset(["cell", "gridcell", "columnheader", "rowheader"])
"""Roles that make an element of any name a cell of a row (WAI-ARIA 1.2)."""
_LETTERED = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_NAMED_FIELDS = frozenset(["input", "select", "textarea", "table", "svg", "iframe"])
"""What an ``aria-label`` names besides what it shows."""
_SPOKEN = 50
"""Nodes within an element that are looked at to find whether it shows words beside its ``aria-label``."""
_SHOWN_INPUTS = frozenset(["", "text", "button", "submit", "reset", "email", "number", "tel", "url", "search", "date"])
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_LATIN = frozenset(["iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252"])
_SPACES = re.compile(r"[ \t\n\r\f\v\u00a0]+")
_THROUGH = re.compile(r"line-through")
_CLASS = re.compile(r"[\w-]*\.([\w-]{1,80})")
_CODE = re.compile(r"^ {0,3}(?:#{1,6}[ \t]|```|~~~|=+[ \t]*$|-{3,}[ \t]*$)", re.MULTILINE)
_PARTS = frozenset(["td", "th", "tr", "tbody", "thead", "tfoot", "caption"])
"""Of a table. One whose end is not written stands inside the one before in the tree, and beside it on the page."""
_DEEP = 8
"""Tables within tables from which each places parts of a page."""
_LONG_CELL = 2_000
"""Characters from which a cell is a part of a page that is laid out by a table."""


class HtmlReader:
    """An HTML page; the title is its ``<title>``, else the first heading, else the file's stem.

    Read is all that a reader can bring to the screen: panels that are hidden, buttons, choices, alternative texts,
    formulas and frames whose page stands in the file too. Left out are scripts, styles, pictures, other files' frames
    and the links of a ``<nav>``.
    """

    version: ClassVar[int] = 5
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: HtmlReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            UnreadableFile: the bytes are not in the declared encoding, or the page cannot be parsed.
        """
        name = path.as_posix()
        markup, assumed = markup_of(data, name)
        soup = parsed(markup, name)
        text = page_text(soup)
        title = _flat(soup.title.get_text()) if soup.title else ""
        if not title and (heading := soup.find(["h1", "h2"])):
            title = _flat(heading.get_text())
        title = title or title_of(path)
        metadata = {"encoding": assumed} if assumed else {}
        if unread := _named_only(soup):
            metadata["unread"] = unread
        yield Document(id=name, text=text, title=title, source=name, metadata=metadata)


def markup_of(data: bytes, name: str) -> tuple[str, str]:
    """The page as text, and the encoding that had to be assumed, if any.

    A page that declares nothing and is not UTF-8 is taken for windows-1252, and so is one that says it is Latin-1 or
    ASCII (HTML Living Standard, section 13.2.3).
    """
    match = _CHARSET.search(data[:4096])
    declared = match.group(1).decode("ascii").lower() if match else ""
    if declared in _LATIN:
        # as browsers do: windows-1252 has all signs of Latin-1, and more
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

    Tags and comments that never end are text: the parser would look for the end of each to the end of the page.

    Raises:
        UnreadableFile: it cannot be parsed.
    """
    from bs4 import BeautifulSoup
    from bs4.builder import ParserRejectedMarkup

    whole, mark, rest = markup.rpartition("-->")
    markup = whole + mark + rest.replace("<!--", "")
    whole, mark, rest = markup.rpartition(">")
    try:
        return BeautifulSoup(whole + mark + rest.replace("<", "&lt;"), "html.parser")
    except (RecursionError, AssertionError, ParserRejectedMarkup) as error:
        raise UnreadableFile(f"the page cannot be parsed: {type(error).__name__}", file=name) from error


def page_text(soup: BeautifulSoup) -> str:
    """The readable text of a parsed page."""
    return _Page(_crossed(soup)).text(soup)


def _is_text(node: PageElement) -> bool:
    return getattr(node, "name", None) is None and bool(str(node).strip())


def _named_only(soup: BeautifulSoup) -> str:
    """What a page shows that no text of it tells."""
    shown_parts: dict[str, None] = {}
    for node in soup.find_all(["canvas", "embed", "object", "iframe"]):
        address = str(node.get("src") or node.get("data") or "")
        if node.name == "canvas":
            shown_parts["a drawing (canvas)"] = None
        elif address and not node.get("srcdoc") and ":" not in address and not any(map(_is_text, _first(node))):
            shown_parts[f"the file {address[:80]} that the page shows"] = None
    return "; ".join(shown_parts)


def _crossed(soup: BeautifulSoup) -> frozenset[str]:
    """Classes whose text the page's own style sheets strike out."""
    classes: set[str] = set()
    for style in soup.find_all("style"):
        for rule in style.get_text().split("}"):
            selectors, _, look = rule.rpartition("{")
            if "line-through" in look:
                classes.update(
                    selector.group(1) for part in selectors.split(",") if (selector := _CLASS.fullmatch(part.strip()))
                )
    return frozenset(classes)


def _flat(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _number(value: object, default: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return default


def _laid_out(table: Tag) -> bool:
    """Does the table place parts of a page rather than hold data?"""
    if table.get("role") in ("presentation", "none") or table.find(["table", *_HEADINGS, "pre"]):
        return True
    cells = table.find_all(["td", "th"])
    return len(cells) < 2 or any(len(cell.get_text()) > _LONG_CELL for cell in cells)


class _Page:
    """Walks the tree without recursion and gathers lines.

    Args:
        crossed: Classes whose text is struck out.
        cell: This is one cell of a table: all in one line, without marks of headings and items.
    """

    def __init__(self, crossed: frozenset[str], *, cell: bool = False) -> None:
        self.crossed = crossed
        self.cell = cell
        self.out: list[str] = []
        self.line: list[str] = []
        self.raw = 0
        self.gap = 0
        self.heading = 0
        self.mark = ""
        self.struck = 0
        self.menu = 0
        self.tables = 0
        self.opened: list[tuple[int, int]] = []
        self.spelt: set[str] = set()
        self.lists: list[tuple[int, int, str] | None] = []

    def text(self, root: Tag) -> str:
        from bs4.element import NavigableString, PreformattedString, Tag

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
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                self._say(str(node) if self.raw else _SPACES.sub(" ", str(node)))
        self._flush("")
        return "".join(self.out)

    def _frame(self, markup: str) -> None:
        """A page that stands in an attribute of this one; frames in it are left out."""
        inner = parsed(markup, "the page's frame")
        for frame in inner.find_all("iframe"):
            frame.decompose()
        self._break("\n\n")
        text = _Page(_crossed(inner), cell=self.cell).text(inner)
        if self.cell:
            self.line.append(text)
        else:
            self._line(text)

    def _say(self, text: str) -> None:
        if self.menu and len(text.split()) < 2:
            return  # "Menu", the page one is on, signs between links
        # a soft hyphen is a place to break a word, and no sign of it
        text = text.replace("\u00ad", "")
        self.line.append(struck(text) if self.struck and text.strip() else text)

    def _enter(self, node: Tag) -> None:
        tag = _named(node)
        if tag in _HEADINGS and not self.cell and not self.heading:
            self._flush("\n\n")
            self.mark = _HEADINGS[tag].strip()
            self.line.append(_HEADINGS[tag])
            self.heading += 1
        elif tag in ("td", "th") and not self.cell:
            if (tail := "".join(self.line[-8:]).rstrip()) and not tail.endswith("|"):
                self.line.append(" | ")
        elif tag == "br":
            self._break("\n")
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._break("\n" if tag in _CLOSE or tag == "li" else "\n\n")
        if tag in ("ol", "ul", "menu"):
            self.lists.append(_numbered(node) if tag == "ol" else None)
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
        elif _level(node):
            self.opened.append((len(self.line), 0))
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
        elif (level := _level(node)) and self.opened:
            at, _ = self.opened.pop()
            inside = "".join(self.line[at:])
            before = "".join(self.line[max(0, at - 3) : at])
            self.line[at:] = [(raised if level == "super" else lowered)(inside, before)]
        elif tag in _APART:
            self.line.append(" ")
        elif tag == "q":
            self.line.append("”")
        elif tag in _SHORT and (whole := _flat(str(node.get("title") or ""))) and whole not in self.spelt:
            self.spelt.add(whole)
            self._say(f" ({whole})")
        elif tag == "a" and (address := _address(node)) and address not in "".join(self.line[-12:]):
            self.line.append(f" ({address})")

    def _is_struck(self, node: Tag) -> bool:
        if node.name in _STRUCK or _THROUGH.search(str(node.get("style") or "")):
            return True
        return bool(self.crossed) and not self.crossed.isdisjoint(node.get_attribute_list("class"))

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
        grid = Grid()
        cells: list[tuple[str, int, int]] = []
        for part in table.find_all(["caption", "tr", "td", "th"]):
            if part.name == "caption":
                self._line(_Page(self.crossed, cell=True).text(part))
            elif part.name == "tr":
                if cells:
                    grid.add(cells)
                cells = []
            else:
                columns, rows = _number(part.get("colspan"), 1), _number(part.get("rowspan"), 1)
                cells.append((_Page(self.crossed, cell=True).text(part), columns, rows))
        if cells:
            grid.add(cells)
        self._line(grid.text())

    def _line(self, text: str) -> None:
        """Finished text, as a block of its own."""
        if text:
            self.out.append("\n" * self.gap + text if self.out else text)
            self.gap = 2

    def _break(self, end: str) -> None:
        if self.cell or self.heading:
            self.line.append(" ")
        elif not self.mark or "".join(self.line[-2:]).strip() != self.mark:
            self._flush(end)

    def _close_code(self, first: int, gap: int) -> None:
        """Lines of code that Markdown would take for headings go between fences."""
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
    """The element's name, or that of the part of a table that its role makes it."""
    role = node.get("role")
    return "td" if role in _CELLS else "tr" if role == "row" else str(node.name)


def _unread(node: Tag) -> bool:
    """Is there nothing in it that a browser shows?"""
    if node.name == "template":
        return not node.get("shadowrootmode")
    if node.name == "mjx-math" or "katex-html" in node.get_attribute_list("class"):  # a formula drawn beside its MathML
        return any(getattr(one, "name", None) == "math" for one in _first(node.parent))
    return node.name in _UNREAD


def _level(node: Tag) -> str:
    """``super`` or ``sub`` for what stands raised or lowered."""
    if node.name in ("sup", "sub"):
        return "super" if node.name == "sup" else "sub"
    match = _LEVEL.search(str(node.get("style") or "")) if node.name in _INLINE else None
    return match.group(1).lower() if match else ""


def _numbered(node: Tag) -> tuple[int, int, str]:
    """Of a list its first number, the step to the next, and how they are written."""
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
    return first, step, _LETTERED.get(str(node.get("type") or ""), "decimal")


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
    """The first nodes within an element."""
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
    """What a browser shows of an element that is not text inside it."""
    if node.name in ("img", "area"):
        return " ".join(str(node.get("alt") or node.get("title") or "").split())
    if node.name == "input":
        kind = str(node.get("type") or "").lower()
        if kind == "image":
            return str(node.get("alt") or "")
        if kind in ("checkbox", "radio"):
            return "☒" if node.has_attr("checked") else "☐"
        return str(node.get("value") or node.get("placeholder") or "") if kind in _SHOWN_INPUTS else ""
    if node.name == "option" and node.parent is not None and node.parent.name == "datalist":
        return str(node.get("label") or node.get("value") or "")
    return str(node.get("label") or "") if node.name in ("optgroup", "option") else ""


def _formula(math: Tag) -> str:
    """MathML as a line; what its author wrote for those who cannot see it where it has no elements."""
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
    formula = _flat(done[id(math)])
    return formula or str(math.get("alttext") or "")
