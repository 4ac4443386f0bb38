"""A folder in an object store, through fsspec: small files created once, large files, and errors that name the bucket.

Only what every such store promises is used: an object is whole or absent, and a conditional write creates a name once.
Nothing is found by listing that can be read by its name, for a listing may be late.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twofold.errors import DatabaseRefused, DatabaseUnreachable, MissingExtra, StoreError, install, refused
from twofold.types import Json

log = logging.getLogger(__name__)

_PART = 16 << 20
"""Bytes of a part of a large file. With four at a time 128 MiB are in memory; s3fs by itself takes 500 MB."""
_PARTS = 4
_READ_TIMEOUT = 30.0
"""Seconds without a byte, after which a request is sent again."""
_TRIES = 2
"""Attempts of botocore, and as many of s3fs around them: a dead connection ends a command after two minutes."""
_DISK = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
_DOWN = (
    "Check the network, and [scale].endpoint; then run the same command again: what was finished is kept. With "
    "`--set scale.store='\"\"'` a command works with what is on this machine."
)
_DENIED = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) of an account that may list, read, write and "
    "delete in the folder; then run the same command again."
)
_DAMAGED = "Restore the object by the store's own versions or backup, or remove what it belongs to and make it again."
_SKEWED = "difference between the request time and the"


class ObjectFolder:
    """One folder and what is below it; names are relative to it, with ``/``.

    Args:
        url: ``s3://BUCKET/FOLDER``, or another that fsspec knows.
        endpoint: Address of an S3-compatible store; empty for what the environment says.

    Raises:
        MissingExtra: fsspec or the store's own package is not installed.
    """

    def __init__(self, url: str, *, endpoint: str = "") -> None:
        self.url = url.rstrip("/")
        self._s3 = url.startswith("s3://")
        try:
            import fsspec

            # A listing that fsspec keeps would not show what another machine has written since.
            options: Json = {"use_listings_cache": False}
            if self._s3:
                options |= {
                    "max_concurrency": _PARTS,
                    "default_block_size": _PART,
                    "config_kwargs": {"read_timeout": _READ_TIMEOUT, "retries": {"total_max_attempts": _TRIES}},
                }
                if endpoint:
                    options["endpoint_url"] = endpoint
            self._files: Any
            self._files, root = fsspec.core.url_to_fs(self.url, **options)
            if self._s3:
                self._files.retries = _TRIES
        except (ImportError, ValueError) as error:
            raise MissingExtra(
                f"the package for {url.partition('://')[0]}:// is not installed: {error}",
                cure=f"Run {install('scale')}.",
            ) from error
        self._root = str(root).rstrip("/")

    def place(self, name: str) -> str:
        """The whole address of an object, for messages."""
        return f"{self.url}/{name}"

    # ------------------------------------------------------------ small files

    def read(self, name: str) -> bytes | None:
        """A small object, or None."""
        return self.read_many([name]).get(name)

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Name → content of small objects, those that there are."""
        if not names:
            return {}
        paths = {self._path(name): name for name in names}
        with self._errors(names[0]):
            results = self._files.cat(list(paths), on_error="return")
            contents = {}
            for path, content in results.items():
                if isinstance(content, bytes):
                    contents[paths[path]] = content
                elif not _absent(content):
                    raise content
        return contents

    def create(self, name: str, content: bytes) -> bool:
        """Write a small object unless there is one of its name; False where another has been written before.

        Asked twice by a connection that broke, the store refuses its own object: the content decides whose it is.
        """
        with self._errors(name):
            self._parents(name)
            try:
                self._files.pipe_file(self._path(name), content, mode="create")
                return True
            except FileExistsError:
                pass
            except OSError as error:
                # Of two at the same moment Amazon refuses one with a conflict; moto and others with a condition.
                if not any(words in str(error.__cause__) for words in ("PreconditionFailed", "ConditionalRequest")):
                    raise
        return self.read(name) == content

    # ------------------------------------------------------------ large files

    def upload(self, path: Path, name: str) -> None:
        """Write a file as an object named by its content, unless it is there."""
        if self.size(name) == path.stat().st_size:
            return
        with self._errors(name):
            self._parents(name)
            options = {"chunksize": _PART, "max_concurrency": _PARTS} if self._s3 else {}
            try:
                self._files.put_file(str(path), self._path(name), **options)
            except Exception:  # of whatever kind: parts may be put together longer than the reply was waited for
                if self.size(name) != path.stat().st_size:
                    raise

    def download(self, name: str, path: Path) -> bool:
        """Write an object to a file; False where there is none.

        Raises:
            DiskFull: the disk has no room.
        """
        with self._errors(name):
            try:
                self._files.get_file(self._path(name), str(path))
            except FileNotFoundError as error:
                self._require_bucket(error)
                return False
        return True

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where there is none."""
        with self._errors(name):
            try:
                return int(self._files.info(self._path(name))["size"])
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    # ------------------------------------------------------------ many

    def names(self, prefix: str) -> dict[str, int]:
        """Name → bytes of the objects below a prefix; what was written a moment ago may be missing."""
        with self._errors(prefix):
            try:
                listed = self._files.find(self._path(prefix), detail=True)
            except FileNotFoundError as error:
                self._require_bucket(error)
                return {}
        start = len(self._root) + 1
        return {path[start:]: int(entry["size"]) for path, entry in sorted(listed.items())}

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are gone already are no error."""
        for name in names:
            with self._errors(name):
                try:
                    self._files.rm_file(self._path(name))
                except FileNotFoundError as error:
                    self._require_bucket(error)

    def keeps_versions(self) -> bool:
        """Does the bucket keep what is deleted, as a former version? False also where the account may not ask."""
        if not self._s3:
            return False
        try:
            return bool(self._files.is_bucket_versioned(self._root.partition("/")[0]))
        except Exception:  # a right that nothing else needs
            log.info("%s does not say whether it keeps former versions", self.url)
            return False

    # ------------------------------------------------------------ inside

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _parents(self, name: str) -> None:
        # A bucket has no folders; a disk that several machines share has.
        if not self._s3:
            self._files.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)

    def _require_bucket(self, error: FileNotFoundError) -> None:
        """A missing object is an answer; a missing bucket is not."""
        if _lacks_bucket(error):
            raise error

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # boto, aiohttp, fsspec and the disk each have their own
            raise _failure(error, self.url, self.place(name)) from error


