"""Canonical JSON and tagged digests: the names of everything derived.

A key is a digest of everything that determines a result. Equal keys mean equal results; a key that is missing from the
store is work that remains to be done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import Any

_HEX = 32
"""Hexadecimal digits of a digest: 128 bits."""
_PLAIN = frozenset((type(None), bool, int, str))
"""Types of most values, which are JSON's own: looked up here they need no call."""


@lru_cache(maxsize=256)
def _fields(cls: type) -> tuple[str, ...] | None:
    """Names of a record's fields; None for what is no record."""
    return tuple(f.name for f in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else None


def plain(value: Any) -> Any:
    """Turn records, mappings, tuples and sets into JSON values.

    Raises:
        TypeError: for a value that has no canonical form (an open file, a NaN, an arbitrary object).
    """
    if type(value) in _PLAIN or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError("NaN and infinity have no canonical form")
        # 1.0 and 1 are equal settings, so they must have one spelling; beyond 2**53 floats skip integers
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    kind: Any = type(value)
    if (names := _fields(kind)) is not None:
        return {n: item if type(item := getattr(value, n)) in _PLAIN else plain(item) for n in names}
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _PLAIN else plain(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("only string keys have a canonical form")
        return {key: item if type(item) in _PLAIN else plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        # a set has no order: that of its members' JSON will do
        return sorted((plain(item) for item in value), key=canonical_json)
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Decimal):
        # written out as an integer, 1E+999999 would fill the memory
        whole = value.is_finite() and value.adjusted() < 40 and value == int(value)
        return int(value) if whole else plain(float(value))
    if isinstance(value, date):  # and `datetime`, which is one
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    raise TypeError(f"{type(value).__name__} has no canonical form")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and one spelling per value (after RFC 8785, without its number rules)."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(tag: str, value: Any) -> str:
    """Tagged digest of any canonical value, for example ``answer:3f2a…`` (sha-256, 128 bits kept)."""
    return digest_bytes(tag, canonical_json(value).encode())


def digest_bytes(tag: str, data: bytes) -> str:
    """Tagged digest of raw bytes."""
    # a zero byte between, which no tag contains: no two pairs of tag and data are the same bytes
    return f"{tag}:{hashlib.sha256(tag.encode() + bytes(1) + data).hexdigest()[:_HEX]}"


def sha256_of(path: PurePath | str) -> str:
    """The plain sha256 of a file's bytes, as a manifest has it."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_file(tag: str, path: PurePath | str) -> str:
    """Tagged digest of a file's bytes, read in pieces of 1 MiB."""
    state = hashlib.sha256(tag.encode() + b"\0")
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            state.update(piece)
    return f"{tag}:{state.hexdigest()[:_HEX]}"
