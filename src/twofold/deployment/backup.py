"""Backups of a project that is in use, and their restoring."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from twofold import __version__
from twofold.config import Config
from twofold.deployment import archives, installer, snapshot
from twofold.deployment.snapshot import Omission
from twofold.errors import ConfigError, StoreError
from twofold.files import writing
from twofold.plugins.protocols import Progress, quiet
from twofold.store.migrations import MIGRATIONS
from twofold.types import Json

BACKUP = "backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup has in it."""

    file: str
    project: str
    at: str
    """ISO time."""
    files: int
    bytes: int
    catalogue: int
    """Version of the catalogue; 0 where there is none."""
    pause: float
    """Seconds for which a sync's commits had to wait; 0 for a backup that was only read."""
    left_out: tuple[Omission, ...]

    def to_json(self) -> Json:
        """As JSON values."""
        return asdict(self)


def back_up(
    directory: Path,
    config: Config,
    path: Path,
    *,
    now: datetime,
    without: Collection[str] = (),
    progress: Progress = quiet,
) -> BackupReport:
    """Write a backup of a project, while a server answers from it and a sync writes to it.

    Args:
        directory: The project.
        config: Its configuration.
        path: The archive to write.
        now: The time, with its zone.
        without: Some of `snapshot.PARTS`.
        progress: Shows reading and writing.

    Raises:
        ConfigError: the file exists already, or lies in the project.
        StoreError: the disk refuses, or a file changes again and again.
    """
    archives.require_new(path)
    if path.resolve().is_relative_to(directory.resolve()):
        raise ConfigError(
            f"the backup {str(path)!r} would lie in the project itself",
            cure="Name a file outside the project, best on another disk.",
        )
    with snapshot.taken(directory, config, without=without) as shot:
        manifest: Json = {
            "kind": BACKUP,
            "twofold": __version__,
            "project": config.project.name,
            "at": now.isoformat(timespec="seconds"),
            "catalogue": shot.catalogue,
            "left_out": [dict(entry) for entry in shot.left_out],
            "folders": {f"project/{name}": mode for name, mode in shot.folders.items()},
        }
        files = {f"project/{name}": place for name, place in shot.files.items()}
        whole = archives.write(path, files, manifest, progress=progress)
        return _report(path, whole, pause=shot.pause)


def verified(path: Path) -> BackupReport:
    """Read a whole backup and compare every file with its manifest.

    Raises:
        StoreError: it is damaged, no backup, or of a later version of Twofold.
    """
    with archives.explained(path):
        manifest = installer.check(path, kind=BACKUP)
    _require_readable(path, manifest)
    return _report(path, manifest)


def restore(path: Path, target: Path) -> BackupReport:
    """Put a backup into a folder that does not exist yet, or is empty; everything is checked before it is put in place.

    Args:
        path: The backup.
        target: The folder of the restored project.

    Raises:
        ConfigError: the folder has something in it, or its parent does not exist.
        StoreError: the backup is damaged, or of a later version of Twofold; nothing is put in place.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(
            f"{str(target)!r} is not empty, and restoring overwrites nothing",
            cure="Name a new folder; move the old project away first if the restored one must have its place.",
        )
    parent = target.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"there is no folder {str(parent)!r}", cure="Make the folder first.")
    with archives.explained(path):
        manifest = installer.manifest_of(path, kind=BACKUP)
        _require_readable(path, manifest)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-restoring-", dir=parent))
        try:
            installer.unpack(path, draft, manifest, roots={"project": "."})
            draft.chmod(0o755)
            # Before the rename, which must not outlive a power failure that the files do not.
            for file in draft.rglob("*"):
                with suppress(PermissionError):  # of a file that its owner may only read
                    writing.sync(file)
            writing.put(draft, target)
        finally:
            with suppress(FileNotFoundError):
                shutil.rmtree(draft)
    return _report(path, manifest)


def _require_readable(path: Path, manifest: Json) -> None:
    version = int(manifest.get("catalogue", 0))
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the backup's catalogue has version {version}; this Twofold knows versions up to {len(MIGRATIONS)}",
            file=path,
            cure=f"Use Twofold {manifest.get('twofold', '')}, which wrote it, or a later version.",
        )


def _report(path: Path, manifest: Json, *, pause: float = 0.0) -> BackupReport:
    listed: dict[str, Any] = manifest["files"]
    return BackupReport(
        file=str(path),
        project=str(manifest.get("project", "")),
        at=str(manifest.get("at", "")),
        files=len(listed),
        bytes=sum(int(entry["bytes"]) for entry in listed.values()),
        catalogue=int(manifest.get("catalogue", 0)),
        pause=round(pause, 4),
        left_out=tuple(manifest.get("left_out", ())),
    )
