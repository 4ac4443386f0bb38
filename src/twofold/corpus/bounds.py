"""Limits of what is copied into every chunk of a document: title, id, metadata."""

from __future__ import annotations

from dataclasses import replace

from twofold.errors import BadRecord
from twofold.types import Document

TITLE, IDENTITY, VALUE, ALL = 500, 1_000, 2_000, 20_000
"""Characters of a title, an id, one value of the metadata, and all names and values together. A 3 MB record with a
title of 400 KB took 5 GB: each of its chunks had the title."""


def bounded(document: Document) -> tuple[Document, str]:
    """Cut title and metadata of a document to the limits; return the document, and a message naming the cut fields.

    Raises:
        BadRecord: the document's id is too long, or its fields have too many or too long names.
    """
    # an id and the names of fields are looked up whole, by examples and filters: they are refused, never cut
    if len(document.id) > IDENTITY:
        raise BadRecord(f"the id has {len(document.id)} characters; the limit is {IDENTITY}", cure="Shorten the id.")
    if sum(len(key) for key in document.metadata) > ALL:
        raise BadRecord(
            f"{len(document.metadata)} fields, with names of more than {ALL} characters together",
            cure="Name the column that holds the text `text`, and leave out fields that nobody searches.",
        )
    cut = ["title"] if len(document.title) > TITLE else []
    left = ALL - sum(len(key) for key in document.metadata)
    metadata: dict[str, str] = {}
    for key, value in document.metadata.items():
        part = value[: min(VALUE, left)]
        left -= len(part)
        metadata[key] = part
        cut += [key] if len(part) < len(value) else []
    if not cut:
        return document, ""
    names = ", ".join(name[:40] for name in cut[:3]) + (", …" if len(cut) > 3 else "")
    return replace(document, title=document.title[:TITLE], metadata=metadata), f"shortened: {names}"
