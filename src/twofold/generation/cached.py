"""Directories derived from models (merged weights, converted graphs) in the user's cache: made once, by one process.

Every adapter leaves a copy of all weights here, so the cache cleans itself: what was used longest ago goes, as it can
be made again in seconds.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from twofold.files.locking import locked
from twofold.host.cache import cache_root
from twofold.store.artifacts import Artifacts
from twofold.types import Json

_log = logging.getLogger(__name__)

KEPT_COPIES = 4
"""So many directories of a kind stay whatever their size."""
ROOM = 4 * 2**30
"""More stay while all of a kind have at most so many bytes."""


def derived(kind: str, key: str, make: Callable[[Path], Json]) -> Path:
    """The finished directory of `key`, made now if it is missing.

    Args:
        kind: Folder in the cache, for example ``merged``.
        key: Digest of everything that makes it.
        make: Fills the directory and returns the manifest; what a killed process left is cleared before.
    """
    folder = cache_root() / kind
    artifacts = Artifacts(folder)
    directory = artifacts.find(key)
    if directory is not None:
        os.utime(directory)
        return directory
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{key.replace(':', '-')}.lock"):
        directory = artifacts.find(key)
        if directory is not None:
            return directory
        shutil.rmtree(artifacts.working(key))
        work = artifacts.working(key)
        record = artifacts.finish(key, make(work))
    _make_room(artifacts)
    return record


def _make_room(artifacts: Artifacts) -> None:
    ready = [m for m in artifacts.list() if m["finished"]]
    total = 0
    for place, manifest in enumerate(sorted(ready, key=lambda m: _used(artifacts, m["key"]), reverse=True)):
        total += int(manifest["bytes"])
        if place >= KEPT_COPIES and total > ROOM:
            _log.info("the cache is full: %s goes, it was used longest ago", manifest["key"])
            artifacts.remove(manifest["key"])


def _used(artifacts: Artifacts, key: str) -> float:
    directory = artifacts.find(key)
    return directory.stat().st_mtime if directory is not None else 0.0
