"""Files that appear whole or not at all and outlive a power failure: the only module that puts one in another's place.

A rename is atomic, but says nothing of what is on the disk: without a sync before it the new name may lead to an empty
file after a power failure, and without one after it the old file may be back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from twofold.errors import refused


def write(path: Path, content: str | bytes, *, mode: int | None = None, shared: bool = False) -> None:
    """Write a file whole or not at all; text as UTF-8, its line ends as they are.

    Args:
        path: The file, in a folder that exists.
        content: All of it.
        mode: Permissions of the file.
        shared: Other threads or processes may write the same file at the same time.

    Raises:
        OSError: the disk refuses; the file is then as it was before.
    """
    with replacing(path, mode=mode, shared=shared) as draft:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def save(path: Path, text: str) -> None:
    """`write` a file that somebody asked for, in a folder that is made where it is missing.

    Raises:
        StoreError: the place refuses it.
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
    """A draft to write, which takes the place of `path` where nothing went wrong, and is removed otherwise.

    A draft that a kill left behind is written over by the next one, unless it is `shared`: see `write`.

    Raises:
        OSError: the disk refuses.
    """
    suffix = f".{os.getpid()}-{threading.get_ident()}" if shared else ""
    draft = path.with_name(f".{path.name}{suffix}.partial")
    try:
        yield draft
        sync(draft)
        if mode is not None:
            draft.chmod(mode)
        put(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def put(draft: Path, path: Path) -> None:
    """Give a finished file or folder its final name, durably; a file of that name goes, a folder must be empty.

    Raises:
        OSError: the disk refuses.
    """
    os.replace(draft, path)
    with suppress(OSError):  # the name is given all the same; some file systems sync no folder
        sync(path.parent)


def sync(path: Path) -> None:
    """Have a file or folder on the disk.

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
    """Have what was written to an open file on the disk.

    Raises:
        OSError: the disk refuses.
    """
    stream.flush()
    os.fsync(stream.fileno())
