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
    """A reference of a schema that leads to no schema within it; empty without one."""
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    whole = DRAFT202012.create_resource(schema)
    # Its parts only: the value of a constant may look like a reference. Each with what its references are relative to.
    waiting = [(Registry().resolver_with_root(whole), whole)]
    seen: set[int] = set()
    while waiting:
        resolver, part = waiting.pop()
        if id(part.contents) in seen:
            continue
        seen.add(id(part.contents))
        for name in ("$ref", "$dynamicRef"):
            reference = part.contents.get(name) if isinstance(part.contents, dict) else None
            if reference is None:
                continue
            try:
                target = resolver.lookup(reference)
                jsonschema.Draft202012Validator.check_schema(target.contents)
            # The last two: a pointer goes on below a text or a number.
            except (Unresolvable, jsonschema.SchemaError, TypeError, ValueError):
                return str(reference)
            waiting.append((target.resolver, DRAFT202012.create_resource(target.contents)))
        waiting += [(resolver.in_subresource(inner), inner) for inner in part.subresources()]
    return ""
