"""HTML files (``.html``, ``.htm``, ``.xhtml``); their text is made by `html_text`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twofold.corpus.plain_text import title_of
from twofold.corpus.readers.html_text import flat, markup_of, page_text, parsed, unread_parts
from twofold.plugins import protocols
from twofold.types import Document


class HtmlReader:
    """An HTML page; the title is its ``<title>``, else the first heading, else the file's stem.

    The text includes everything that a visitor can bring to the screen: hidden panels, buttons, choices, alternative
    texts, formulas, and frames whose page is part of the file. Scripts, styles, pictures, frames with other files and
    the links of a ``<nav>`` are left out.
    """

    version: ClassVar[int] = 7
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
        title = flat(soup.title.get_text()) if soup.title else ""
        if not title and (heading := soup.find(["h1", "h2"])):
            title = flat(heading.get_text())
        title = title or title_of(path)
        metadata = {"encoding": assumed} if assumed else {}
        if unread := unread_parts(soup):
            metadata["unread"] = unread
        yield Document(id=name, text=text, title=title, source=name, metadata=metadata)
