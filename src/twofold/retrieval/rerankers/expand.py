"""Small passages to search, large ones to read: show a hit with the surrounding text of its document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from twofold.hashing import digest
from twofold.plugins import protocols
from twofold.plugins.protocols import Parts
from twofold.retrieval.rerankers.ranking import reordered
from twofold.types import Chunk, Document, Hit, Query, Retrieval, Span

_BREAK = re.compile(r"\n\s*\n|[.!?…][\"')\]”’»]*\s+|[。！？]+")


class Expand:
    """Replaces each hit by its parent, its surroundings or its whole document, with the exact span.

    A hit whose text lies within that of a better hit is left out. Where the document is missing, or has changed since
    it was indexed, the hit stays as it is and the trace counts it (``unchanged``).

    Args:
        options: See `Options`.
        parts: Documents, and the embedder that counts tokens.
    """

    version: ClassVar[int] = 1
    final: ClassVar[bool] = True

    class Options(protocols.Options):
        """Options of the reranker ``expand``."""

        to: Literal["parent", "around", "document"] = "around"
        """``parent``: the section the chunk was cut from (chunker ``parents``); ``around``: the sentences on both
        sides; ``document``: all of it, where it is small enough."""
        max_tokens: int = Field(default=400, ge=8)
        """Most tokens shown for a hit; of a larger parent or document only the text around the hit."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:  # noqa: ARG002
        """At most `k` hits, in their order, each with its surroundings, none within another."""
        hits = chain.from_iterable(retrieval.hits for retrieval in retrievals)
        document_ids = list(dict.fromkeys(hit.chunk.span.document for hit in hits))
        texts = self._parts.texts(document_ids) if self._parts.texts and document_ids else []
        documents = {document.id: document for document in texts}
        return [self._expanded(retrieval, k, documents) for retrieval in retrievals]

    def _expanded(self, retrieval: Retrieval, k: int, documents: Mapping[str, Document]) -> Retrieval:
        shown: list[Hit] = []
        joined = unchanged = 0
        for hit in retrieval.hits:
            span = hit.chunk.span
            if any(_within(span, other.chunk.span) for other in shown):
                joined += 1
                continue
            if len(shown) == k:
                break
            document = documents.get(span.document)
            # the document may have changed since it was indexed: its places would show another text
            if document is None or document.text[span.start : span.end] != hit.chunk.text:
                unchanged += 1
                shown.append(hit)
                continue
            start, end = self._range(document.text, hit.chunk)
            larger = hit if (start, end) == (span.start, span.end) else _at(hit, document, start, end)
            # grown, it may have taken in a hit before it
            shown = [other for other in shown if not _within(other.chunk.span, larger.chunk.span)]
            shown.append(larger)
        return reordered(retrieval, shown, {"joined": joined, "unchanged": unchanged})

    def _range(self, text: str, chunk: Chunk) -> tuple[int, int]:
        span, limit = chunk.span, self._options.max_tokens
        if self._options.to == "document":
            start, end = len(text) - len(text.lstrip()), len(text.rstrip())
            if self._count(text[start:end]) <= limit:
                return start, end
        elif self._options.to == "parent" and "parent_span" in chunk.metadata:
            start, end = (int(part) for part in chunk.metadata["parent_span"].split("-"))
            if start <= span.start and span.end <= end <= len(text) and self._count(text[start:end]) <= limit:
                return start, end
        elif self._options.to == "parent":
            return span.start, span.end
        # as a whole it is too long, or only its surroundings are wanted
        return self._around(text, span)

    def _around(self, text: str, span: Span) -> tuple[int, int]:
        """The span with whole sentences on both sides in turn, while they fit."""
        limit = self._options.max_tokens
        start, end = span.start, span.end
        window = 12 * limit  # characters on each side: more than so many tokens can have
        first = max(0, start - window)
        before = []
        for match in _BREAK.finditer(text, first, start):
            if (at := match.end()) < start:
                before.append(at)
        # where the window reaches an end of the text, that is a boundary, too
        before = before if first else [0, *before]
        after = [m.end() for m in _BREAK.finditer(text, end, end + window)]
        after = [*after, len(text)] if len(text) <= end + window else after
        while before or after:  # each turn takes a sentence on a side, or closes the side
            if before and self._count(text[before[-1] : end]) <= limit:
                start = before.pop()
            else:
                before = []
            if after and self._count(text[start : after[0]]) <= limit:
                end = after.pop(0)
            else:
                after = []
        shown = text[start:end]
        return start + len(shown) - len(shown.lstrip()), end - len(shown) + len(shown.rstrip())

    def _count(self, text: str) -> int:
        return len(self._parts.embedder.offsets(text))


def _at(hit: Hit, document: Document, start: int, end: int) -> Hit:
    """The hit with its document's text at ``[start, end)``; everything else, also the readers, stays the chunk's."""
    text = document.text[start:end]
    name = digest("chunk", {"document": document.id, "start": start, "end": end, "text": digest("text", text)})
    span = Span(document=document.id, start=start, end=end)
    places = [place.label for place in document.places if place.start <= start]
    place = places[-1] if places else hit.chunk.place
    return replace(hit, chunk=replace(hit.chunk, id=name, span=span, text=text, place=place))


def _within(inner: Span, outer: Span) -> bool:
    return inner.document == outer.document and outer.start <= inner.start and inner.end <= outer.end
