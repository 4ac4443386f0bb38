"""Terms of use of a model: their text for people to read, and the record of who accepted them."""

from __future__ import annotations

import hashlib
import html.parser
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

_HIDDEN = frozenset({"script", "style", "template"})
_BLOCKS = frozenset({"p", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "br", "table", "section"})


class Acceptance(TypedDict):
    """Somebody accepted a model's terms of use."""

    address: str
    """Where the terms are published."""
    sha256: str
    """Digest of the file that was shown, which lies beside the weights."""
    by: str
    """The operating system's name of the person."""
    at: str
    """UTC, to the second."""


class Terms(TypedDict):
    """The terms of use of a model."""

    model: str
    address: str
    """Where they are published."""
    sha256: str
    """Digest of the file."""
    text: str
    """What a reader sees of it."""
    accepted: Acceptance | None
    """None where nobody has accepted them on this machine."""


def acceptance(file: Path, address: str, by: str) -> Acceptance:
    """The record that somebody accepts, now, the terms in a file."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"address": address, "sha256": sha256, "by": by, "at": datetime.now(UTC).isoformat(timespec="seconds")}


def text_of(page: str) -> str:
    """What a reader sees of a page's article, or of the whole page where it marks none; a blank line between blocks."""
    # from its heading on: what stands before is about the site
    article = re.search(r"(?<=<article)\b.*?(<h1\b.*?)</article>", page, re.DOTALL | re.IGNORECASE)
    reader = _Reader()
    reader.feed(article[1] if article else page)
    reader.close()
    blocks = (" ".join(block.split()) for block in "".join(reader.texts).split("\n\n"))
    return "\n\n".join(block for block in blocks if block)


class _Reader(html.parser.HTMLParser):
    """Collects the text between tags; two line feeds where a block begins or ends."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.texts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN
        if tag in _BLOCKS:
            self.texts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._hidden <= 0:
            # line feeds of the source are blanks to a reader
            self.texts.append(data.replace("\n", " "))
