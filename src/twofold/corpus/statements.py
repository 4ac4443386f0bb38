"""Statements of SQL that may only read: a source's query, and a tool's. Pure."""

from __future__ import annotations

import re

from twofold.errors import SourceQuery

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`", re.DOTALL)
_WRITES = re.compile(r"\b(into|delete\s+from|update\s+\S+\s+set)\b", re.IGNORECASE)


def reads_only(query: str) -> None:
    """Refuse everything but a single statement that reads.

    Raises:
        SourceQuery: the query has several statements, or the message names the word that writes.
    """
    # words inside quotes are data: they are emptied before the search for words that write
    bare = _TEXT.sub("''", _COMMENT.sub(" ", query)).strip().rstrip(";").strip()
    if ";" in bare:
        raise SourceQuery("`query` holds more than one statement")
    first = bare.split(None, 1)[0].lower() if bare else ""
    if first not in ("select", "with", "values"):
        raise SourceQuery(f"`query` must be a SELECT, not {first.upper() or 'empty'}")
    match = _WRITES.search(bare)
    if match:
        raise SourceQuery(f"`query` may only read; it says {' '.join(match.group().split())[:40].upper()}")
