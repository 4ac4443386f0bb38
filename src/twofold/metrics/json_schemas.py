"""Checks of JSON schemas where the library fetches what it should not, or divides as floats do. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from twofold.types import Json


def multiple(validator: Any, divisor: float, instance: Any, *_part: Any) -> Iterator[Any]:
    """The keyword ``multipleOf`` in decimals, as both are written: in floats 19.99 is no multiple of 0.01.

    Raises:
        OverflowError: a number of more than 308 digits, with a fraction or an exponent.
    """
    import jsonschema

    if validator.is_type(instance, "number"):
        if instance in (math.inf, -math.inf):
            raise OverflowError
        if Fraction(str(instance)) % Fraction(str(divisor)):
            yield jsonschema.ValidationError(f"{instance!r} is not a multiple of {divisor}")


def validator(schema: Json) -> Any:
    """A validator of draft 2020-12 that fetches nothing: by default the library asks the network for references."""
    import jsonschema
    from referencing import Registry

    kind = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"multipleOf": multiple})  # type: ignore[no-untyped-call]
    return kind(schema, registry=Registry())


def unresolved(schema: Json) -> str:
    """A reference of a schema that leads nowhere within it; empty without one, or where a part has an ``$id``."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            # Below a name, references are relative to it.
            if "$id" in part:
                return ""
            reference = part.get("$ref")
            try:
                if isinstance(reference, str):
                    resolver.lookup(reference)
            except Unresolvable:
                return str(reference)
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
    return ""
