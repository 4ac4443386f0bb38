"""Records to JSON and back, exactly: ``from_json(type(r), to_json(r)) == r`` for every record of `twofold.types`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
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
    # a class of records counts as a dataclass, too
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
        record: T = _decoder(cls)(value)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise StoreError(f"a stored {cls.__name__} cannot be read: {error}") from error
    return record


def answer_from_json(value: Json) -> Answer:
    """An `Answer`; see `from_json`."""
    return from_json(Answer, value)


def document_from_json(value: Json) -> Document:
    """A `Document`; see `from_json`."""
    return from_json(Document, value)


_Decoder = Callable[[Any], Any]


@lru_cache(maxsize=64)
def _fields(cls: type) -> tuple[tuple[str, _Decoder], ...]:
    """Each field's name with its decoder: made once, for records are read by the ten thousand."""
    hints = typing.get_type_hints(cls)
    return tuple((f.name, _decoder(hints[f.name])) for f in dataclasses.fields(cls))


def _decoder(hint: Any) -> _Decoder:
    """The function that reads a JSON value as `hint` says."""
    if dataclasses.is_dataclass(hint):
        return partial(_record, hint)
    origin = typing.get_origin(hint)
    inner = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        read = _decoder(next(h for h in inner if h is not type(None)))
        return partial(_optional, read) if type(None) in inner else read
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return partial(_tuple, _decoder(inner[0]))
        return partial(_row, tuple(map(_decoder, inner)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return partial(_mapping, _decoder(inner[1]))
    if origin is Literal:
        return partial(_choice, inner)
    return partial(_scalar, hint)


def _record(cls: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {type(value).__name__}")
    # a record of an older version lacks newer fields, which keep their defaults
    return cls(**{name: read(value[name]) for name, read in _fields(cls) if name in value})


def _optional(read: _Decoder, value: Any) -> Any:
    return None if value is None else read(value)


def _tuple(read: _Decoder, value: Any) -> Any:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return tuple(map(read, value))


def _row(decoders: tuple[_Decoder, ...], value: Any) -> Any:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return tuple(read(v) for read, v in zip(decoders, value, strict=True))


def _mapping(read: _Decoder, value: Any) -> Any:
    return {k: read(v) for k, v in value.items()}


def _choice(choices: tuple[Any, ...], value: Any) -> Any:
    if value not in choices:
        raise ValueError(f"{value!r} is none of {choices}")
    return value


def _scalar(hint: Any, value: Any) -> Any:
    # the exact type: True is no int here
    if type(value) is hint or hint is Any:
        return value
    if hint is float and type(value) is int:  # JSON writes 1.0 as 1 in the canonical form
        return float(value)
    raise TypeError(f"expected {getattr(hint, '__name__', hint)}, found {type(value).__name__}")
