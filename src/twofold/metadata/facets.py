"""Metadata as filters compare it: members of lists, numbers by value, times in UTC, fields that are missing. Pure.

Metadata are strings. `allowed` compares them outright. An index of a database holds them as *facets*, texts of which a
row has many: ``lang=de`` for a value or a member, ``open?`` for a field that is not empty, ``open!true``, and for a
number or a time its decimal digits, once whole and once cut after each digit (``price#+511`` begins all from 10 to
19.99…). A range is then a few dozen such beginnings of which a row has one, so that every database can search under it,
whatever its own types are; the idea is that of prefix trees over numbers (Schindler and Diepenbroek, 2008).

Rules: a filter's text is compared with the text alone, so that the version 1.10 is not 1.1; numbers and times by what
they are. A day has all times of that day in UTC, and as a value begins at its midnight. Of a list each member is
compared, and the whole. A field that is empty is missing; it equals nothing and has no order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

from twofold.metadata.conditions import Condition, Value, moment, number

VERSION = 2
"""Raised when facets are written otherwise: an index that holds others is made anew."""
_MEMBERS = 200
"""Members of a list that a filter knows; longer ones are logs."""
_VECTOR = 20
"""A list of more numbers is a vector, and nobody asks for one of them."""
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_FIGURES = frozenset("0123456789+-−.")
"""How numbers and times begin."""
_ESCAPED = {ord(sign): f"%{ord(sign):02x}" for sign in "%=#@?!"}

Clause = tuple[bool, list[str]]
"""True: a row has one of these facets; False: it has none of them."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A value of a field, read."""

    texts: frozenset[str]
    """The whole, and the members of a list; empty for a field that is missing."""
    numbers: tuple[Decimal, ...]
    """Those that are numbers."""
    times: tuple[str, ...]
    """Those that are times, as 20 digits in UTC: year, month, day, hour, minute, second, microsecond."""
    truths: frozenset[bool]
    """Those that are true or false."""
    members: bool
    """It is a list."""


@lru_cache(maxsize=50_000)
def parsed(value: str) -> Parsed:
    """What a value of the metadata is beside a text."""
    whole = value.strip()
    members = _members(whole)
    parts = tuple(dict.fromkeys(part.strip() for part in (members if members is not None else (whole,))))
    parts = tuple(part for part in parts if part)
    figures = [part for part in parts if part[0] in _FIGURES]
    numbers = tuple(dict.fromkeys(figure for part in figures if (figure := number(part)) is not None))
    times = tuple(dict.fromkeys(_digits(when) for part in figures if (when := moment(part)) is not None))
    return Parsed(
        texts=frozenset((whole, *parts) if parts else ()),
        numbers=numbers,
        times=times,
        truths=frozenset(part.casefold() == "true" for part in parts if part.casefold() in ("true", "false")),
        members=members is not None,
    )


# ---------------------------------------------------------------- compared outright


def allowed(metadata: Mapping[str, str], where: Iterable[Condition]) -> bool:
    """Do all conditions hold? What all indexes' own filters must agree with."""
    return all(holds(one, parsed(metadata.get(one.field, ""))) for one in where)


def holds(which: Condition, have: Parsed) -> bool:
    """Does one condition hold of a value?"""
    relation, values = which.relation, which.values
    if relation == "exists":
        return bool(have.texts)
    if relation == "missing":
        return not have.texts
    if relation in ("=", "in"):
        return any(_equals(have, value) for value in values)
    if relation in ("!=", "not in"):
        return not any(_equals(have, value) for value in values)
    if relation == "contains":
        return all(_equals(have, value) for value in values)
    value = values[0]
    if isinstance(value, Decimal):
        return any(_ORDER[relation](one, value) for one in have.numbers)
    beginning = _beginning(value)
    return any(_ORDER[relation](one[: len(beginning)], beginning) for one in have.times)


def _equals(have: Parsed, value: Value) -> bool:
    if isinstance(value, str):
        return value in have.texts
    if isinstance(value, bool):
        return value in have.truths
    if isinstance(value, Decimal):
        return value in have.numbers
    return any(one.startswith(_beginning(value)) for one in have.times)


def _members(value: str) -> list[str] | None:
    """The members of a list, as texts; None for what is no list that a filter looks into."""
    if not value.startswith("["):
        return None
    try:
        listed = json.loads(value, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list) or len(listed) > _MEMBERS:
        return None
    if listed and all(isinstance(one, (dict, list, type(None))) for one in listed):
        return None
    numbers = sum(1 for one in listed if isinstance(one, (int, Decimal)))
    if numbers == len(listed) > _VECTOR:
        return None
    return [
        ("true" if one else "false") if isinstance(one, bool) else str(one)
        for one in listed
        if isinstance(one, (str, int, Decimal))
    ]


def _beginning(value: Value) -> str:
    """The digits that times of this day, or at this point of time, begin with."""
    if isinstance(value, datetime):
        return _digits(value)
    if isinstance(value, date):
        return f"{value.year:04d}{value.month:02d}{value.day:02d}"
    raise TypeError(f"{value!r} is no time")


def _digits(time: datetime) -> str:
    return (
        f"{time.year:04d}{time.month:02d}{time.day:02d}"
        f"{time.hour:02d}{time.minute:02d}{time.second:02d}{time.microsecond:06d}"
    )


