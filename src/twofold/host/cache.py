"""The user's cache directory: models, converted weights, measured paces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_witnesses: list[set[Path]] = []
"""Sets of `witnessed` blocks that run now."""


def cache_root() -> Path:
    """Directory for downloaded and converted models: ``$TWOFOLD_CACHE``, or the platform's user cache."""
    setting = os.environ.get("TWOFOLD_CACHE")
    if setting:
        return Path(setting).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "twofold"


@contextmanager
def witnessed() -> Iterator[set[Path]]:
    """Collect what is taken out of the cache in the block, by this process: models, and what was derived from them."""
    places = set[Path]()
    _witnesses.append(places)
    try:
        yield places
    finally:
        # By identity: two empty sets are equal.
        _witnesses[:] = [other for other in _witnesses if other is not places]


def taken(path: Path) -> Path:
    """Note for `witnessed` that a file or folder is used, and return it."""
    for places in tuple(_witnesses):
        places.add(path)
    return path


def shared_models() -> Path | None:
    """Directory of models that others pulled, ``$TWOFOLD_MODELS``: in an image, or on a disk that many machines read.

    It is only read. What is derived from its models, such as converted weights, is written to `cache_root`.
    """
    setting = os.environ.get("TWOFOLD_MODELS")
    return Path(setting).expanduser() if setting else None
