"""Whether an answer satisfies the JSON schema that it was written by: no engine holds to every keyword. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from twofold.metrics.json_schemas import multiple, registry_of

_STEPS = 200_000
"""Most keywords that are looked at for an answer, one to two seconds: branches within branches double them with each
level, and the schema is whoever's who asks. An array of a thousand objects takes some 20,000."""
_PARTS = 12
"""Values in a list or an object that are looked at as fast as one keyword."""
_LETTERS = 200
"""Letters of a fault that are told; it quotes the answer."""
_DEEP = "it is nested too deeply to be checked"


def violation(text: str, schema: str) -> str:
    """Why an answer does not satisfy a schema; empty where it does.

    Patterns are left to the grammar by which the answer was written: Python may try one for ever on thirty letters.
    Formats are too, as their tests differ from library to library. What is left is checked so that a valid answer is
    never refused for what is not checked.

    Args:
        text: The answer.
        schema: A JSON schema that `schemas.require_valid` has passed, as JSON text.
    """
    import jsonschema
    from referencing.exceptions import Unresolvable

    try:
        answer = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return "it is no JSON"
    except RecursionError:
        return _DEEP
    whole = json.loads(schema)
    kind = jsonschema.validators.validator_for(whole, default=jsonschema.Draft202012Validator)
    # A part that named another draft would be checked by a class without the limits below.
    left_out, renamed = _left_out(whole)
    left = _STEPS
    sizes = _sizes(answer) | _sizes(whole)

    def counted(name: str, check: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def checking(validator: Any, value: Any, instance: Any, part: Any) -> Iterator[Any]:
            nonlocal left
            # Comparing, and quoting what is no match, go through all that is within.
            left -= 1 + sizes.get(id(instance), 0) // _PARTS
            if name == "const":
                left -= sizes.get(id(value), 0) // _PARTS
            elif name != "enum" and isinstance(value, dict | list):
                left -= len(value) // _PARTS
            if left < 0:
                raise _Endless
            yield from check(validator, value, instance, part) or ()

        return checking

    replaced: dict[str, Any] = {
        "multipleOf": multiple,
        "uniqueItems": _unique,
        "enum": _listed(),
    }
    replaced |= {name: kind.VALIDATORS[other] for name, other in renamed.items() if other in kind.VALIDATORS}
    # Not those that the draft does not know, which say nothing.
    rules: dict[str, Any] = {name: replaced.get(name, check) for name, check in kind.VALIDATORS.items()}
    checks = {name: (_nothing if name in left_out else counted(name, check)) for name, check in rules.items()}
    try:
        # With a registry of its own: by default the library fetches what a reference names.
        bounded = jsonschema.validators.extend(kind, checks)  # type: ignore[no-untyped-call]
        checker = bounded(whole, registry=registry_of(whole, kind))
        fault = next(checker.iter_errors(answer), None)
    except _Endless:
        return f"checking it takes more than {_STEPS} steps"
    except RecursionError:
        return _DEEP
    except Unresolvable:
        return "a reference of the schema leads nowhere"
    except OverflowError:
        return "a number of it is too large to be checked"
    return "" if fault is None else fault.message[:_LETTERS]


class _Endless(Exception):
    """The check takes too many steps."""


def _sizes(value: Any) -> dict[int, int]:
    """Values within each list and object of a JSON value, at any depth, by its `id`."""
    inner: list[tuple[int, list[Any]]] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            values = list(part.values() if isinstance(part, dict) else part)
            inner.append((id(part), values))
            waiting += values
    sizes: dict[int, int] = {}
    # What is within comes later than what it is within.
    for place, values in reversed(inner):
        sizes[place] = len(values) + sum(sizes.get(id(each), 0) for each in values)
    return sizes


def _nothing(*_arguments: Any) -> tuple[()]:
    return ()


def _refuse(constant: str) -> None:
    # Python reads NaN and Infinity, which JSON has not.
    raise ValueError(constant)


def _unique(_validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """The keyword uniqueItems. The library compares each item with each other: 25 s for 5000 objects."""
    from jsonschema import ValidationError

    if unique and isinstance(instance, list) and len({_comparable(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _listed() -> Callable[..., Iterator[Any]]:
    """The keyword enum. The library compares with each value: 9 s for 2000 items and 1600 values that are objects."""
    from jsonschema import ValidationError

    # By `id`: the schema outlives the check.
    values: dict[int, frozenset[Any]] = {}
    shown: dict[int, str] = {}

    def checking(_validator: Any, enum: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        if id(enum) not in values:
            values[id(enum)] = frozenset(map(_comparable, enum))
            shown[id(enum)] = repr(enum)[:_LETTERS]
        if _comparable(instance) not in values[id(enum)]:
            yield ValidationError(f"{instance!r} is not one of {shown[id(enum)]}")

    return checking


def _comparable(value: Any) -> Any:
    """Equal for JSON values that are equal, and hashable: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return frozenset((name, _comparable(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(map(_comparable, value))
    return (bool, value) if isinstance(value, bool) else value


def _left_out(whole: Any) -> tuple[set[str], dict[str, str]]:
    """Keywords that are not checked in a schema, and those that are checked as another one, less strict.

    Takes the names of known drafts out of every part.
    """
    from jsonschema.validators import validator_for

    left_out, unsure = {"pattern", "patternProperties"}, False
    waiting = [whole]
    # A stack: callers nest as deep as they like. Every value, for a reference may lead anywhere.
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            # By their kinds: also properties may have these names.
            unsure = unsure or any(isinstance(part.get(name), str) for name in ("pattern", "format"))
            if "patternProperties" in part:  # these two try the patterns as well
                left_out |= {"additionalProperties", "unevaluatedProperties"}
                unsure = True
            if isinstance(part.get("$schema"), str) and validator_for(part, default=None) is not None:  # type: ignore[arg-type]
                del part["$schema"]
                # It may have been a part of a value that is compared.
                if part is not whole:
                    left_out |= {"const", "enum"}
                    unsure = True
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
    if not unsure:
        return left_out, {}
    # A part of which something is not checked may seem to be satisfied, and for these that is a fault.
    counted = {"not", "if", "contains", "unevaluatedProperties", "unevaluatedItems"}
    return left_out | counted, {"oneOf": "anyOf"}