# ---------------------------------------------------------------- as facets


def facets(metadata: Mapping[str, str]) -> list[str]:
    """All facets of a chunk's metadata, each once."""
    return [facet for name, value in metadata.items() for facet in _of_field(name, value)]


@lru_cache(maxsize=50_000)
def _of_field(name: str, value: str) -> tuple[str, ...]:
    have, escaped = parsed(value), name.translate(_ESCAPED)
    if not have.texts:
        return ()
    facets = [f"{escaped}?", *(f"{escaped}={text}" for text in sorted(have.texts))]
    facets += [f"{escaped}!{str(truth).lower()}" for truth in sorted(have.truths)]
    for figure in have.numbers:
        facets += _cuts(f"{escaped}#{_sign(figure)}", _magnitude(figure))
    for time in have.times:
        facets += _cuts(f"{escaped}@", time)
    return tuple(dict.fromkeys(facets))


def clauses(where: Iterable[Condition]) -> list[Clause]:
    """The conditions as clauses on facets, all of which must hold."""
    collected: list[Clause] = []
    for condition in where:
        name, relation = condition.field.translate(_ESCAPED), condition.relation
        if relation in ("exists", "missing"):
            collected.append((relation == "exists", [f"{name}?"]))
        elif relation in ("=", "in"):
            collected.append((True, [facet for value in condition.values for facet in _equal(name, value)]))
        elif relation in ("!=", "not in"):
            collected.append((False, [facet for value in condition.values for facet in _equal(name, value)]))
        elif relation == "contains":
            collected += [(True, _equal(name, value)) for value in condition.values]
        else:
            collected.append((True, _range(name, relation, condition.values[0])))
    return [(wanted, list(dict.fromkeys(some))) for wanted, some in collected]


def _equal(name: str, value: Value) -> list[str]:
    if isinstance(value, str):
        return [f"{name}={value}"] if value else []
    if isinstance(value, bool):
        return [f"{name}!{str(value).lower()}"]
    if isinstance(value, Decimal):
        return [_whole(f"{name}#{_sign(value)}", _magnitude(value))]
    start, digits = f"{name}@", _beginning(value)
    return [_whole(start, digits)] if isinstance(value, datetime) else _node(start, digits)


def _range(name: str, relation: str, value: Value) -> list[str]:
    """Facets of which a row in that range has one."""
    above, also = relation in (">", ">="), relation in ("<=", ">=")
    if not isinstance(value, Decimal):
        start, digits = f"{name}@", _beginning(value)
        if isinstance(value, datetime):
            return _beyond(start, digits.rstrip("0"), above=above) + ([_whole(start, digits)] if also else [])
        return _beside(start, digits, above=above) + (_node(start, digits) if also else [])
    numbers, sign, digits = f"{name}#", _sign(value), _magnitude(value)
    facets = [_whole(f"{numbers}{sign}", digits)] if also else []
    if sign != "0":  # of negative numbers the nearer to zero is the greater one
        facets += _beyond(f"{numbers}{sign}", digits, above=above == (sign == "+"))
    order = "-0+"
    rest = order[order.index(sign) + 1 :] if above else order[: order.index(sign)]
    return facets + [f"{numbers}0$" if one == "0" else f"{numbers}{one}" for one in rest]


def _sign(value: Decimal) -> str:
    return "0" if not value else "-" if value < 0 else "+"


def _magnitude(value: Decimal) -> str:
    """Digits in whose order numbers without their sign are: two of the exponent, then the number's own.

    Exponents from -49 to 48 have two digits; beyond, four more follow.
    """
    if not value:
        return ""
    digits = "".join(map(str, value.as_tuple().digits))
    exponent = value.adjusted()
    digits = digits.lstrip("0").rstrip("0")
    if -49 <= exponent <= 48:
        return f"{exponent + 50:02d}{digits}"
    return (
        f"00{min(9999, max(0, exponent + 5000)):04d}{digits}"
        if exponent < 0
        else f"99{min(9999, exponent):04d}{digits}"
    )


def _cuts(start: str, digits: str) -> Iterator[str]:
    """Facets of a value: its digits up to each one but the last, and its end."""
    bare = digits.rstrip("0")
    yield from (start + bare[:at] for at in range(len(bare)))
    yield f"{start}{bare}$"


def _whole(start: str, digits: str) -> str:
    """The facet of values with exactly these digits, zeros after them apart."""
    return f"{start}{digits.rstrip('0')}$"


def _node(start: str, digits: str) -> list[str]:
    """Facets of which a value has one that begins with these digits: it goes on, or is them and zeros."""
    return [start + digits, _whole(start, digits)]


def _beside(start: str, digits: str, *, above: bool) -> list[str]:
    """Facets of values whose digits, cut to as many as these, are more (or less)."""
    nodes: list[str] = []
    for at, digit in enumerate(digits):
        others: Sequence[int] = range(int(digit) + 1, 10) if above else range(int(digit))
        for other in others:
            nodes += _node(start, f"{digits[:at]}{other}")
    return nodes


def _beyond(start: str, digits: str, *, above: bool) -> list[str]:
    """Facets of values whose digits are more (or less) than these, which do not end in zero."""
    return _beside(start, digits, above=above) + ([start + digits] if above else [])
