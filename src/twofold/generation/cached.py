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

KEPT = 4
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
    found = artifacts.find(key)
    if found is not None:
        os.utime(found)
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{key.replace(':', '-')}.lock"):
        found = artifacts.find(key)
        if found is not None:
            return found
        shutil.rmtree(artifacts.working(key))
        work = artifacts.working(key)
        made = artifacts.finish(key, make(work))
    _make_room(artifacts)
    return made


def _make_room(artifacts: Artifacts) -> None:
    ready = [m for m in artifacts.list() if m["finished"]]
    held = 0
    for place, one in enumerate(sorted(ready, key=lambda m: _used(artifacts, m["key"]), reverse=True)):
        held += int(one["bytes"])
        if place >= KEPT and held > ROOM:
            _log.info("the cache is full: %s goes, it was used longest ago", one["key"])
            artifacts.remove(one["key"])


def _used(artifacts: Artifacts, key: str) -> float:
    found = artifacts.find(key)
    return found.stat().st_mtime if found is not None else 0.0
