"""How far two values agree in their parts: the fields of JSON, bags, the headings of a text. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from twofold.metrics.text import common_subsequence, label

_HEADING = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+(?P<hashed>\S[^\n]*)|(?P<named>[^\W\d][^\n:.!?;]{0,48}):(?=\s|$))", re.M)
# A longer line with a colon is a sentence, not a heading.
_HEADING_WORDS = 6
_MOST_PAIRS = 40_000
"""Pairs of unequal array items that are looked at; longer arrays are compared in their order."""


def field_f1(mine: Any, theirs: Any) -> float:
    """F1 of the fields of two JSON values; see `structured.FieldF1`."""
    return 2 * _agreeing(mine, theirs) / (_leaves(mine) + _leaves(theirs))


def _agreeing(mine: Any, theirs: Any) -> int:
    """How many leaves of the two values agree in path and value; an empty object or array is a leaf."""
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine and theirs:
        mine = {unicodedata.normalize("NFC", key): item for key, item in mine.items()}
        theirs = {unicodedata.normalize("NFC", key): item for key, item in theirs.items()}
        return sum(_agreeing(mine[key], theirs[key]) for key in mine.keys() & theirs.keys())
    if isinstance(mine, list) and isinstance(theirs, list) and mine and theirs:
        return _matched(mine, theirs)
    # Single values, and values of two kinds, agree whole or not at all.
    return int(form_of(mine) == form_of(theirs))


def _matched(mine: Sequence[Any], theirs: Sequence[Any]) -> int:
    """Agreeing leaves of two arrays, items matched: equal ones first, then greedily those that agree in most."""
    if _is_numbers(mine) and _is_numbers(theirs):
        names: dict[Any, str] = {}  # 1 and 1.0 are one value
        my_numbers = tuple(names.setdefault(item, str(len(names))) for item in mine)
        their_numbers = tuple(names.setdefault(item, str(len(names))) for item in theirs)
        return common_subsequence(my_numbers, their_numbers)
    # Equal items go first: they are found by their form, without comparing all pairs.
    ours, others = Counter(map(form_of, mine)), Counter(map(form_of, theirs))
    equal = ours & others
    left, right = _without(mine, equal), _without(theirs, equal)
    total = sum(_leaves_ofform_of(form) * count for form, count in equal.items())
    if len(left) * len(right) > _MOST_PAIRS:
        return total + sum(map(_agreeing, left, right))
    # Of pairs that agree in as many leaves those of like size come first, then those at like places.
    pairs = []
    for row, a in enumerate(left):
        for column, b in enumerate(right):
            if count := _agreeing(a, b):
                pairs.append((count, -abs(_leaves(a) - _leaves(b)), -row, -column))
    used: set[tuple[str, int]] = set()
    for count, _, i, j in sorted(pairs, reverse=True):
        # Each item is matched once: an answer that repeats a right one gains nothing.
        if not {("left", i), ("right", j)} & used:
            used |= {("left", i), ("right", j)}
            total += count
    return total


def _is_numbers(items: Sequence[Any]) -> bool:
    # To Python a bool is an int.
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in items)


def _without(items: Sequence[Any], taken: Counter[Any]) -> list[Any]:
    rest = Counter(taken)
    out = []
    for item in items:
        form = form_of(item)
        if rest[form]:
            rest[form] -= 1
        else:
            out.append(item)
    return out


def form_of(value: Any) -> Any:
    """A value by what counts of it, hashable.

    Types, keys, strings without case and extra blanks, items as a bag, and numbers in their order.
    """
    if isinstance(value, dict) and value:
        return "object", frozenset((unicodedata.normalize("NFC", key), form_of(item)) for key, item in value.items())
    if isinstance(value, list) and value:
        forms = tuple(map(form_of, value))
        return ("numbers", forms) if _is_numbers(value) else ("array", frozenset(Counter(forms).items()))
    if isinstance(value, str):
        return "string", " ".join(unicodedata.normalize("NFC", value).casefold().split())
    # Before numbers: to Python True is 1.
    if isinstance(value, bool) or value is None:
        return "constant", repr(value)
    return ("empty", repr(value)) if isinstance(value, (dict, list)) else ("number", value)


def _leaves(value: Any) -> int:
    if isinstance(value, dict) and value:
        return sum(map(_leaves, value.values()))
    return sum(map(_leaves, value)) if isinstance(value, list) and value else 1


def _leaves_ofform_of(form: Any) -> int:
    kind, inner = form
    if kind == "object":
        return sum(_leaves_ofform_of(item) for _, item in inner)
    if kind == "numbers":
        return len(inner)
    return sum(_leaves_ofform_of(item) * count for item, count in inner) if kind == "array" else 1


def bag_f1(mine: Counter[str], theirs: Counter[str]) -> float:
    """F1 of two bags; of which one is empty, 1 when both are."""
    both = mine.total() + theirs.total()
    return 2 * (mine & theirs).total() / both if both else 1.0


def headings(text: str) -> Counter[str]:
    """Bag of the headings of a text, as labels."""
    titles = (match["hashed"] or match["named"] for match in _HEADING.finditer(text))
    return Counter(label(one) for one in titles if len(one.split()) <= _HEADING_WORDS)
