"""HTML pages as readable text: blocks stay apart, headings are marked as in Markdown so that the chunker sees them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from twofold import plugins
from twofold.errors import UnreadableFile
from twofold.reading import decode
from twofold.types import Document

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.I
)
_UNREAD = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "canvas",
        "iframe",
        "object",
        "embed",
        "head",
        "nav",
        "button",
        "select",
        "input",
        "textarea",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_MARKS = frozenset(["-", *(mark.strip() for mark in _HEADINGS.values())])
_LATIN = frozenset(["iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252"])
_SPACES = re.compile(r"[ \t\n\r\f\v\u00a0]+")


class HtmlReader:
    """An HTML page; the title is its ``<title>``, else the first heading, else the file's stem.

    Scripts, styles, navigation and form controls are left out. A page with exactly one ``<main>`` or ``<article>`` is
    read from there.
    """

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    class Options(plugins.Options):
        """None."""

    def __init__(self, options: HtmlReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            UnreadableFile: the bytes are not in the declared encoding, or the page cannot be parsed.
        """
        from bs4 import BeautifulSoup

        name = path.as_posix()
        markup, assumed = _markup(data, name)
        try:
            soup = BeautifulSoup(markup, "html.parser")
            text = page_text(soup)
        except (RecursionError, AssertionError) as error:
            raise UnreadableFile(f"the page cannot be parsed: {type(error).__name__}", file=name) from error
        title = _flat(soup.title.get_text()) if soup.title else ""
        if not title and (heading := soup.find(["h1", "h2"])):
            title = _flat(heading.get_text())
        title = title or path.name.split(".", 1)[0]
        yield Document(id=name, text=text, title=title, source=name, metadata={"encoding": assumed} if assumed else {})


def _markup(data: bytes, name: str) -> tuple[str, str]:
    """The page as text, and the encoding that had to be assumed, if any.

    A page that declares nothing and is not UTF-8 is taken for windows-1252, and so is one that says it is Latin-1 or
    ASCII (HTML Living Standard, section 13.2.3).
    """
    found = _CHARSET.search(data[:4096])
    declared = found.group(1).decode("ascii").lower() if found else ""
    if declared in _LATIN:
        declared = "cp1252"
    try:
        return decode(data, name=name, declared=declared), ""
    except UnreadableFile:
        if declared:
            raise
        markup = decode(data, name=name, declared="cp1252")
        log.warning("%s declares no encoding and is not UTF-8: read as windows-1252", name)
        return markup, "windows-1252"


def page_text(soup: BeautifulSoup) -> str:
    """The readable text of a parsed page."""
    roots = soup.find_all("main") or soup.find_all("article")
    root = roots[0] if len(roots) == 1 and len(roots[0].get_text(strip=True)) > 200 else soup.body or soup
    return _Page().text(root)


def _flat(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


class _Page:
    """Walks the tree without recursion and gathers lines."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.line: list[str] = []
        self.raw = 0
        self.gap = 0

    def text(self, root: Tag) -> str:
        from bs4.element import NavigableString, PreformattedString, Tag

        stack: list[tuple[PageElement, bool]] = [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if isinstance(node, Tag):
                if leaving:
                    self._leave(node.name)
                elif node.name not in _UNREAD and not node.has_attr("hidden"):
                    self._enter(node.name)
                    stack.append((node, True))
                    stack += [(child, False) for child in reversed(node.contents)]
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                self.line.append(str(node) if self.raw else _SPACES.sub(" ", str(node)))
        self._flush("")
        return "".join(self.out)

    def _enter(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._flush("\n\n")
            self.line.append(_HEADINGS[tag])
        elif tag == "li":
            self._flush("\n")
            self.line.append("- ")
        elif tag == "br":
            self._flush("\n")
        elif tag in _BLOCKS:
            self._flush("\n" if tag in {"tr", "dd", "dt", "tbody", "thead"} else "\n\n")
        if tag == "pre":
            self.raw += 1

    def _leave(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self.line.append(" | ")
        elif tag in _HEADINGS:
            self._flush("\n\n")
        elif tag in _BLOCKS:
            self._flush("\n" if tag in {"li", "tr", "dd", "dt", "tbody", "thead"} else "\n\n")
        if tag == "pre":
            self.raw -= 1

    def _flush(self, end: str) -> None:
        line = "".join(self.line)
        self.line = []
        line = line.strip("\n") if self.raw else _SPACES.sub(" ", line).strip().removesuffix("|").rstrip()
        if line and line not in _MARKS:
            self.out.append("\n" * self.gap + line if self.out else line)
            self.gap = len(end)
        else:
            self.gap = max(self.gap, len(end))
