"""Jupyter notebooks (nbformat 3 and 4): text as Markdown, code between fences, the printed output below it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from twofold.corpus.outline import headings_of
from twofold.corpus.plain_text import decoded, joined, title_of
from twofold.corpus.readers.marks import fence_of
from twofold.errors import DamagedFile
from twofold.plugins import protocols
from twofold.types import Document

_MOST_PRINTED = 4_000
"""Characters kept of the output of one cell."""
_FORMS = ("text", "text/plain", "text/markdown", "text/latex", "latex", "application/json")
"""Forms of a result by preference: the first one present is read. Only an HTML table is preferred to all of them."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class NotebookReader:
    """A notebook; each cell is a place. The title is the first heading, else the file's stem."""

    version: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (".ipynb",)

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: NotebookReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document. Pictures that the code drew are named in the metadata field ``unread``.

        Raises:
            DamagedFile: it is no notebook.
            UnreadableFile: it is not UTF-8.
        """
        name = path.as_posix()
        try:
            book = json.loads(decoded(data, name, ""))
            parts = [(f"cell {number}", *_cell(cell)) for number, cell in enumerate(_cells(book), 1)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedFile(f"it cannot be read as a notebook: {type(error).__name__}", file=name) from error
        unread: dict[str, int] = {}
        for _, _, remarks in parts:
            for what in remarks:
                unread[what] = unread.get(what, 0) + 1
        text, places = joined((label, text) for label, text, _ in parts)
        yield Document(
            id=name,
            text=text,
            title=next((one[3] for one in headings_of(text)), "") or title_of(path),
            source=name,
            metadata={"unread": "; ".join(f"{what} ({count})" for what, count in unread.items())} if unread else {},
            places=places,
        )


def _cells(book: Any) -> list[Any]:
    """All cells; version 3 of the format has them on worksheets."""
    if "cells" in book:
        return list(book["cells"])
    cells: list[Any] = []
    for sheet in book["worksheets"]:
        cells += sheet["cells"]
    return cells


def _cell(cell: Any) -> tuple[str, list[str]]:
    """The text of a cell, and remarks on parts of it that are not read."""
    if not isinstance(cell, dict):
        return "", ["cell that is none"]
    source = _text(cell["source"] if "source" in cell else cell.get("input"))
    if cell.get("cell_type") == "heading":
        return f"{'#' * max(1, min(6, _level(cell.get('level'))))} {source}", []
    if cell.get("cell_type") != "code":
        drawn = any(_pictured(one) for one in _maps(_values(cell.get("attachments"))))
        return source, ["picture put into the text"] if drawn else []
    blocks, unread = [source], []
    printed: list[str] = []
    for output in _maps(cell.get("outputs")):
        shown = output["data"] if isinstance(output.get("data"), dict) else output
        output_text = _output_text(output, shown)
        if output.get("output_type") == "stream" or not printed:
            printed.append(output_text)
        else:
            printed.append(output_text if printed[-1].endswith("\n") else f"\n{output_text}")
        if _pictured(shown):
            unread.append("picture drawn by the code")
        elif not output_text.strip() and any("/" in str(kind) for kind in shown):
            unread.append("output that only a program shows")
    whole = "".join(printed).strip()
    if len(whole) > _MOST_PRINTED:
        unread.append(f"output longer than {_MOST_PRINTED} characters, to its end")
    blocks.append(whole[:_MOST_PRINTED])
    return "\n\n".join(_fenced(one) for one in blocks if one.strip()), unread


def _output_text(output: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """One output as text: printed text, an error, or the most informative form of a result."""
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    page = _text(shown.get("text/html") or shown.get("html"))
    plain = "" if "<table" in page else next(filter(None, (_text(shown.get(form)) for form in _FORMS)), "")
    return _COLOURS.sub("", plain) if plain or not page else _page(page)


def _page(markup: str) -> str:
    from twofold.corpus.readers.html_text import page_text, parsed

    return page_text(parsed(markup, "notebook"))


def _pictured(shown: Mapping[str, Any]) -> bool:
    return any(str(kind).startswith("image/") or kind in ("png", "jpeg", "svg") for kind in shown)


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _level(value: Any) -> int:
    return value if isinstance(value, int) else 1


def _fenced(code: str) -> str:
    fence = fence_of(code)
    return f"{fence}\n{code}\n{fence}"


def _text(value: Any) -> str:
    """A text, or one written as a list of its lines; nothing of anything else."""
    if isinstance(value, list):
        return "".join(one for one in value if isinstance(one, str))
    return value if isinstance(value, str) else json.dumps(value) if value and not isinstance(value, bool) else ""
