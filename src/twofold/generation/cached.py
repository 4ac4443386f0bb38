"""Directories derived from models (merged weights, converted graphs) in the user's cache: made once, by one process.

Every adapter leaves a copy of all weights here, so the cache cleans itself: the least recently used directory goes, as
it can be made again in seconds.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from twofold.files.locking import locked
from twofold.host.cache import cache_root, taken
from twofold.store.artifacts import Artifacts
from twofold.types import Json

_log = logging.getLogger(__name__)

KEPT_COPIES = 4
"""Directories of a kind that stay, whatever their size."""
ROOM = 4 * 2**30
"""Bytes of all directories of a kind up to which further ones stay."""


def derived(kind: str, key: str, make: Callable[[Path], Json]) -> Path:
    """The finished directory of `key`; created now if it is missing.

    Args:
        kind: Folder in the cache, for example ``merged``.
        key: Digest of everything that determines the content.
        make: Fills the empty directory and returns the manifest.
    """
    folder = cache_root() / kind
    artifacts = Artifacts(folder)
    directory = artifacts.find(key)
    if directory is not None:
        os.utime(directory)  # the time of the last use, by which `_make_room` chooses
        return taken(directory)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{key.replace(':', '-')}.lock"):
        # again: another process may have made it while this one waited for the lock
        directory = artifacts.find(key)
        if directory is not None:
            return taken(directory)
        # a copy that a killed process left half made cannot be continued
        shutil.rmtree(artifacts.working(key))
        work = artifacts.working(key)
        record = artifacts.finish(key, make(work))
    _make_room(artifacts)
    return taken(record)


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
