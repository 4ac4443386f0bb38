"""The key of an audit log, from where the settings say it is."""

from __future__ import annotations

import os
from pathlib import Path

from twofold.errors import ConfigError
from twofold.settings.audit import AuditSection

SHORTEST = 16
"""Bytes of the shortest key that is taken: a shorter one could be guessed by trying."""


def key_of(settings: AuditSection, directory: Path) -> bytes:
    """The key; empty where the settings name none.

    Args:
        settings: Which variable or file has it.
        directory: Of the project.

    Raises:
        ConfigError: the variable is not set, the file cannot be read, or the key is too short.
    """
    if settings.key_env:
        place, key = f"[audit].key_env names {settings.key_env}", os.environ.get(settings.key_env, "").strip().encode()
        if not key:
            raise ConfigError(
                f"{place}, and that variable is not set",
                cure=f"Set {settings.key_env} to the log's key, at least {SHORTEST} letters.",
            )
    elif settings.key_file:
        place, path = f"[audit].key_file names {settings.key_file}", directory / settings.key_file
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            cure = f"Write the log's key into it, at least {SHORTEST} letters, for example by openssl rand -hex 32."
            raise ConfigError(f"{place}, which cannot be read: {error.strerror}", cure=cure) from error
    else:
        return b""
    if len(key) < SHORTEST:
        raise ConfigError(
            f"{place}, and that key has {len(key)} bytes", cure=f"Use a random key of at least {SHORTEST} bytes."
        )
    return key
