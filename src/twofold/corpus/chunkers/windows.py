"""Chunkers that do not cut at headings alone: token windows, sentences, and children of a section.

Each keeps the promise of `cutting`: exact spans within the limit, with only white space between chunks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field, model_validator

from twofold.corpus.chunkers.cutting import Cut, chunk_of, tokens_of
from twofold.corpus.chunkers.headings import HeadingChunker
from twofold.corpus.readers.text import is_code
from twofold.plugins import protocols
from twofold.plugins.protocols import Embed, TokenOffsets
from twofold.types import Chunk, Document


class TokenChunker:
    """Windows of a fixed number of tokens, wherever sentences end: the plainest chunker, to compare others with."""

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Sizes in tokens of the embedder."""

        max_tokens: int = Field(default=200, ge=8)
        """Size of a window."""
        overlap: int = Field(default=0, ge=0)
        """Tokens of the previous window that are repeated; at most a third of `max_tokens`."""

        @model_validator(mode="after")
        def _fits(self) -> TokenChunker.Options:
            if 3 * self.overlap > self.max_tokens:
                raise ValueError("overlap may be at most a third of max_tokens")
            return self

    def __init__(self, options: Options, *, offsets: TokenOffsets, embed: Embed | None = None) -> None:  # noqa: ARG002
        self._options = HeadingChunker.Options(max_tokens=options.max_tokens, overlap=options.overlap, min_tokens=0)
        self._offsets = offsets

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; none for a document of white space."""
        text = document.text
        cut = _Windows(text, tokens_of(text, self._offsets), self._options)
        return [chunk_of(document, a, b, ordinal=n) for n, (a, b) in enumerate(cut.cuts(*cut.trim(0, len(text))))]


class _Windows(Cut):
    """Cuts after `limit` tokens."""

    def _next(self, start: int, end: int, left: int, done: int) -> int:  # noqa: ARG002
        furthest = min(end, self.starts[bisect_right(self.ends, start) + self.limit])
        return furthest if furthest > max(start, done) else self._forced(max(start, done), end)


class SentenceChunker:
    """Whole sentences, as many as fit, headings or not."""

    version: ClassVar[int] = 4

    class Options(protocols.Options):
        """Sizes in tokens of the embedder."""

        max_tokens: int = Field(default=200, ge=8)
        """Limit of a chunk; a longer sentence is cut."""
        sentences: int = Field(default=0, ge=0)
        """Most sentences of a chunk; 0: as many as fit."""

    def __init__(self, options: Options, *, offsets: TokenOffsets, embed: Embed | None = None) -> None:  # noqa: ARG002
        self._options = options
        self._offsets = offsets

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; none for a document of white space."""
        options = HeadingChunker.Options(max_tokens=self._options.max_tokens)
        cut = Cut(document.text, tokens_of(document.text, self._offsets), options, code=is_code(document))
        ranges = cut.packed(cut.sentences(), self._options.sentences)
        return [chunk_of(document, a, b, headings=cut.columns(a), ordinal=n) for n, (a, b) in enumerate(ranges)]


class ParentChunker:
    """Small chunks to search, each with the span of a larger passage around it (for the reranker ``expand``).

    Parents are cut as by `HeadingChunker`, children within each parent. A chunk's metadata field ``parent_span``
    has the parent's span (``start-end``, characters of the document).
    """

    version: ClassVar[int] = 4

    class Options(protocols.Options):
        """Sizes in tokens of the embedder."""

        max_tokens: int = Field(default=80, ge=8)
        """Limit of a child."""
        parent_tokens: int = Field(default=320, ge=8)
        """Limit of a parent."""

        @model_validator(mode="after")
        def _nested(self) -> ParentChunker.Options:
            if self.parent_tokens < self.max_tokens:
                raise ValueError("parent_tokens must be at least max_tokens")
            return self

    def __init__(self, options: Options, *, offsets: TokenOffsets, embed: Embed | None = None) -> None:  # noqa: ARG002
        self._options = options
        self._offsets = offsets

    def split(self, document: Document) -> list[Chunk]:
        """Children in order; none for a document of white space."""
        tokens = tokens_of(document.text, self._offsets)  # once, for both sizes
        code = is_code(document)
        parents = Cut(document.text, tokens, HeadingChunker.Options(max_tokens=self._options.parent_tokens), code=code)
        children = Cut(document.text, tokens, HeadingChunker.Options(max_tokens=self._options.max_tokens), code=code)
        chunks: list[Chunk] = []
        paths = _Paths(parents.marks)
        for start, end, _ in parents.ranges():
            for a, b in children.cuts(start, end):
                chunk = chunk_of(document, a, b, headings=(*paths.at(a), *children.columns(a)), ordinal=len(chunks))
                chunks.append(replace(chunk, metadata={**chunk.metadata, "parent_span": f"{start}-{end}"}))
        return chunks


class _Paths:
    """Headings above a place, outermost first; a heading that begins at the place itself does not count."""

    def __init__(self, marks: Sequence[tuple[int, int, int, str]]) -> None:
        self._marks = marks
        self._starts = [start for start, *_ in marks]
        # entry n: the path in force after the first n headings
        self._after: list[tuple[tuple[int, str], ...]] = [()]
        for *_, level, title in marks:
            self._after.append((*(one for one in self._after[-1] if one[0] < level), (level, title)))

    def at(self, place: int) -> tuple[str, ...]:
        before = bisect_left(self._starts, place)
        heading_level = self._marks[before][2] if before < len(self._marks) and self._starts[before] == place else 7
        inside = before and self._marks[before - 1][1] > place
        return tuple(name for depth, name in self._after[before - bool(inside)] if depth < heading_level)
