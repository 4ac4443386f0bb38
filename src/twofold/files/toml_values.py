"""Refuse TOML values that no setting can have, naming their keys. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from typing import Any

DEEPEST = 64
"""Levels of nested tables and lists."""
_LARGEST = 2**63
"""TOML 1.0 promises integers of 64 bits; larger ones fit no counter of a library."""


def oddity(values: Mapping[str, Any]) -> str:
    """A message about the first odd value, with its key; empty where all values are plain.

    Odd are infinities and NaN, integers beyond 64 bits, dates and times, a NUL in a text or key, and too deep nesting.
    """
    # a stack instead of recursion: users nest as deep as they like
    stack: list[tuple[tuple[str, ...], Any]] = [((key,), value) for key, value in values.items()]
    while stack:
        path, value = stack.pop()
        if len(path) > DEEPEST:
            return f"{'.'.join(path[:3])}… is nested more than {DEEPEST} levels deep"
        fault = _fault(value) or ("has a NUL in its name" if "\0" in path[-1] else "")
        if fault:
            return f"{'.'.join(path)}: {fault}"
        if isinstance(value, Mapping):
            stack += [((*path, str(key)), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            stack += [((*path, str(place)), inner) for place, inner in enumerate(value)]
    return ""


def _fault(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number that can be used"
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return "the number is too large"
    if isinstance(value, date | time):
        return "this is a date or a time; put it in quotes"
    return "the text holds a NUL" if isinstance(value, str) and "\0" in value else ""


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested tables laid over each other; `above` wins, lists are replaced."""
    out = dict(below)
    for key, value in above.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out
