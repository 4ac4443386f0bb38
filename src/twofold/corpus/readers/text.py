"""Plain text, Markdown and source code: one document a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twofold.corpus.outline import headings_of
from twofold.corpus.plain_text import decoded, even_lines, title_of, without_pictures
from twofold.corpus.readers.front_matter import front_matter, readable
from twofold.files.reading import suffix_of
from twofold.plugins import protocols
from twofold.types import Document, Place

_COLOURS = re.compile(r"\x1b\[[0-9;?]{0,40}[A-Za-z]")
"""Control sequences of a terminal (colours) in a log."""
_CODING = re.compile(rb"#[^\n]{0,80}?coding[:=][ \t]*([-\w.]{1,40})")


class TextReader:
    """A text file, unchanged; the title is the file's stem."""

    version: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (*(".txt", ".text", ".rst", ".org", ".log", ".adoc", ".tex", ".srt", ".vtt"),)
    trusted: ClassVar[bool] = True

    class Options(protocols.Options):
        """Options for decoding the bytes."""

        encoding: str = ""
        """Of a file that is neither UTF-8 nor has a byte-order mark."""

    def __init__(self, options: TextReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            UnreadableFile: it is not UTF-8 (or UTF-16 with a mark).
        """
        name = path.as_posix()
        text = even_lines(decoded(data, name, self.options.encoding or _declared(data, name)))
        text, left = without_pictures(_COLOURS.sub("", text) if "\x1b[" in text else text)
        yield Document(
            id=name,
            text=text,
            title=self._title(path),
            source=name,
            metadata={"unread": left} if left else {},
            places=(Place(start=0, label="", lines="line"),),
        )

    def _title(self, path: Path) -> str:
        return title_of(path)


def _declared(data: bytes, name: str) -> str:
    """The encoding that a Python or Ruby file declares in its first two lines (PEP 263)."""
    if suffix_of(name) not in (".py", ".pyi", ".rb"):
        return ""
    for line in data[:400].split(b"\n", 2)[:2]:
        if declaration := _CODING.match(line.lstrip()):
            return declaration.group(1).decode("ascii")
    return ""


class CodeReader(TextReader):
    """A file of source code or configuration, unchanged; the title is the file's name."""

    version: ClassVar[int] = 2
    suffixes: ClassVar[tuple[str, ...]] = (
        *(".py", ".pyi", ".pyx", ".ipy", ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".tcl", ".groovy"),
        *(".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".css", ".scss", ".sass", ".less"),
        *(".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".m", ".mm", ".cs", ".fs", ".vb", ".f90", ".for"),
        *(".java", ".kt", ".kts", ".scala", ".clj", ".go", ".rs", ".swift", ".dart", ".zig", ".nim", ".d", ".pas"),
        *(".hs", ".ml", ".mli", ".ex", ".exs", ".erl", ".el", ".lisp", ".scm", ".asm", ".s", ".v", ".vhd", ".sol"),
        *(".sh", ".bash", ".zsh", ".fish", ".ps1", ".bat", ".cmd", ".awk", ".sed", ".mk", ".cmake", ".gradle"),
        *(".sql", ".graphql", ".proto", ".thrift", ".tf", ".hcl", ".nix", ".dockerfile", ".jinja", ".j2"),
        *(".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".properties", ".diff", ".patch"),
    )

    def _title(self, path: Path) -> str:
        return path.name


def is_code(document: Document) -> bool:
    """Did `CodeReader` make this document? Lines that begin with ``#`` are comments in it."""
    # by title and ending: a document of another source has the ending, too, but a title of its own
    name = (document.source or document.id).rsplit("/", 1)[-1]
    return document.title == name and suffix_of(name) in CodeReader.suffixes


class MarkdownReader:
    """A Markdown file; its front matter becomes metadata, and the readable part of it also the beginning of the text.

    The title is the front matter's ``title``, else the first heading outside code, else the file's stem. Pictures
    inside the text (base64) are left out and reported.
    """

    version: ClassVar[int] = 7
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".mdown", ".mdx", ".qmd", ".rmd")
    trusted: ClassVar[bool] = True

    class Options(protocols.Options):
        """Options for decoding the bytes."""

        encoding: str = ""
        """Of a file that is neither UTF-8 nor has a byte-order mark."""

    def __init__(self, options: MarkdownReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            UnreadableFile: it is not UTF-8 (or UTF-16 with a mark).
        """
        name = path.as_posix()
        text = even_lines(decoded(data, name, self.options.encoding))
        metadata, start = front_matter(text)
        # citations name lines of the file: those of the front matter count, those written above the text do not
        first = text.count("\n", 0, start) + 1
        text, left = without_pictures(text[start:])
        title = metadata.pop("title", "") or next((one[3] for one in headings_of(text)), "") or title_of(path)
        above = 0
        if heading := readable(metadata):
            body = text.lstrip()
            first += text.count("\n", 0, len(text) - len(body))
            text, above = f"{heading}\n\n{body}", len(heading) + 2
        if left:
            metadata["unread"] = left
        place = Place(start=above, label="", lines="line", first=first)
        yield Document(id=name, text=text, title=title, source=name, metadata=metadata, places=(place,))
