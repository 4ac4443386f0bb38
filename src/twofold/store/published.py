"""Artifacts of a project in an object store: published once under their key, fetched where they are missing.

An artifact's files are objects named by their digests; its manifest is written last, and only where the key has none:
of two machines that make one key at the same time, the first to finish is the one that all use.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from twofold.errors import DiskFull, refused
from twofold.files import locking, writing
from twofold.hashing import sha256_of
from twofold.store.object_folder import ObjectFolder, damaged
from twofold.types import Json

MANIFEST = "manifest.json"
FETCHING = ".fetching"
"""End of the name of a folder in which an artifact is being fetched."""
_LATE = 3600.0
"""Seconds for which a manifest that was seen counts as there although a listing lacks it."""
_TRIES = 2
"""Downloads of an object before its digest counts as wrong."""
log = logging.getLogger(__name__)


class PublishedArtifacts:
    """The artifacts in a folder of an object store.

    Args:
        folder: The folder.
        seen: Local directory of the manifests that were seen there: they never change, and are read once.
    """

    def __init__(self, folder: ObjectFolder, seen: Path) -> None:
        self.folder = folder
        self._seen = seen

    def manifests(self) -> list[Json]:
        """The manifests that `refresh` has seen, by name; asks nobody."""
        return [manifest for path in sorted(self._seen.glob("*.json")) if (manifest := _parsed(path)) is not None]

    def manifest(self, name: str) -> Json | None:
        """The manifest of an artifact, by the name of its directory; None where nobody has published it."""
        return _parsed(self._seen / f"{name}.json") or self._read([name]).get(name)

    def note(self, names: Iterable[str]) -> None:
        """Look for artifacts that something names, so that they are listed although the store's listing is late."""
        self._read([name for name in names if not (self._seen / f"{name}.json").is_file()])

    def refresh(self) -> None:
        """See which artifacts there are now."""
        listed = {PurePosixPath(name).stem for name in self.folder.names("manifests") if name.endswith(".json")}
        before = {path.stem: path for path in self._seen.glob("*.json")}
        self._read(sorted(listed - set(before)))
        for name in set(before) - listed:
            with suppress(FileNotFoundError):
                if time.time() - before[name].stat().st_mtime > _LATE:
                    writing.put(before[name], self._mark(name))

    def withdrawn(self, name: str) -> bool:
        """Was this artifact published, and removed by some machine? Then what is left of it here is not published."""
        return self._mark(name).exists()

    def publish(self, name: str, directory: Path) -> bool:
        """Publish a finished artifact; False where another one has been published under its name.

        Files first, the manifest last: killed at any moment, the store has a whole artifact or none, and the next
        attempt uploads what is missing.

        Args:
            name: Of its directory.
            directory: Its files with the manifest.
        """
        content = (directory / MANIFEST).read_bytes()
        files: dict[str, Any] = json.loads(content)["files"]
        for path, entry in files.items():
            self.folder.upload(directory / path, _object(name, entry["sha256"]))
        if self.folder.create(f"manifests/{name}.json", content):
            self._note(name, content)
            return True
        first = self._read([name]).get(name)
        if first is None:
            raise damaged(f"the manifest {self.folder.place(f'manifests/{name}.json')} cannot be read")
        theirs = {entry["sha256"] for entry in first["files"].values()}
        rest = {entry["sha256"] for entry in files.values()} - theirs
        self.folder.delete([_object(name, digest) for digest in sorted(rest)])
        return not rest and len(theirs) == len({entry["sha256"] for entry in files.values()})

    def fetch(self, name: str, directory: Path) -> bool:
        """Bring an artifact here, every byte checked; False where nobody has published it.

        Args:
            name: Of its directory.
            directory: Where it is to be; whole or absent at any moment.

        Raises:
            StoreError: an object is missing or has another digest.
            DiskFull: there is no room; what was fetched is removed.
        """
        if self.manifest(name) is None:
            return False
        draft = directory.with_name(f".{name}{FETCHING}")
        try:
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Of two processes that miss it one fetches, and the other finds it.
            with locking.locked(directory.with_name(f".{name}.lock")):
                return self._fetched(name, directory, draft)
        except DiskFull:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise refused(f"{name} cannot be fetched: {error.strerror or error}", error, file=directory) from error

    def remove(self, name: str) -> int:
        """Delete an artifact for every machine; returns the bytes freed in the store."""
        content = self.folder.read(f"manifests/{name}.json")
        # First: a removal that is killed leaves no artifact that looks whole.
        self.folder.delete([f"manifests/{name}.json"])
        with suppress(FileNotFoundError):
            writing.put(self._seen / f"{name}.json", self._mark(name))
        objects = self.folder.names(f"artifacts/{name}")
        # By name, too: the listing may be late.
        for entry in json.loads(content)["files"].values() if content else ():
            objects.setdefault(_object(name, entry["sha256"]), int(entry["bytes"]))
        self.folder.delete(list(objects))
        return sum(objects.values())

    # ------------------------------------------------------------ inside

    def _mark(self, name: str) -> Path:
        """The file that says that an artifact was removed from the store."""
        return self._seen / f"{name}.removed"

    def _fetched(self, name: str, directory: Path, draft: Path) -> bool:
        if (directory / MANIFEST).is_file():
            return True
        content = self.folder.read(f"manifests/{name}.json")
        if content is None:
            # Removed since it was seen.
            (self._seen / f"{name}.json").unlink(missing_ok=True)
            return False
        self._download(name, json.loads(content)["files"], draft)
        (draft / MANIFEST).write_bytes(content)
        writing.sync(draft / MANIFEST)
        # Without a manifest: what a killed removal has left.
        if directory.exists():
            shutil.rmtree(directory)
        writing.put(draft, directory)
        return True

    def _download(self, name: str, files: Json, draft: Path) -> None:
        for path, entry in files.items():
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise damaged(f"the manifest of {self.folder.place(name)} names a file outside of it: {path!r}")
            target = draft / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Of a fetch that was killed; complete files need not come again.
            if target.is_file() and _fits(target, entry):
                continue
            place = _object(name, entry["sha256"])
            for last in _attempts():
                if self.folder.download(place, target) and _fits(target, entry):
                    break
                if last:
                    raise damaged(f"the object {self.folder.place(place)} is missing or damaged")
            writing.sync(target)
        for extra in sorted(p for p in draft.rglob("*") if p.is_file()):
            if extra.relative_to(draft).as_posix() not in files:
                extra.unlink()

    def _read(self, names: list[str]) -> dict[str, Json]:
        """Name → manifest, of those that there are; they are noted."""
        contents = self.folder.read_many([f"manifests/{name}.json" for name in names])
        manifests = {}
        for path, content in contents.items():
            name = PurePosixPath(path).stem
            self._note(name, content)
            manifest = _parsed(self._seen / f"{name}.json")
            if manifest is None:
                raise damaged(f"the manifest {self.folder.place(path)} cannot be read")
            manifests[name] = manifest
        return manifests

    def _note(self, name: str, content: bytes) -> None:
        try:
            self._seen.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(self._seen / f"{name}.json", content, mode=0o600, shared=True)
            # Made again, it counts as any other.
            self._mark(name).unlink(missing_ok=True)
        except OSError as error:
            raise refused(f"a manifest cannot be noted: {error.strerror}", error, file=self._seen) from error


def _attempts() -> Iterator[bool]:
    """For each attempt: is it the last?"""
    return iter([*[False] * (_TRIES - 1), True])


def _object(name: str, digest: str) -> str:
    return f"artifacts/{name}/{digest}"


def _fits(path: Path, entry: Json) -> bool:
    # The size first: a file that was cut off need not be read.
    return bool(path.stat().st_size == entry["bytes"] and sha256_of(path) == entry["sha256"])


def _parsed(path: Path) -> Json | None:
    """A manifest with its files; None for one that is missing or damaged."""
    try:
        manifest: Json = json.loads(path.read_text(encoding="utf-8"))
        return manifest if isinstance(manifest["files"], dict) and isinstance(manifest["key"], str) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        log.warning("the manifest %s cannot be read: %s", path, error)
        return None
