"""Kept steps written into ``twofold.toml``: comments, order and everything else in the file stay."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import tomlkit

from twofold import config_loading
from twofold.config import FILE
from twofold.errors import ConfigError
from twofold.files import writing
from twofold.types import Json


def write(directory: Path, values: Json) -> None:
    """Lay nested values into a project's ``twofold.toml``; lists are replaced. Where this fails the old file stays.

    Raises:
        ConfigError: the file, with the values in it, would not be valid.
        OSError: the disk refuses.
    """
    path = directory / FILE
    before = path.read_bytes()
    document = tomlkit.parse(before.decode("utf-8"))
    _lay(document, values)
    after = tomlkit.dumps(document).encode("utf-8")
    # A round that is finished a second time, after a kill, changes nothing.
    if after == before:
        return
    writing.write(path, after)
    try:
        config_loading.load(directory, {})
    except ConfigError:
        writing.write(path, before)
        raise


def _lay(table: MutableMapping[str, Any], values: Json) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            if not isinstance(table.get(key), MutableMapping):
                table[key] = tomlkit.table()
            _lay(table[key], value)
        else:
            table[key] = list(value) if isinstance(value, tuple) else value
