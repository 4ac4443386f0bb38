"""Plain text, Markdown and source code: one document a file; and how texts of several parts are put together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from twofold import plugins
from twofold.errors import UnreadableFile
from twofold.reading import decode
from twofold.types import Document, Place

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_PAIR = re.compile(r"([A-Za-z][\w-]*):[ \t]+(\S.*)")
ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]++(\S[^\n]*)$", re.MULTILINE)
"""A heading of Markdown that begins with ``#``; see `heading_text` for its second group."""
_NOT_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_BLANKS = re.compile(r"(?<![ \t\u00a0])[ \t\u00a0]++(?=\n)|\n{3,}")


def even_lines(text: str) -> str:
    """Line ends of Windows and old Macintosh as line feeds."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def decoded(data: bytes, name: str, encoding: str) -> str:
    """Bytes as text: UTF-8 or what a byte-order mark says, else the `encoding` given in the configuration, if any.

    Raises:
        UnreadableFile: naming the first bad byte.
    """
    try:
        return decode(data, name=name)
    except UnreadableFile:
        if not encoding:
            raise
        return decode(data, name=name, declared=encoding)


def clean(text: str) -> str:
    """What a file format's text may bring that is none: control characters, half characters, ligatures, blank lines."""
    text = _NOT_TEXT.sub("", even_lines(text).replace("\f", "\n")).translate(_LIGATURES)
    return _BLANKS.sub(lambda found: "\n\n" if found.group().startswith("\n") else "", text).strip()


def heading_text(line: str) -> str:
    """The text of a heading without its closing ``#``, which a blank parts from it (CommonMark 4.2): "C#" keeps its."""
    whole = line.rstrip(" \t")
    text = whole.rstrip("#")
    return text.rstrip(" \t") if text.endswith((" ", "\t")) else whole


def joined(parts: Iterable[tuple[str, str]]) -> tuple[str, tuple[Place, ...]]:
    """Parts as ``(label, text)`` → one text with a blank line between them, and where each labelled part starts.

    A part without text is left out, and so is its place.
    """
    out: list[str] = []
    places: list[Place] = []
    length = 0
    for label, raw in parts:
        text = clean(raw)
        if not text:
            continue
        start = length + 2 if out else 0
        if label:
            places.append(Place(start=start, label=label))
        out.append(text)
        length = start + len(text)
    return "\n\n".join(out), tuple(places)


class TextReader:
    """A text file as it is; the title is the file's stem."""

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text", ".rst", ".org", ".log", ".adoc", ".tex")
    trusted: ClassVar[bool] = True

    class Options(plugins.Options):
        """How the bytes are decoded."""

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
        text = even_lines(decoded(data, name, self.options.encoding))
        yield Document(id=name, text=text, title=self._title(path), source=name)

    def _title(self, path: Path) -> str:
        return path.name.split(".", 1)[0]


class CodeReader(TextReader):
    """A file of source code or configuration as it is; the title is the file's name."""

    version: ClassVar[int] = 1
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


class MarkdownReader:
    """A Markdown file: front matter (``key: value`` lines between ``---``) becomes metadata, the rest is the text.

    The title is the front matter's ``title``, else the first heading, else the file's stem.
    """

    version: ClassVar[int] = 2
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".mdown", ".mdx", ".qmd", ".rmd")
    trusted: ClassVar[bool] = True

    class Options(plugins.Options):
        """How the bytes are decoded."""

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
        metadata: dict[str, str] = {}
        if front := _FRONT.match(text):
            pairs = (_PAIR.fullmatch(line.rstrip()) for line in front.group(1).splitlines())
            metadata = {pair.group(1): pair.group(2).strip("\"'") for pair in pairs if pair}
            text = text[front.end() :]
        heading = ATX.search(text)
        title = (
            metadata.pop("title", "")
            or (heading_text(heading.group(2)) if heading else "")
            or path.name.split(".", 1)[0]
        )
        yield Document(id=name, text=text, title=title, source=name, metadata=metadata)
