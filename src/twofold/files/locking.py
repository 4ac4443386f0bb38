"""Advisory locks on open files that the system drops with their process: flock(2), and byte locks on Windows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:
    _FLOCK = False
else:
    _FLOCK = True

_FAR = 1 << 30
"""The byte that is locked on Windows, where a locked byte cannot be read: far behind the file's content."""
_AGAIN = 0.1
"""Seconds between two attempts on Windows, which cannot wait for a lock without a limit."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock of a file (created if missing) and hold it in the block."""
    # for appending: that creates a missing file, and empties none
    with path.open("ab") as file:
        take(file.fileno(), wait=True)
        try:
            yield
        finally:
            give(file.fileno())


def take(file: int, *, wait: bool) -> None:
    """Lock an open file.

    Args:
        file: Its descriptor, open for writing; its position is at the start afterwards.
        wait: Wait while another process holds the lock.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
    """
    if _FLOCK:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    while not _byte(file, "LK_NBLCK"):
        if not wait:
            raise BlockingIOError("somebody holds the lock")
        time.sleep(_AGAIN)


def give(file: int) -> None:
    """Drop the lock of an open file."""
    if _FLOCK:
        fcntl.flock(file, fcntl.LOCK_UN)
    else:
        _byte(file, "LK_UNLCK")


def _byte(file: int, mode: str) -> bool:
    """Lock or unlock the byte at `_FAR`; False when another process holds it."""
    import msvcrt

    os.lseek(file, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file, getattr(msvcrt, mode), 1)  # type: ignore[attr-defined]
    except PermissionError:
        return False
    finally:
        os.lseek(file, 0, os.SEEK_SET)
    return True
