"""The text of a passage that is embedded, by a sync and by whoever tunes an embedder. Pure."""

from __future__ import annotations

from pathlib import Path

from twofold.corpus.plain_text import title_of
from twofold.types import Chunk


def embedded_text(chunk: Chunk) -> str:
    """The text to embed for a chunk: title and heading path before its text.

    A title that is only the file's name is left out, so that a file that moves keeps its vectors.
    """
    stem = title_of(Path(chunk.span.document.rsplit("/", 1)[-1].rsplit(":", 1)[-1]))
    title = "" if chunk.title == stem else chunk.title  # a title made of the file's name says nothing
    return "\n".join(part for part in (title, " > ".join(chunk.headings), chunk.text) if part)
