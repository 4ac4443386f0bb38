"""Settings laid over each other and written as TOML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def laid(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """One table over another."""
    deeper = {k: laid(under[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(under.get(k), dict)}
    return {**under, **over, **deeper}


def written(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """A table as TOML: JSON's strings, numbers and lists are TOML's."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    if path:
        yield f"[{'.'.join(json.dumps(part) for part in path)}]"
    for key, value in table.items():
        if key not in inner:
            yield f"{json.dumps(key)} = {inline(value)}"
    for key, value in inner.items():
        yield from written(value, (*path, key))


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(one)}" for key, one in value.items()) + "}"
    return f"[{', '.join(map(inline, value))}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
