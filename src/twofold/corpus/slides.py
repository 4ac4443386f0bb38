"""PowerPoint: titles, text, tables, charts' titles and speaker's notes, slide by slide, through python-pptx."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from twofold import plugins
from twofold.corpus.archives import prepared
from twofold.corpus.text import joined
from twofold.errors import DamagedFile, MissingExtra, install
from twofold.reading import excerpt
from twofold.types import Document

_DEEPEST = 20


class SlideReader:
    """A presentation; each slide is a place. The title is the one in its properties, else the first slide's."""

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".pptx", ".pptm", ".ppsx")

    class Options(plugins.Options):
        """Passwords."""

        passwords: tuple[str, ...] = ()
        """Tried one after another on an encrypted file."""

    def __init__(self, options: SlideReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document. Slides that cannot be read are listed in the metadata field ``unread``.

        Raises:
            DamagedFile: it is broken, or not of the kind that its ending says.
            EncryptedFile: it needs a password that is not among those given.
            FileTooLarge: it is an archive that unpacks to too much.
            MissingExtra: the extra ``documents`` is not installed.
        """
        try:
            import pptx
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "presentations need the package python-pptx, which is not installed",
                cure=install("documents"),
            ) from error
        name = path.as_posix()
        data = prepared(data, name=name, suffix=".pptx", passwords=self.options.passwords)
        try:
            show = pptx.Presentation(io.BytesIO(data))
            slides = list(show.slides)
            title = " ".join(str(show.core_properties.title or "").split())
        except Exception as error:
            # python-pptx lets through whatever zipfile, lxml and its own lookups raise on a broken package.
            raise DamagedFile(
                f"it cannot be read as PPTX: {type(error).__name__}: {excerpt(str(error), 120)}", file=name
            ) from error
        parts, broken = [], []
        for number, slide in enumerate(slides, 1):
            try:
                parts.append((f"slide {number}", "\n\n".join(_slide(slide))))
            except Exception:
                broken.append(str(number))
        if broken and not parts:
            raise DamagedFile("none of its slides can be read", file=name)
        text, places = joined(parts)
        first = text.split("\n", 1)[0]
        yield Document(
            id=name,
            text=text,
            title=title or (first[2:] if first.startswith("# ") else "") or path.name.split(".", 1)[0],
            source=name,
            metadata={"unread": f"slides {', '.join(broken)}"} if broken else {},
            places=places,
        )


def _slide(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield f"# {' '.join(title.text_frame.text.split())}"
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            yield from _shape(shape, 0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield f"Notes: {notes}"


def _shape(shape: Any, depth: int) -> Iterator[str]:
    if hasattr(shape, "shapes"):
        if depth < _DEEPEST:
            for inner in shape.shapes:
                yield from _shape(inner, depth + 1)
    elif getattr(shape, "has_table", False):
        rows = ([" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows)
        yield "\n".join(" | ".join(row).rstrip(" |") for row in rows if any(row))
    elif getattr(shape, "has_chart", False):
        if shape.chart.has_title and shape.chart.chart_title.has_text_frame:
            yield shape.chart.chart_title.text_frame.text
    elif shape.has_text_frame and shape.text_frame.text.strip():
        yield shape.text_frame.text
