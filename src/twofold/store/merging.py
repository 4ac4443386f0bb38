"""Merging what two machines have done to a list that is edited in place. Pure."""

from __future__ import annotations

import json

from twofold.errors import StoreError
from twofold.types import Json

FORGOTTEN = "receipts/forgotten.json"
"""The list of forgotten documents (`store.forgotten`), relative to the project."""
ADVICES = "advice/advices.jsonl"
"""The advices, of which lines are only appended."""


def merges(unit: str) -> bool:
    """Is this file merged? Of others the newest counts."""
    return unit in (FORGOTTEN, ADVICES)


def merged(unit: str, local: bytes, *, theirs: bytes, before: bytes) -> bytes:
    """The list with what both machines have done to it.

    Args:
        unit: Which list.
        local: As it is here; empty where there is none.
        theirs: As it is in the store.
        before: As it was when both were the same; empty where they never were.

    Raises:
        StoreError: the list of forgotten documents is damaged.
    """
    return lines(local, theirs) if unit == ADVICES else forgotten(local, theirs, before)


def lines(local: bytes, theirs: bytes) -> bytes:
    """Their lines, and after them those that only this machine has."""
    rows = [line for line in theirs.split(b"\n") if line]
    known = set(rows)
    rows += [line for line in local.split(b"\n") if line and line not in known]
    return b"".join(line + b"\n" for line in rows)


def forgotten(local: bytes, theirs: bytes, before: bytes) -> bytes:
    """Every document that one of them has forgotten and none has taken in again since.

    A document that another machine has forgotten counts as finished here: an index that still has it is noticed by its
    next sync (`indexing.erasure`), while one that all machines share has lost it already.
    """
    here, there, base = (_entries(content) for content in (local, theirs, before))
    entries = {}
    for document in sorted({*here, *there}):
        # What this machine has changed counts, else what the other has.
        changed = (document in here) != (document in base)
        if document in (here if changed else there):
            entries[document] = here.get(document) or there[document]
    return local if entries == here else json.dumps(entries, indent=1, ensure_ascii=False).encode()


def as_shared(unit: str, content: bytes) -> bytes:
    """A file as other machines get it: how far an erasure has come, and by what it looks for quotes, stays here.

    Raises:
        StoreError: the list of forgotten documents is damaged.
    """
    if unit != FORGOTTEN:
        return content
    entries = {}
    for document, entry in sorted(_entries(content).items()):
        entries[document] = {"at": entry["at"], "finished": True, "chunks": [], "quotes": []}
    return json.dumps(entries, indent=1, ensure_ascii=False).encode()


def _entries(content: bytes) -> Json:
    try:
        entries: Json = json.loads(content or b"{}")
        if all("at" in entry for entry in entries.values()):
            return entries
        raise ValueError("an entry has no time")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"the list of forgotten documents cannot be read: {error}",
            file=FORGOTTEN,
            cure="Restore the file from a copy, or delete it: the store's copy takes its place.",
        ) from error
