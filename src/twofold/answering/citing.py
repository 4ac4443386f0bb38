"""Locate an answer's evidence for people: document, page, row, slide, section or line.

The place is where the quoted words stand, since a passage may begin on the page before. For a passage without a quote,
the place is where the passage begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twofold.corpus.outline import headings_of
from twofold.corpus.readers.text import is_code
from twofold.files.reading import RECORDS
from twofold.store.documents import Documents
from twofold.types import Answer, Chunk, Citation, Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Name and place of one passage that the model was shown."""

    name: str
    """The document's id; for a record its file, after the record's id where that does not begin with the file."""
    place: str
    """For example ``page 3``, ``row 7`` or ``section Fees``; empty where none is known."""


def whereabouts(documents: Documents, answer: Answer, attached: Sequence[Citation] = ()) -> list[Whereabouts]:
    """Locate each passage that the model was shown.

    Args:
        documents: The documents of the last sync.
        answer: The answer with its hits and citations.
        attached: Citations that Twofold found beside those the model gave.
    """
    quoted = {one.number: one.quote for one in (*answer.citations, *attached) if one.quote}
    document_ids = {span.document for span in quoted.values()}
    # a record's name is made of its document's source, which the chunk does not hold
    document_ids |= {hit.chunk.span.document for hit in answer.hits if hit.chunk.place.startswith(RECORDS)}
    shown = {document.id: document for document in documents.get(sorted(document_ids))} if document_ids else {}
    passages = []
    for number, hit in enumerate(answer.hits, 1):
        document, quote = shown.get(hit.chunk.span.document), quoted.get(number)
        place = _begins(hit.chunk) if document is None or quote is None else place_at(document, quote.start)
        passages.append(Whereabouts(name=_name(hit.chunk, document), place=place))
    return passages


def _begins(chunk: Chunk) -> str:
    # a heading that repeats the title tells nothing of the place
    section = chunk.headings[-1] if chunk.headings and not chunk.place else ""
    return f"section {section}" if section and section != chunk.title else chunk.place


def evidence(answer: Answer, citation: Citation) -> tuple[str, bool]:
    """The words of a citation, and whether they are the answer's own words rather than the whole passage."""
    chunk = next((hit.chunk for hit in answer.hits if hit.chunk.span == citation.span), None)
    if chunk is None:
        return "", False
    if citation.quote is None:
        return " ".join(chunk.text.split()), False
    # Quotes are located in the document; the passage begins at its own offset.
    start = citation.quote.start - chunk.span.start
    return " ".join(chunk.text[start : citation.quote.end - chunk.span.start].split()), True


def place_at(document: Document, character: int) -> str:
    """The place of a character in a document's text: ``page 3``, ``sheet Rates, row 7``, ``section Fees, line 12``."""
    before = [place for place in document.places if place.start <= character]
    place = before[-1] if before else None
    parts = [place.label if place is not None else ""]
    # a section only where the reader gave no pages, rows or slides; a "#" in source code is a comment and no heading
    if not parts[0] and not (document.places and document.places[0].label) and not is_code(document):
        above = [title for start, _, _, title in headings_of(document.text) if start <= character]
        parts = [f"section {above[-1]}" if above and above[-1] != document.title else ""]
    if place is not None and place.lines:
        parts.append(f"{place.lines} {place.first + document.text.count(chr(10), place.start, character)}")
    return ", ".join(filter(None, parts))


def _name(chunk: Chunk, document: Document | None) -> str:
    name = chunk.span.document
    if document is None or not chunk.place.startswith(RECORDS) or "://" in document.source:
        return name  # a database's address tells the reader no more than the source's name
    in_collection = name.removeprefix(f"{document.collection}:") if document.collection else name
    return document.source if in_collection.startswith(document.source) else f"{name} in {document.source}"
