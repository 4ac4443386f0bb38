"""Metadata as a filter compares it: members of lists, numbers by value, times by day. Pure.

Metadata are strings. An index holds each field as facets, ``name=value``; a list also as one facet for each member, and
what reads as a number or a date as that, under ``name#=``. A filter's text is compared with the text alone, so that the
version 1.10 is not 1.1; a number or a date in a filter is compared by what it is. A field that a document does not
have, or that is empty, equals nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal

Value = str | bool | int | float | date
"""What a filter may ask for."""

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]\d\d:\d\d.*)?")
_MEMBERS = 200
"""Members of a list that a filter knows; longer ones are vectors or logs."""


def facets(metadata: Mapping[str, str]) -> list[str]:
    """All facets of a chunk's metadata, each once."""
    found: dict[str, None] = {}
    for name, value in metadata.items():
        for one in (value, *_members(value)):
            found[f"{name}={one}"] = None
            found.update(dict.fromkeys(f"{name}#={form}" for form in _forms(one)))
    return list(found)


def wanted(name: str, values: Iterable[Value]) -> list[str]:
    """Facets of which a chunk must have one for the field `name` to have one of `values`."""
    return [f"{name}{_asked(value)}" for value in values]


def allowed(metadata: Mapping[str, str], where: Mapping[str, Iterable[Value]]) -> bool:
    """Does every field have one of its values? What all indexes' own filters must agree with."""
    if not where:
        return True
    have = set(facets({name: metadata[name] for name in where if name in metadata}))
    return all(have.intersection(wanted(name, values)) for name, values in where.items())


def _members(value: str) -> Iterator[str]:
    if not value.startswith("["):
        return
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError):
        return
    if isinstance(listed, list) and len(listed) <= _MEMBERS:
        for one in listed:
            if isinstance(one, bool):
                yield "true" if one else "false"
            elif isinstance(one, (str, int, float)):
                yield str(one)


def _forms(text: str) -> Iterator[str]:
    """What a text is beside a text: a number, a day, a point of time."""
    if _NUMBER.fullmatch(text):
        yield _canonical(Decimal(text))
    elif day := _DAY.fullmatch(text):
        yield day[1]
        yield from [text.replace(" ", "T", 1)] if len(text) > len(day[1]) else []


def _asked(value: Value) -> str:
    if isinstance(value, bool):
        return "=true" if value else "=false"
    if isinstance(value, (int, float)):
        return f"#={_canonical(Decimal(str(value)))}"
    if isinstance(value, datetime):
        return f"#={value.isoformat()}"
    return f"#={value.isoformat()}" if isinstance(value, date) else f"={value}"


def _canonical(number: Decimal) -> str:
    return format(number.normalize() + 0, "f") if abs(number.adjusted()) < 40 else str(number.normalize())
