"""How statements and texts are written for PostgreSQL. Pure.

PostgreSQL stores no zero character and no half of a surrogate pair, and SQLite no half either. A text that has one is
written with an escape, so that it comes back as it was; every other text is written as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache

ESCAPE = "\ue0f0"
"""Stands before what is escaped: a character of the private use area, which a text hardly ever contains."""
_REFUSED = re.compile(f"[\0\ud800-\udfff{ESCAPE}]")
_ESCAPED = re.compile(f"{ESCAPE}([0-9a-f]{{4}})")
_HINT = re.compile(r"\s+INDEXED BY \w+")


def escaped(text: str) -> str:
    """The text as PostgreSQL can store it."""
    return _REFUSED.sub(lambda match: f"{ESCAPE}{ord(match[0]):04x}", text)


def unescaped(text: str) -> str:
    """The text that `escaped` was given."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if ESCAPE in text else text


@lru_cache(maxsize=512)
def translated(sql: str) -> str:
    """A statement of `store.database` as psycopg reads it: marks, and no hints for SQLite."""
    return _HINT.sub("", sql).replace("%", "%%").replace("?", "%s")
