"""Records to JSON and back, exactly: ``from_json(type(r), to_json(r)) == r`` for every record of `twofold.types`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar

from twofold.errors import StoreError
from twofold.hashing import plain
from twofold.types import Answer, Document, Json

T = TypeVar("T")


def to_json(record: Any) -> Json:
    """A frozen record as a JSON object.

    Raises:
        TypeError: `record` is no record, or contains a value without a canonical form (NaN).
    """
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"{type(record).__name__} is not a record")
    fields: Json = plain(record)
    return fields


def from_json(cls: type[T], value: Any) -> T:
    """A record of class `cls` from the JSON object that `to_json` returned for it.

    Unknown fields are ignored, and missing fields take their defaults, so that older and newer versions can read it.

    Raises:
        StoreError: `value` is not such an object.
    """
    try:
        record: T = _read(cls, value)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise StoreError(f"a stored {cls.__name__} cannot be read: {error}") from error
    return record


def answer_from_json(value: Json) -> Answer:
    """An `Answer`; see `from_json`."""
    return from_json(Answer, value)


def document_from_json(value: Json) -> Document:
    """A `Document`; see `from_json`."""
    return from_json(Document, value)


@lru_cache(maxsize=64)
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _read(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, found {type(value).__name__}")
        return hint(**{k: _read(h, value[k]) for k, h in _hints(hint).items() if k in value})  # type: ignore[operator, arg-type]
    origin = typing.get_origin(hint)
    inner = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return None
        return _read(next(h for h in inner if h is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, found {type(value).__name__}")
        parts = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_read(h, v) for h, v in zip(parts, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {k: _read(inner[1], v) for k, v in value.items()}
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{value!r} is none of {inner}")
        return value
    return _scalar(hint, value)


def _scalar(hint: Any, value: Any) -> Any:
    if hint is Any:
        return value
    if hint is float and type(value) in (int, float):  # JSON writes 1.0 as 1 in the canonical form
        return float(value)
    if type(value) is not hint:
        raise TypeError(f"expected {getattr(hint, '__name__', hint)}, found {type(value).__name__}")
    return value
