"""Chunks that end where the subject changes: breakpoints by the embedder."""

from __future__ import annotations

from itertools import chain
from typing import ClassVar

from pydantic import Field

from twofold.corpus.chunkers.cutting import Cut, chunk_of, tokens_of
from twofold.corpus.chunkers.headings import HeadingChunker
from twofold.corpus.readers.text import is_code
from twofold.errors import ConfigError
from twofold.plugins import protocols
from twofold.plugins.protocols import Embed, TokenOffsets
from twofold.types import Chunk, Document


class SemanticChunker:
    """Sentences joined until the next ones are about something else.

    Each sentence is embedded with its neighbours; where the cosine between neighbouring sentences is among the lowest
    of the document, a chunk ends (breakpoints by percentile, after Kamradt 2024). Every sentence is embedded, which
    makes this chunker the slowest by far.

    Args:
        options: See `Options`.
        offsets: Tokens of a text.
        embed: Vectors of texts.

    Raises:
        ConfigError: no embedder was given.
    """

    version: ClassVar[int] = 4

    class Options(protocols.Options):
        """Sizes in tokens of the embedder."""

        max_tokens: int = Field(default=200, ge=8)
        """Limit of a chunk."""
        breaks: float = Field(default=0.1, ge=0, le=1)
        """Share of the gaps between sentences at which the subject is taken to change."""
        around: int = Field(default=1, ge=0)
        """Sentences on each side that are embedded together with a sentence."""

    def __init__(self, options: Options, *, offsets: TokenOffsets, embed: Embed | None = None) -> None:
        if embed is None:
            raise ConfigError("the chunker 'semantic' needs an embedder", cure="Use another chunker, or give `embed`.")
        self._options = options
        self._offsets = offsets
        self._embed = embed

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; none for a document of white space."""
        options = HeadingChunker.Options(max_tokens=self._options.max_tokens)
        cut = Cut(document.text, tokens_of(document.text, self._offsets), options, code=is_code(document))
        sentences = cut.sentences()
        groups = self._groups(document.text, sentences)
        ranges = chain.from_iterable(map(cut.packed, groups))
        return [chunk_of(document, a, b, headings=cut.columns(a), ordinal=n) for n, (a, b) in enumerate(ranges)]

    def _groups(self, text: str, sentences: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """Sentences by subject."""
        break_count = round(self._options.breaks * (len(sentences) - 1))
        if break_count < 1:
            return [sentences]
        around, last = self._options.around, len(sentences) - 1
        windows = [
            text[sentences[max(0, n - around)][0] : sentences[min(last, n + around)][1]] for n in range(len(sentences))
        ]
        vectors = self._embed(windows)  # (sentences, dimensions), each of length 1: the product is the cosine
        cosines = (vectors[:-1] * vectors[1:]).sum(1)
        ends = sorted(int(n) + 1 for n in cosines.argsort(kind="stable")[:break_count])
        return [sentences[a:b] for a, b in zip([0, *ends], [*ends, len(sentences)], strict=True)]
