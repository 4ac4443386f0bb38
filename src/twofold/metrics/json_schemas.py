"""Checks of JSON schemas, and where the library fetches what it should not, or divides as floats do. Pure."""

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

    kind = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"multipleOf": multiple})  # type: ignore[no-untyped-call]
    return kind(schema, registry=registry_of(schema, kind))


def registry_of(schema: Json, kind: Any) -> Any:
    """A registry with a schema alone, from which nothing is fetched.

    Args:
        schema: A valid schema.
        kind: The library's class of its draft.
    """
    from referencing import Registry

    whole = _draft(kind).create_resource(schema)
    registry = Registry().with_resource(whole.id() or "", whole)
    # Here, once: else the library reads the whole schema at each reference to an anchor.
    try:
        return registry.crawl()
    # In old drafts it takes a list of names in `dependencies` for a schema, where a schema stands before it; and a name
    # may be no address.
    except (AttributeError, TypeError, ValueError):
        return registry


def unusable(schema: Json, kind: Any) -> str:
    """Why no answer can be checked by a valid schema, references apart; empty where one can.

    Args:
        schema: A valid schema.
        kind: The library's class of its draft.
    """
    import jsonschema

    if kind is jsonschema.Draft3Validator:  # its types may be schemas, and the library looks for no reference in them
        return "draft 3 is not supported, and later ones are"
    waiting: list[Any] = [schema]
    # A stack: schemas come from users, and may be nested as deep as they like.
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
        # TOML has inf, nan and dates, and Python reads 1e400 as inf.
        elif not isinstance(part, str | int | float | None) or (isinstance(part, float) and not math.isfinite(part)):
            return f"it contains {part}, which is no value of JSON"
    return ""


def unresolved(schema: Json, kind: Any) -> str | None:
    """A reference of a schema that leads to no schema within it; None without one.

    Args:
        schema: A valid schema that is not `unusable`.
        kind: The library's class of its draft.
    """
    import jsonschema
    from referencing.exceptions import Unresolvable

    whole, registry = _draft(kind).create_resource(schema), registry_of(schema, kind)
    seen: set[int] = set()
    # The parts of a valid schema are valid: only what stands outside them is checked.
    waiting = list(_references(registry.resolver(whole.id() or ""), schema, kind, seen=seen))
    while waiting:
        resolver, reference = waiting.pop()
        try:
            target = resolver.lookup(reference)
            if id(target.contents) in seen:
                continue
            kind.check_schema(target.contents)
        # The last three: a pointer goes on below a text or a number, or the reference is no text.
        except (Unresolvable, jsonschema.SchemaError, AttributeError, TypeError, ValueError):
            return str(reference)
        waiting += _references(target.resolver, target.contents, kind, seen=seen)
    return None


def _references(resolver: Any, part: Any, kind: Any, *, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """The references of a part and of those within it, each with what it is relative to.

    Args:
        resolver: Of the part.
        part: A valid schema.
        kind: The library's class of its draft.
        seen: The `id` of each part that was looked at; parts are added, and those that stand there are left out.
    """
    draft = _draft(kind)
    keywords = [name for name in ("$ref", "$dynamicRef", "$recursiveRef") if name in kind.VALIDATORS]
    waiting = [(resolver, part)]
    while waiting:
        resolver, part = waiting.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        yield from ((resolver, part[name]) for name in keywords if name in part)
        # The parts only: the value of a constant may look like a reference. In old drafts the library takes either all
        # values of `dependencies` for parts or none.
        depending = part.get("dependencies", {}).values() if "dependencies" in kind.VALIDATORS else ()
        for inner in (*draft.subresources_of(part), *depending):
            if not isinstance(inner, dict):
                continue
            resource = draft.create_resource(inner)
            try:
                waiting.append((resolver.in_subresource(resource), inner))
            except ValueError:
                yield resolver, resource.id()  # a name that is no address: nothing stands there


def _draft(kind: Any) -> Any:
    from referencing.jsonschema import specification_with

    return specification_with(kind.META_SCHEMA["$schema"])
