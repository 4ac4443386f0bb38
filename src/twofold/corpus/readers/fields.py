"""The fields of a record as the lines that a person would read: ``product: Lyra desk``. Pure.

Fields stand in the text of a document, so that every search mode finds them and the model sees them. Fields that nobody
reads (addresses, vectors, names that begin with an underscore) are left out where a record has a text of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from twofold.files.reading import spelled

_VECTOR = 20
"""A list of more numbers is a vector, not something to read."""
_DEEPEST = 8
"""Objects within objects that get dotted names; deeper ones are written as JSON."""


def lines(fields: Mapping[str, Any], *, all_of_them: bool = False) -> str:
    """Write a line ``name: value`` for each field that has a value; objects get dotted names, lists commas.

    Args:
        fields: Name → value, as JSON or a database has it.
        all_of_them: Include addresses, vectors and hidden names.
    """
    return "\n".join(f"{name}: {value}" for name, value in _flat("", fields, 0) if all_of_them or _read(name, value))


def with_fields(text: str, fields: Mapping[str, Any]) -> str:
    """A record's own text, unchanged, and below it the fields that a person would read."""
    more = lines(fields)
    if not text.strip():
        return more
    return f"{text}\n\n{more}" if more else text


def value_text(value: Any) -> str:
    """A value as text: nothing for null, JSON for lists and objects, ISO for times."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return spelled(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    as_iso = getattr(value, "isoformat", None)
    return str(as_iso()) if as_iso else str(value)


def is_vector(value: Any) -> bool:
    """Is the value a long list of numbers, which nobody reads?"""
    return isinstance(value, list) and len(value) > _VECTOR and all(isinstance(one, (int, float)) for one in value)


def _flat(above: str, fields: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _flat(f"{name}.", value, depth + 1)
            continue
        if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
            numbers = sum(1 for item in value if isinstance(item, (int, float)))
            if numbers <= _VECTOR:
                texts = [value_text(item).strip() for item in value]
                shown = ", ".join(filter(None, texts))
                yield from [(name, shown)] if shown else []
                continue
        shown = value_text(value)
        if shown.strip():
            yield name, shown


def _read(name: str, value: str) -> bool:
    address = value.startswith(("http://", "https://", "data:")) and len(value.split()) == 1
    return not (name.startswith("_") or address or (value.startswith("[") and value.count(",") > _VECTOR))
