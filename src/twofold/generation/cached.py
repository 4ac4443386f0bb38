"""Directories derived from models (merged weights, converted graphs) in the user's cache: made once, by one process."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

from twofold.plugins import cache_root
from twofold.store.artifacts import Artifacts
from twofold.types import Json


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
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{key.replace(':', '-')}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = artifacts.find(key)
        if found is not None:
            return found
        shutil.rmtree(artifacts.working(key))
        work = artifacts.working(key)
        return artifacts.finish(key, make(work))
