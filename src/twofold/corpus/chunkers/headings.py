"""Documents → chunks by headings: exact spans within a token limit, cut where the text itself divides (`cutting`)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from twofold.corpus.chunkers.cutting import Cut, chunk_of, tokens_of
from twofold.corpus.readers.text import is_code
from twofold.plugins import protocols
from twofold.plugins.protocols import Embed, TokenOffsets
from twofold.types import Chunk, Document


class HeadingChunker:
    """Cuts at headings, then paragraphs, sentences, lines, spaces, tokens."""

    version: ClassVar[int] = 4

    class Options(protocols.Options):
        """Sizes in tokens of the embedder."""

        max_tokens: int = Field(default=200, ge=8)
        """Limit of a chunk (the embedder's own limit less title and heading path)."""
        overlap: int = Field(default=0, ge=0)
        """Tokens of the previous chunk that are repeated, within a section; at most a third of `max_tokens`."""
        min_tokens: int = Field(default=48, ge=0)
        """Sections smaller than this are joined to the next one where both fit."""

        @model_validator(mode="after")
        def _fits(self) -> HeadingChunker.Options:
            if 3 * self.overlap > self.max_tokens:
                raise ValueError("overlap may be at most a third of max_tokens")
            return self

    def __init__(self, options: HeadingChunker.Options, *, offsets: TokenOffsets, embed: Embed | None = None) -> None:  # noqa: ARG002
        self.options = options
        self.offsets = offsets

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; none for a document of white space."""
        cut = Cut(document.text, tokens_of(document.text, self.offsets), self.options, code=is_code(document))
        chunks: list[Chunk] = []
        for ordinal, (start, end, headings) in enumerate(cut.ranges()):
            chunks.append(chunk_of(document, start, end, headings=headings, ordinal=ordinal))
        return chunks


class WholeChunker:
    """The whole document as one chunk where it fits, else cut as `HeadingChunker` does."""

    version: ClassVar[int] = 4

    class Options(HeadingChunker.Options):
        """Sizes in tokens of the embedder."""

        max_tokens: int = Field(default=240, ge=8)
        """Largest document kept whole, and limit of the chunks of larger ones."""

    def __init__(self, options: WholeChunker.Options, *, offsets: TokenOffsets, embed: Embed | None = None) -> None:  # noqa: ARG002
        self.options = options
        self.offsets = offsets

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; none for a document of white space."""
        text = document.text
        cut = Cut(text, tokens_of(text, self.offsets), self.options, code=is_code(document))
        start, end = cut.trim(0, len(text))
        if start < end and cut.count(start, end) <= self.options.max_tokens:
            return [chunk_of(document, start, end)]
        return [
            chunk_of(document, start, end, headings=headings, ordinal=ordinal)
            for ordinal, (start, end, headings) in enumerate(cut.ranges())
        ]
