"""Where a project's index lies: in its folder, or where `[scale].index` says, for readers on many machines."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from twofold.config import Config
from twofold.errors import ConfigError
from twofold.files.remote import RemoteFolder
from twofold.plugins import loading
from twofold.plugins.indexes import Remote
from twofold.store.lease import Lease, ObjectRegister, holder_of
from twofold.store.lock import ProjectLock

_HOME = ".twofold"
_INDEX = "index"


def place_of(config: Config, directory: Path) -> Path | RemoteFolder:
    """Where the index of a directory of derived data lies.

    Only the index that answers is shared: one of a trial or a benchmark lies beside its own catalogue on this machine.

    Args:
        config: The configuration in force.
        directory: The project's ``.twofold``, or a place of the same kind elsewhere.

    Raises:
        ConfigError: the configured index cannot lie in an object store.
    """
    folder = shared(config) if directory.name == _HOME else None
    return directory / _INDEX if folder is None else folder / _INDEX


def shared(config: Config) -> Path | RemoteFolder | None:
    """The folder that `[scale].index` names; None where the index lies in the project.

    Raises:
        ConfigError: the configured index cannot lie there, or nobody else could read it there.
    """
    url = config.scale.index
    if not url:
        return None
    name = config.retrieval.index.name
    if not isinstance(loading.find("indexes", name), Remote):
        raise ConfigError(
            f"[scale].index is {url!r}, and the index {name!r} cannot lie in an object store",
            cure='Leave [scale].index empty, or set [retrieval.index] name = "lancedb".',
        )
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme == "memory":
        raise ConfigError(
            f"[scale].index is {url!r}, which ends with the process that wrote it",
            cure="Name a folder in an object store, such as s3://BUCKET/FOLDER, or leave it empty.",
        )
    return RemoteFolder(url.rstrip("/"), endpoint=config.scale.endpoint)


def leases(config: Config) -> list[AbstractContextManager[object]]:
    """What keeps writers on other machines away from a shared index; empty where the project's own lock does."""
    folder = shared(config)
    if isinstance(folder, RemoteFolder):
        index = loading.find("indexes", config.retrieval.index.name)
        return [Lease(ObjectRegister(folder), fence=partial(index.fence, folder / _INDEX))]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return [ProjectLock(folder / "writer.lock", doing="writing to the index of")]
    return []


def clear(place: Path | RemoteFolder) -> None:
    """Delete an index with all its files."""
    if isinstance(place, RemoteFolder):
        place.clear()
    else:
        shutil.rmtree(place, ignore_errors=True)


def size(place: Path | RemoteFolder) -> int:
    """Bytes of an index; 0 where there is none."""
    if isinstance(place, RemoteFolder):
        return sum(place.sizes().values())
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) if place.is_dir() else 0


def used(config: Config) -> int:
    """Bytes of the index that `[scale].index` names."""
    folder = shared(config)
    return 0 if folder is None else size(folder / _INDEX)


def writer(config: Config) -> str:
    """Who writes to a shared index now, for people; empty where nobody does, or nobody can tell."""
    folder = shared(config)
    return holder_of(ObjectRegister(folder)) if isinstance(folder, RemoteFolder) else ""
