"""Artifacts: directories of derived files (adapters, merged weights), complete or absent.

An artifact is built under ``KEY.partial``, so that an interrupted build can be resumed. At the end its files are
synced, the manifest is written last, and the directory is renamed: a directory with the final name is complete.
Where the project has an object store, an artifact is published there before that, and the directory is a cache.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twofold.errors import ConfigError, StoreError, refused
from twofold.files import writing
from twofold.hashing import sha256_of
from twofold.store.published import FETCHING, MANIFEST, PublishedArtifacts
from twofold.types import Json

_PARTIAL = ".partial"
log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9_]+")


class Artifacts:
    """The artifacts under one directory, by key.

    Args:
        directory: The directory of all artifacts; created with the first one.
        published: Those that the project shares with other machines; None where it shares none.
    """

    def __init__(self, directory: Path, published: PublishedArtifacts | None = None) -> None:
        self.directory = directory
        self.published = published

    def find(self, key: str) -> Path | None:
        """The finished artifact's directory, or None; one that another machine has published is fetched.

        Raises:
            StoreError: it cannot be fetched, or the object store does not answer.
        """
        path = self._path(key)
        if (path / MANIFEST).is_file():
            return path
        return path if self.published is not None and self.published.fetch(path.name, path) else None

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
            # Before the rename: what is finished here is in the store, too, and of two machines the first one's counts.
            if self.published is not None and not self.published.publish(path.name, partial):
                log.warning("%s was finished by another machine first, whose files are used", key)
                shutil.rmtree(partial)
                return self._fetched(key)
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
            if self.published is not None and (theirs := self.published.manifest(path.parent.name)) is not None:
                return theirs
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
        if self.published is not None:
            self.find(key)
            cure = "Delete its directory: it is fetched again from the object store when needed."
        files, path = self.manifest(key)["files"], self._path(key)
        for name, entry in files.items():
            target = path / name
            if not target.is_file():
                raise StoreError(f"a file of the artifact {key} is missing", file=target, cure=cure)
            # the size first: a file that was cut off need not be read
            if target.stat().st_size != entry["bytes"] or sha256_of(target) != entry["sha256"]:
                raise StoreError(f"a file of the artifact {key} is damaged", file=target, cure=cure)
        extra = sorted(set(_files(path)) - set(files) - {MANIFEST})
        if extra:
            raise StoreError(f"the artifact {key} contains a file that is not its own", file=path / extra[0], cure=cure)

    def list(self, *, here: bool = False) -> list[Json]:
        """Manifests of all artifacts by name; an unfinished artifact is ``{"key", "bytes", "finished": False}``.

        An artifact with a damaged manifest counts as unfinished. Folders without a key as name are ignored. Artifacts
        of other machines are those that `refresh` has seen: nobody is asked.

        Args:
            here: Only those whose files lie here.
        """
        manifests = list(self._here())
        if self.published is None or here:
            return manifests
        keys = {manifest["key"] for manifest in manifests if manifest["finished"]}
        theirs = [{**m, "finished": True} for m in self.published.manifests() if m["key"] not in keys]
        return sorted([*manifests, *theirs], key=lambda manifest: str(manifest["key"])) if theirs else manifests

    def refresh(self) -> None:
        """See what other machines have published, and publish what was finished before there was a store.

        Raises:
            StoreError: the object store does not answer, or refuses.
        """
        if self.published is None:
            return
        self.published.refresh()
        there = {manifest["key"] for manifest in self.published.manifests()}
        for manifest in self._here():
            if manifest["finished"] and manifest["key"] not in there:
                path = self._path(manifest["key"])
                if self.published.withdrawn(path.name):
                    continue
                if not self.published.publish(path.name, path):
                    log.warning("the store has other files of %s; this machine goes on with its own", manifest["key"])

    def _here(self) -> Iterator[Json]:
        if not self.directory.is_dir():
            return
        for path in sorted(p for p in self.directory.iterdir() if p.is_dir()):
            name = path.name.removesuffix(_PARTIAL)
            # a hyphen stands for the key's colon, and a tag may have more of them
            tag, _, rest = name.rpartition("-")
            key = f"{tag}:{rest}"
            if not _KEY.fullmatch(key):
                continue
            unfinished = {"key": key, "bytes": _size(path), "finished": False}
            if path.name != name:
                yield unfinished
            elif (path / MANIFEST).is_file():
                try:
                    manifest = self.manifest(key)
                except StoreError as error:  # a damaged artifact must not stop unrelated commands, such as `forget`
                    log.warning("%s", error)
                    yield unfinished
                else:
                    yield {**manifest, "finished": True}

    def remove(self, key: str) -> int:
        """Delete the local files of an artifact, finished or not; returns the bytes freed."""
        freed = 0
        for path in (self._path(key), self._partial(key)):
            if path.is_dir():
                freed += _size(path)
                (path / MANIFEST).unlink(missing_ok=True)  # first: a killed removal leaves no complete-looking artifact
                shutil.rmtree(path)
        return freed

    def old(self, age: timedelta) -> Iterator[Json]:
        """Manifests of the published artifacts that were made longer ago than `age`."""
        latest = datetime.now(UTC) - age
        for manifest in self.published.manifests() if self.published is not None else ():
            with suppress(ValueError, LookupError, TypeError):  # one that does not say when it was made stays
                if datetime.fromisoformat(manifest["made"]) < latest:
                    yield manifest

    def withdraw(self, key: str) -> int:
        """Delete an artifact in the object store, for every machine; returns the bytes freed there.

        Raises:
            StoreError: the object store does not answer, or refuses.
        """
        return self.published.remove(self._path(key).name) if self.published is not None else 0

    def clear(self) -> int:
        """Delete what fetches that were killed have left; returns the bytes freed."""
        freed = 0
        for path in self.directory.glob(f".*{FETCHING}"):
            freed += _size(path)
            shutil.rmtree(path, ignore_errors=True)
        return freed

    def _fetched(self, key: str) -> Path:
        path = self.find(key)
        if path is None:
            raise StoreError(
                f"the artifact {key} was removed from the store while it was finished", file=self.directory
            )
        return path

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
        return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def file_digests(path: Path) -> dict[str, str]:
    """File → sha256 of all files in a directory, as in a manifest."""
    return {name: sha256_of(path / name) for name in _files(path) if name != MANIFEST}


def _files(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink())
