"""Metadata in the form that filters compare: members of lists, numbers by value, times in UTC, missing fields. Pure.

Metadata are strings. `allowed` compares them directly. An index of a database stores them as *facets*, texts of which a
row has many: ``lang=de`` for a value or a member, ``open?`` for a field that is not empty, ``open!true``, and for a
number or a time its decimal digits, once whole and once cut after each digit (all numbers from 10 to 19.99… begin with
``price#+511``). A range is then a list of a few dozen prefixes, of which a row must have one, so that every database
can search it, whatever its types (prefix trees over numbers, Schindler and Diepenbroek 2008; decision 14).

Rules: a text in a filter is compared with the whole text, so that the version 1.10 differs from 1.1; numbers and times
are compared by value. A day in a filter includes all times of that day in UTC; a day in the metadata means its
midnight. For a list each member and the whole are compared. An empty field counts as missing; it equals nothing and has
no order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from operator import ge, gt, le, lt
from typing import Any

from twofold.metadata.conditions import Condition, Value, moment, number

VERSION = 2
"""Raised when facets change: an index with facets of another version is rebuilt."""
_MEMBERS = 200
"""Most members of a list that filters look into; longer lists are logs."""
_VECTOR = 20
"""A list of more numbers is a vector, whose members nobody filters by."""
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_FIGURES = frozenset("0123456789+-−.")
"""First characters of numbers and times; a cheap test before the patterns."""
# the signs that part a facet's field from its value
_ESCAPED = {ord(sign): f"%{ord(sign):02x}" for sign in "%=#@?!"}

Clause = tuple[bool, list[str]]
"""True: a row has one of these facets; False: it has none of them."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed value of a field."""

    texts: frozenset[str]
    """The whole value, and the members of a list; empty for a missing field."""
    numbers: tuple[Decimal, ...]
    """The numbers among them."""
    times: tuple[str, ...]
    """The times among them, as 20 digits in UTC: year, month, day, hour, minute, second, microsecond."""
    truths: frozenset[bool]
    """True and false among them."""
    members: bool
    """Is the value a list?"""


@lru_cache(maxsize=50_000)
def parsed(value: str) -> Parsed:
    """Parse a value of the metadata."""
    whole = value.strip()
    members = _members(whole)
    parts = list(dict.fromkeys(filter(None, map(str.strip, members if members is not None else (whole,)))))
    numbers: dict[Decimal, None] = {}
    times: dict[str, None] = {}
    for part in parts:
        if part[0] not in _FIGURES:
            continue
        if (figure := number(part)) is not None:
            numbers[figure] = None
        if (when := moment(part)) is not None:
            times[_digits(when)] = None
    return Parsed(
        texts=frozenset((whole, *parts) if parts else ()),
        numbers=tuple(numbers),
        times=tuple(times),
        truths=frozenset(part.casefold() == "true" for part in parts if part.casefold() in ("true", "false")),
        members=members is not None,
    )


# ---------------------------------------------------------------- compared outright


def allowed(metadata: Mapping[str, str], where: Iterable[Condition]) -> bool:
    """Do all conditions hold? The filters of all indexes must agree with this function."""
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
    # cut to a day where the filter names one: all times of that day are alike
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
    """The members of a list as texts; None for any value that filters do not look into."""
    if not value.startswith("["):
        return None
    try:
        # as decimals: .1 compares as it is written
        listed = json.loads(value, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list) or len(listed) > _MEMBERS:
        return None
    if listed and all(isinstance(one, (dict, list, type(None))) for one in listed):
        return None  # a list of records has no member to compare
    numbers = sum(1 for one in listed if isinstance(one, (int, Decimal)))
    if numbers == len(listed) > _VECTOR:
        return None
    members: list[str] = []
    for member in listed:
        if isinstance(member, (str, int, Decimal)):
            if isinstance(member, bool):
                members.append("true" if member else "false")
            else:
                members.append(str(member))
    return members


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
    return list(chain.from_iterable(_of_field(name, value) for name, value in metadata.items()))


@lru_cache(maxsize=50_000)
def _of_field(name: str, value: str) -> tuple[str, ...]:
    have, escaped = parsed(value), name.translate(_ESCAPED)
    if not have.texts:
        return ()
    # sorted: a set's order differs between processes
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
        elif relation in ("=", "in", "!=", "not in"):
            some = list(chain.from_iterable(_equal(name, value) for value in condition.values))
            collected.append((relation in ("=", "in"), some))
        elif relation == "contains":
            collected += [(True, _equal(name, value)) for value in condition.values]
        else:
            collected.append((True, _range(name, relation, condition.values[0])))
    return [(required, list(dict.fromkeys(some))) for required, some in collected]


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
    """Facets of which every row in the range has one."""
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
    # zero has no digits: the whole is its only facet
    return facets + [f"{numbers}0$" if one == "0" else f"{numbers}{one}" for one in rest]


def _sign(value: Decimal) -> str:
    return "0" if not value else "-" if value < 0 else "+"


def _magnitude(value: Decimal) -> str:
    """Digits whose order is that of the absolute values: two for the exponent, then those of the number.

    Exponents from -49 to 48 have two digits; beyond, four more follow.
    """
    if not value:
        return ""
    digits = "".join(map(str, value.as_tuple().digits))
    exponent = value.adjusted()
    digits = digits.lstrip("0").rstrip("0")
    if -49 <= exponent <= 48:
        return f"{exponent + 50:02d}{digits}"
    # `number` reads three digits of an exponent; what is beyond four, from a caller, is clipped
    return (
        f"00{min(9999, max(0, exponent + 5000)):04d}{digits}"
        if exponent < 0
        else f"99{min(9999, exponent):04d}{digits}"
    )


def _cuts(start: str, digits: str) -> Iterator[str]:
    """Facets of a value: every proper prefix of its digits, and the whole with an end mark."""
    bare = digits.rstrip("0")
    yield from (start + bare[:at] for at in range(len(bare)))
    yield f"{start}{bare}$"


def _whole(start: str, digits: str) -> str:
    """The facet of values with exactly these digits, without trailing zeros."""
    return f"{start}{digits.rstrip('0')}$"


def _node(start: str, digits: str) -> list[str]:
    """Two facets, of which a value that begins with these digits has one: it continues, or only zeros follow."""
    return [start + digits, _whole(start, digits)]


def _beside(start: str, digits: str, *, above: bool) -> list[str]:
    """Facets of values whose digits, cut to the same length, are greater (or smaller)."""
    nodes: list[str] = []
    for at, digit in enumerate(digits):
        others: Sequence[int] = range(int(digit) + 1, 10) if above else range(int(digit))
        for other in others:
            nodes += _node(start, f"{digits[:at]}{other}")
    return nodes


def _beyond(start: str, digits: str, *, above: bool) -> list[str]:
    """Facets of values whose digits are greater (or smaller) than these, which do not end in zero."""
    return _beside(start, digits, above=above) + ([start + digits] if above else [])
