"""Atomic writing that survives a power failure: the only module that replaces files.

A rename is atomic, but does not order writes to the disk: without a sync before it the new name may point to an empty
file after a power failure, and without a sync after it the old file may be back.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from twofold.errors import refused
from twofold.files import locking


def write(path: Path, content: str | bytes, *, mode: int | None = None, shared: bool = False) -> None:
    """Write a file atomically; text as UTF-8, with line ends unchanged.

    Args:
        path: The file, in an existing folder.
        content: The whole content.
        mode: Permissions of the file; by default those of the file that is replaced.
        shared: Other threads or processes may write the same file at the same time.

    Raises:
        OSError: the disk refuses; the file is then unchanged.
    """
    with replacing(path, mode=mode, shared=shared) as draft:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def append(path: Path, line: bytes, *, mode: int) -> None:
    """Append a line to a file (created if missing) so that it is on the disk; other processes may append as well.

    Args:
        path: The file, in an existing folder.
        line: The line without its end.
        mode: Permissions of a new file.

    Raises:
        OSError: the disk refuses; nothing of the line is left in the file.
    """
    with locking.locked(path.with_name(f".{path.name}.lock")):
        size = path.stat().st_size if path.exists() else 0
        broken = False
        if size:
            with path.open("rb") as stream:
                stream.seek(size - 1)
                # a writer that was killed may have left a line without an end
                broken = stream.read(1) != b"\n"
        extend(path, (b"\n" if broken else b"") + line + b"\n", at=size, mode=mode)


def extend(path: Path, data: bytes, *, at: int, mode: int) -> None:
    """Write to the end of a file (created if missing) so that it is on the disk; the caller has the file's lock.

    Args:
        path: The file, in an existing folder.
        data: What is added.
        at: Size of the file before.
        mode: Permissions of a new file.

    Raises:
        OSError: the disk refuses; nothing of the data is left in the file.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        os.lseek(file, at, os.SEEK_SET)
        try:
            rest = memoryview(data)
            while rest:
                # the system may take less than it is given
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        except OSError:
            # no half of a line stays
            os.ftruncate(file, at)
            raise
    finally:
        os.close(file)


def save(path: Path, text: str) -> None:
    """`write` a file that the user named, and create its folder if missing.

    Raises:
        StoreError: the file cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)
    except OSError as error:
        failure = refused(f"it cannot be written: {error.strerror or error}", error, file=path)
        failure.cure = "Name a file in a folder that can be written to, on a disk with room."
        raise failure from error


@contextmanager
def replacing(path: Path, *, mode: int | None = None, shared: bool = False) -> Iterator[Path]:
    """Yield a draft to write, which replaces `path` if the block succeeds, and is removed otherwise.

    The next draft overwrites one that a killed process left behind, unless it is `shared` (see `write`).

    Raises:
        OSError: the disk refuses.
    """
    if mode is None:
        # Of a new file the process decides; one that is for its owner alone stays so.
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
    suffix = f".{os.getpid()}-{threading.get_ident()}" if shared else ""
    draft = path.with_name(f".{path.name}{suffix}.partial")
    try:
        yield draft
        sync(draft)
        if mode is not None:
            draft.chmod(mode)
        put(draft, path)
    except BaseException:  # an interruption, too
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def put(draft: Path, path: Path) -> None:
    """Rename a finished file or folder to its final name, durably; replaces an existing file, or an empty folder.

    Raises:
        OSError: the disk refuses.
    """
    os.replace(draft, path)
    with suppress(OSError):  # the rename is done; some file systems cannot sync a folder
        sync(path.parent)


def sync(path: Path) -> None:
    """Force a file or folder to the disk.

    Raises:
        OSError: the disk refuses.
    """
    if not path.is_dir():
        with path.open("r+b") as stream:  # Windows syncs only what is open for writing
            os.fsync(stream.fileno())
    elif hasattr(os, "O_DIRECTORY"):  # Windows has no such thing: its file system writes directories in order
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def flush(stream: IO[Any]) -> None:
    """Force the content of an open file to the disk.

    Raises:
        OSError: the disk refuses.
    """
    stream.flush()
    os.fsync(stream.fileno())