def _absent(error: object) -> bool:
    return isinstance(error, FileNotFoundError) and not _lacks_bucket(error)


def _lacks_bucket(error: Exception) -> bool:
    return "NoSuchBucket" in repr(error.__cause__) or "bucket does not exist" in str(error)


def _failure(error: Exception, url: str, place: str) -> StoreError:
    """What a client's error means for who runs the command."""
    words = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno in _DISK:
        return refused(f"{place} cannot be stored here: {error.strerror or words}", error, file=error.filename)
    bucket = "/".join(url.split("/")[:3])
    kinds: list[tuple[bool, Callable[[], StoreError]]] = [
        (
            _SKEWED in words,
            lambda: DatabaseRefused(
                f"{bucket} refuses the request: this machine's clock is wrong",
                cure="Set the clock of this machine (`timedatectl set-ntp true`), then run the same command again.",
            ),
        ),
        (
            _lacks_bucket(error),
            lambda: DatabaseRefused(
                f"there is no bucket {bucket}",
                cure="Correct [scale].store (and endpoint), or make the bucket; Twofold makes none.",
            ),
        ),
        (
            isinstance(error, PermissionError) or "Credential" in type(error).__name__ or "credentials" in words,
            lambda: DatabaseRefused(f"{bucket} refuses the request for {place}: {words}", cure=_DENIED),
        ),
    ]
    for fits, failure in kinds:
        if fits:
            return failure()
    return DatabaseUnreachable(f"{bucket} does not answer as an object store: {words}", cure=_DOWN)


def damaged(what: str, *, cure: str = _DAMAGED) -> StoreError:
    """The error of an object that is missing although something names it, or has another content than was written."""
    return StoreError(what, cure=cure)
