"""Files in an object store, listed and read by fsspec: any machine that has credentials reads them by their address.

Credentials are those that the store's own tools use: for S3 the variables AWS_* and an instance's role.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from twofold.errors import FileTooLarge, MissingExtra, SourceUnreachable, install
from twofold.files.paths import HIDDEN, skipped
from twofold.files.reading import MIB
from twofold.types import Loaded

_SCHEMES = ("s3://", "gs://", "az://", "abfs://", "memory://")
_S3 = "s3://"
_MARKS = "*?["
_CONNECT, _ANSWER, _RETRIES = 5, 30, 2
"""Seconds for a connection and for an answer, and how often a request is tried again: an address where nobody listens
must not hold up a sync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file as the store lists it."""

    url: str
    size: int
    state: str
    """Its size and tag: the same means the same content."""
    named: bool
    """A path names the file itself."""


def is_address(path: str) -> bool:
    """Is this the address of a file or folder in an object store?"""
    return path.startswith(_SCHEMES)


def listed(url: str, *, endpoint: str) -> list[StoredFile]:
    """The files that an address means: an object, all below a folder, or those that a pattern matches; sorted.

    Args:
        url: The address; ``**`` for any depth.
        endpoint: Address of an S3-compatible store that is not Amazon's.

    Raises:
        MissingExtra: the store's package is not installed.
        SourceUnreachable: the store does not answer, refuses, or has nothing there.
    """
    fs, scheme = _filesystem(url, endpoint), url.split("://", 1)[0]
    pattern = any(mark in url for mark in _MARKS)
    try:
        # Another process may have written since this one listed.
        fs.invalidate_cache()
        entries = fs.glob(url, detail=True) if pattern else fs.find(url, detail=True)
    except Exception as error:  # every store has exceptions of its own
        raise _refused(error, url) from error
    files = []
    for path, entry in sorted(entries.items()):
        if entry["type"] != "file" or (not int(entry["size"]) and path.endswith("/")):
            continue
        address = f"{scheme}://{path.lstrip('/')}"
        named = not pattern and address == url.rstrip("/")
        below = address.removeprefix(_fixed(url))
        if named or not any(part.startswith(HIDDEN) for part in below.split("/")):
            tag = str(entry.get("ETag") or entry.get("etag") or entry.get("LastModified") or entry.get("created") or "")
            size = int(entry["size"])
            state = f"{size}-{tag.strip(chr(34))}" if tag else ""
            files.append(StoredFile(url=address, size=size, state=state, named=named))
    if not files and not pattern:
        raise SourceUnreachable(
            f"there is no object {url}, and none below it",
            cure="Correct `paths`, or put the files there; nothing of it was deleted.",
        )
    return files


def is_left_out(file: StoredFile, exclude: tuple[str, ...]) -> bool:
    """Is the file one of a folder or pattern that the project leaves out by its name?"""
    return not file.named and skipped(file.url.rpartition("/")[2], exclude)


def fetched(loaded: Loaded, *, endpoint: str, limit: int) -> Loaded:
    """A loaded file with its bytes in place of its address; any other as it is.

    Raises:
        SourceUnreachable: the store does not answer or refuses, or the object is gone since it was listed.
        FileTooLarge: it has more than `limit` bytes.
    """
    if not is_address(loaded.path):
        return loaded
    fs = _filesystem(loaded.path, endpoint)
    try:
        # One byte more than allowed: the object may have been replaced since it was listed.
        data = fs.cat_file(loaded.path, start=0, end=limit + 1) if limit else fs.cat_file(loaded.path)
    except Exception as error:  # every store has exceptions of its own
        raise _refused(error, loaded.path) from error
    if len(data) > limit:
        raise too_large(len(data), limit, loaded.name)
    return replace(loaded, path="", data=bytes(data))


def too_large(size: int, limit: int, name: str) -> FileTooLarge:
    """The error of an object that is larger than a file may be."""
    return FileTooLarge(
        f"the file has {size / MIB:.1f} MiB; the limit is {limit / MIB:g} MiB",
        file=name,
        cure="Split the file or raise [documents].max_mib in twofold.toml.",
    )


def _fixed(url: str) -> str:
    """The part of a pattern before its first wildcard, up to a slash."""
    first = min((url.index(mark) for mark in _MARKS if mark in url), default=len(url))
    return url[:first].rpartition("/")[0] + "/" if first < len(url) else url.rstrip("/") + "/"


def _filesystem(url: str, endpoint: str) -> Any:
    try:
        import fsspec

        if not url.startswith(_S3):
            return fsspec.filesystem(url.split("://", 1)[0])
        settings = {"connect_timeout": _CONNECT, "read_timeout": _ANSWER, "retries": {"max_attempts": _RETRIES}}
        # fsspec keeps a filesystem for each set of arguments: it is opened once a process.
        return fsspec.filesystem("s3", endpoint_url=endpoint or None, config_kwargs=settings)
    except ImportError as error:
        raise MissingExtra(
            f"{url} is in an object store, and a package that reads there is not installed: {error}",
            cure=install("scale"),
        ) from error


def _refused(error: Exception, url: str) -> SourceUnreachable:
    text = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return SourceUnreachable(
            f"there is no object {url}, and none below it",
            cure="Correct `paths`, or put the files there; nothing of it was deleted.",
        )
    if isinstance(error, PermissionError) or "credentials" in text.lower():
        return SourceUnreachable(
            f"the object store refuses {url}: {text}",
            cure="Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and allow the account to list the bucket and to "
            "read objects; nothing of it was deleted.",
        )
    return SourceUnreachable(
        f"the object store does not answer for {url}: {text}",
        cure="Check [scale].endpoint and the network, then sync again; nothing of it was deleted.",
    )
