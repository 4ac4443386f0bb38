"""Plain text and Markdown files: one document a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twofold import plugins
from twofold.reading import decode
from twofold.types import Document

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_PAIR = re.compile(r"([A-Za-z][\w-]*):[ \t]+(\S.*)")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)


def even_lines(text: str) -> str:
    """Line ends of Windows and old Macintosh as line feeds."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class TextReader:
    """A text file as it is; the title is the file's stem."""

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text", ".rst", ".org")

    class Options(plugins.Options):
        """None."""

    def __init__(self, options: TextReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            UnreadableFile: it is not UTF-8 (or UTF-16 with a mark).
        """
        name = path.as_posix()
        text = even_lines(decode(data, name=name))
        yield Document(id=name, text=text, title=path.name.split(".", 1)[0], source=name)


class MarkdownReader:
    """A Markdown file: front matter (``key: value`` lines between ``---``) becomes metadata, the rest is the text.

    The title is the front matter's ``title``, else the first heading, else the file's stem.
    """

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".mdown", ".mdx")

    class Options(plugins.Options):
        """None."""

    def __init__(self, options: MarkdownReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            UnreadableFile: it is not UTF-8 (or UTF-16 with a mark).
        """
        name = path.as_posix()
        text = even_lines(decode(data, name=name))
        metadata: dict[str, str] = {}
        if front := _FRONT.match(text):
            pairs = (_PAIR.fullmatch(line.rstrip()) for line in front.group(1).splitlines())
            metadata = {pair.group(1): pair.group(2).strip("\"'") for pair in pairs if pair}
            text = text[front.end() :]
        heading = _HEADING.search(text)
        title = metadata.pop("title", "") or (heading.group(1) if heading else "") or path.name.split(".", 1)[0]
        yield Document(id=name, text=text, title=title, source=name, metadata=metadata)
