"""What an answer or a reference says, apart from its form. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twofold.metrics.formal import found_json


def content(text: str) -> str:
    """The text; of JSON its values alone, because no document holds the keys or the brackets of an answer."""
    value = found_json(text)
    return text if value is None else ", ".join(_values(value))


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    elif not isinstance(value, bool) and value is not None:
        # True, false and null stand in no document as such.
        yield str(value)
