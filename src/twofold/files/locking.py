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
"""The byte that is locked on Windows, where a locked byte cannot be read: behind all that such a file says."""
_AGAIN = 0.1


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made if missing, once nobody else does."""
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
        wait: Wait for whoever holds the lock.

    Raises:
        BlockingIOError: somebody holds it, and it is not waited for.
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
    """Lock or unlock the one byte; False when somebody else holds it."""
    import msvcrt

    os.lseek(file, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file, getattr(msvcrt, mode), 1)  # type: ignore[attr-defined]
    except PermissionError:
        return False
    finally:
        os.lseek(file, 0, os.SEEK_SET)
    return True
