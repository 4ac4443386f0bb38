"""Jupyter notebooks (nbformat 4): text as Markdown, code between fences, what it printed below it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from twofold import plugins
from twofold.corpus.outline import headings_of
from twofold.corpus.text import decoded, joined, title_of
from twofold.errors import DamagedFile
from twofold.types import Document

_MOST_PRINTED = 4_000
"""Characters kept of what one cell printed."""


class NotebookReader:
    """A notebook; each cell is a place. The title is the first heading, else the file's stem."""

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".ipynb",)

    class Options(plugins.Options):
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
            cells = book["cells"]
            parts = [(f"cell {number}", *_cell(cell)) for number, cell in enumerate(cells, 1)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedFile(f"it cannot be read as a notebook: {type(error).__name__}", file=name) from error
        drawn = sum(pictures for _, _, pictures in parts)
        text, places = joined((label, text) for label, text, _ in parts)
        yield Document(
            id=name,
            text=text,
            title=next((one[3] for one in headings_of(text)), "") or title_of(path),
            source=name,
            metadata={"unread": f"{drawn} picture{'' if drawn == 1 else 's'} drawn by the code"} if drawn else {},
            places=places,
        )


def _cell(cell: Any) -> tuple[str, int]:
    """A cell's text, and how many pictures it shows that are not read."""
    source = _text(cell["source"])
    if cell["cell_type"] != "code":
        return source, 0
    printed, pictures = [], 0
    for output in cell.get("outputs", ()):
        shown = output.get("data") or {}
        printed.append(_text(output.get("text") or shown.get("text/plain") or ""))
        pictures += any(kind.startswith("image/") for kind in shown)
    said = "".join(printed).strip()[:_MOST_PRINTED]
    blocks = [_fenced(one) for one in (source, said) if one.strip()]
    return "\n\n".join(blocks), pictures


def _fenced(code: str) -> str:
    fence = "~~~"
    while fence in code:
        fence += "~"
    return f"{fence}\n{code}\n{fence}"


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)
