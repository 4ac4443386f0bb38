"""Artifacts: directories of derived files (adapters, merged weights), complete or absent.

An artifact is built under ``KEY.partial``, so that an interrupted build can be resumed. At the end its files are
synced, the manifest is written last, and the directory is renamed: a directory with the final name is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from twofold.errors import ConfigError, StoreError, refused
from twofold.files import writing
from twofold.types import Json

MANIFEST = "manifest.json"
_PARTIAL = ".partial"
log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9_]+")
_PIECE = 1 << 20
"""Bytes of a file read at a time for its digest."""


class Artifacts:
    """The artifacts under one directory, by key.

    Args:
        directory: The directory of all artifacts; created with the first one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, key: str) -> Path | None:
        """The finished artifact's directory, or None."""
        path = self._path(key)
        return path if (path / MANIFEST).is_file() else None

    def placed(self, options: Json) -> Json:
        """Replace ``model = "artifact:KEY"`` in the options of an embedder by the path of that tuned embedder.

        Raises:
            ConfigError: the artifact does not exist.
        """
        tag, _, key = str(options.get("model", "")).partition(":")
        if tag != "artifact":
            return options
        path = self.find(key) if key.startswith("embedder:") else None
        if path is None:
            raise ConfigError(
                f"unknown tuned embedder {key!r}", cure="Run `twofold tune --what embedder`, which prints the name."
            )
        return {**options, "model": f"path:{path.resolve() / 'model'}"}

    def working(self, key: str) -> Path:
        """The working directory of an artifact, with the files of an earlier unfinished build."""
        path = self._partial(key)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(f"the directory cannot be made: {error.strerror}", error, file=path) from error
        return path

    def finish(self, key: str, manifest: Json) -> Path:
        """Turn the working directory into the finished artifact.

        Args:
            key: The artifact's key.
            manifest: How the artifact was made; ``key``, ``made``, ``bytes`` and ``files`` (sizes, sha256) are added.

        Returns:
            The final directory.

        Raises:
            StoreError: the working directory is missing or empty, or the disk refuses.
        """
        path, partial = self._path(key), self._partial(key)
        if self.find(key) is not None:
            # made before, or meanwhile by another process
            shutil.rmtree(partial, ignore_errors=True)
            return path
        if not partial.is_dir():
            raise StoreError(
                f"the artifact {key} has no working directory to commit", file=partial, cure="Call `working` first."
            )
        try:
            (partial / MANIFEST).unlink(missing_ok=True)  # of a build that was killed before the rename
            files = {name: self._seal(partial / name) for name in _files(partial)}
            if not files:
                raise StoreError(f"nothing was made for {key}: the directory is empty", file=partial)
            whole = {
                **manifest,
                "key": key,
                "made": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "bytes": sum(int(entry["bytes"]) for entry in files.values()),
                "files": files,
            }
            text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False)
            # files, folders, manifest, directory, rename: after a crash no complete name has incomplete content
            for folder in (p for p in partial.rglob("*") if p.is_dir()):
                writing.sync(folder)
            (partial / MANIFEST).write_bytes(text.encode())
            writing.sync(partial / MANIFEST)
            writing.sync(partial)
            # without a manifest, or `find` had found it: what a killed removal has left
            if path.exists():
                shutil.rmtree(path)
            writing.put(partial, path)
        except OSError as error:
            raise refused(f"the artifact cannot be finished: {error.strerror or error}", error, file=partial) from error
        return path

    def manifest(self, key: str) -> Json:
        """The manifest of a finished artifact.

        Raises:
            StoreError: the artifact does not exist, or its manifest cannot be read.
        """
        path = self._path(key) / MANIFEST
        try:
            manifest: Json = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(f"there is no artifact {key}", file=path.parent) from error
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"the manifest of {key} cannot be read: {error}", file=path) from error
        # a directory may have been copied or renamed by hand
        if not isinstance(manifest, dict) or manifest.get("key") != key:
            raise StoreError(f"the manifest of {key} is not its own", file=path)
        return manifest

    def verify(self, key: str) -> None:
        """Read every file again and compare it with the manifest.

        Raises:
            StoreError: a file is missing, changed or not in the manifest; the message names the first such file.
        """
        cure = "Remove the artifact with `twofold gc`, or delete its directory; it is made again when needed."
        files, path = self.manifest(key)["files"], self._path(key)
        for name, entry in files.items():
            target = path / name
            if not target.is_file():
                raise StoreError(f"a file of the artifact {key} is missing", file=target, cure=cure)
            # the size first: a file that was cut off need not be read
            if target.stat().st_size != entry["bytes"] or _sha256(target) != entry["sha256"]:
                raise StoreError(f"a file of the artifact {key} is damaged", file=target, cure=cure)
        extra = sorted(set(_files(path)) - set(files) - {MANIFEST})
        if extra:
            raise StoreError(f"the artifact {key} contains a file that is not its own", file=path / extra[0], cure=cure)

    def list(self) -> list[Json]:
        """Manifests of all artifacts by name; an unfinished artifact is ``{"key", "bytes", "finished": False}``.

        An artifact with a damaged manifest counts as unfinished. Folders without a key as name are ignored.
        """
        manifests: list[Json] = []
        if not self.directory.is_dir():
            return manifests
        for path in sorted(p for p in self.directory.iterdir() if p.is_dir()):
            name = path.name.removesuffix(_PARTIAL)
            # a hyphen stands for the key's colon, and a tag may have more of them
            tag, _, rest = name.rpartition("-")
            key = f"{tag}:{rest}"
            if not _KEY.fullmatch(key):
                continue
            unfinished = {"key": key, "bytes": _size(path), "finished": False}
            if path.name != name:
                manifests.append(unfinished)
            elif (path / MANIFEST).is_file():
                try:
                    manifests.append({**self.manifest(key), "finished": True})
                except StoreError as error:  # a damaged artifact must not stop unrelated commands, such as `forget`
                    log.warning("%s", error)
                    manifests.append(unfinished)
        return manifests

    def remove(self, key: str) -> int:
        """Delete an artifact, finished or not; returns the bytes freed."""
        freed = 0
        for path in (self._path(key), self._partial(key)):
            if path.is_dir():
                freed += _size(path)
                (path / MANIFEST).unlink(missing_ok=True)  # first: a killed removal leaves no complete-looking artifact
                shutil.rmtree(path)
        return freed

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key) or key.startswith("."):
            raise StoreError(f"{key!r} is not an artifact key", cure="Write a key such as adapter:3f2a…")
        # Windows allows no colon in a name
        return self.directory / key.replace(":", "-")

    def _partial(self, key: str) -> Path:
        path = self._path(key)
        return path.with_name(path.name + _PARTIAL)

    @staticmethod
    def _seal(path: Path) -> Json:
        writing.sync(path)
        return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def file_digests(path: Path) -> dict[str, str]:
    """File → sha256 of all files in a directory, as in a manifest."""
    return {name: _sha256(path / name) for name in _files(path) if name != MANIFEST}


def _files(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink())


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            state.update(piece)
    return state.hexdigest()
