"""The shape of JSON references in words, for the prompt: keys, types, and values where there are few. Pure.

A model without tuning cannot guess how keys are called: a prompt that does not name them measures nothing but that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from twofold.metrics.formal import parse

MOST_VALUES = 20
"""A key with more different values has no listed ones."""
SEEN_EACH = 3
"""Values are listed when each was seen so often on average."""
_TYPES = {str: "text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}


def shape(references: Sequence[str], fits: Callable[[str], bool]) -> str:
    """The keys of the JSON objects, in one clause such as ``"city" (text), "seats" (a number, may be left out)``.

    Args:
        references: Gold answers; those that are no JSON object (or list of objects) are passed over.
        fits: May the prompt hold so long a clause? Listed values are given up first, then what stands inside a key.

    Returns:
        The clause; empty when there is no object, or when even the names of the keys are too long.
    """
    values = [value for value in map(parse, references) if value is not None]
    objects = [value for value in values if isinstance(value, dict)]
    items = chain.from_iterable(value for value in values if isinstance(value, list))
    lists = [item for item in items if isinstance(item, dict)]
    # what most references are: an object each, or a list of objects
    chosen = objects if len(objects) * 2 > len(values) else lists
    if not chosen:
        return ""
    # From the fullest clause to the shortest: the first that fits is taken.
    for depth, listing in ((2, True), (2, False), (1, False)):
        clause = _keys(chosen, depth=depth, listing=listing)
        if fits(clause):
            return clause
    return ""


def _keys(objects: Sequence[dict[str, Any]], *, depth: int, listing: bool) -> str:
    """The keys of objects, the most frequent first."""
    counts = Counter(chain.from_iterable(objects))
    clauses = []
    for key, count in counts.most_common():
        facts = _facts([item[key] for item in objects if key in item], depth=depth, listing=listing)
        facts += ["may be left out"] if count < len(objects) else []
        clauses.append(json.dumps(key, ensure_ascii=False) + (f" ({', '.join(facts)})" if facts else ""))
    return ", ".join(clauses)


def _facts(values: Sequence[Any], *, depth: int, listing: bool) -> list[str]:
    """Type and content of one key."""
    inner = [value for value in values if isinstance(value, dict)]
    if inner:
        return [f"an object with {_names(inner)}" if depth > 1 else "an object"]
    rows = list(chain.from_iterable(value for value in values if isinstance(value, list)))
    if rows or any(isinstance(value, list) for value in values):
        inner = [row for row in rows if isinstance(row, dict)]
        if inner and depth > 1:
            return [f"a list of objects with {_names(inner)}"]
        texts = _values(rows) if listing else ""
        return [f"a list of {texts}" if texts else "a list"]
    texts = _values(values) if listing else ""
    return [f"one of {texts}"] if texts else [" or ".join(dict.fromkeys(_TYPES[type(value)] for value in values))]


def _names(objects: Sequence[dict[str, Any]]) -> str:
    """Names of the keys, and which of them are always there where not all are."""
    counts = Counter(chain.from_iterable(objects))
    always = [json.dumps(key, ensure_ascii=False) for key, count in counts.most_common() if count == len(objects)]
    some = [json.dumps(key, ensure_ascii=False) for key, count in counts.most_common() if count < len(objects)]
    optional = f"any of {', '.join(some)}" if some else ""
    return " and ".join(part for part in (", ".join(always), optional) if part) or "no key"


def _values(values: Sequence[Any]) -> str:
    """The values, where they are few and each is seen again; else nothing."""
    if not all(isinstance(value, str) for value in values):
        return ""
    counts = Counter(values)
    if not counts or len(counts) > MOST_VALUES or len(values) < SEEN_EACH * len(counts) or len(counts) < 2:
        return ""
    return " / ".join(json.dumps(value, ensure_ascii=False) for value in sorted(counts))
