"""Kept steps written into ``twofold.toml``: comments, order and everything else in the file stay."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from twofold.config import FILE
from twofold.errors import ConfigError
from twofold.files import writing
from twofold.settings import loading as config_loading
from twofold.types import Json


def write(directory: Path, values: Json) -> None:
    """Lay nested values into a project's ``twofold.toml``; lists are replaced. Where this fails the old file stays.

    Raises:
        ConfigError: the file, with the values in it, would not be valid.
        OSError: the disk refuses.
    """
    path = directory / FILE
    before = path.read_bytes()
    try:
        document = tomlkit.parse(before.decode("utf-8"))
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"invalid TOML: {error}", file=path, cure="Correct the named line, or restore the file from a copy."
        ) from error
    _lay(document, values)
    after = tomlkit.dumps(document).encode("utf-8")
    # A round that is finished a second time, after a kill, changes nothing.
    if after == before:
        return
    # Before it is written: a run that is killed in between would leave a file that no command can read.
    config_loading.parsed(after, path)
    writing.write(path, after)


def _lay(table: MutableMapping[str, Any], values: Json) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            if not isinstance(table.get(key), MutableMapping):
                table[key] = tomlkit.table()
            _lay(table[key], value)
        else:
            table[key] = list(value) if isinstance(value, tuple) else value
