"""A project has one writer: an advisory lock that the system releases when its process ends (`locking`)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from types import TracebackType

from twofold.errors import ProjectLocked, StoreError, refused
from twofold.files import locking

log = logging.getLogger(__name__)


class ProjectLock:
    """The writer's lock of a project; use as a context manager.

    Taking the lock never waits. The system releases the lock of a process that dies, however it dies; the file stays
    and names the last holder.

    Args:
        path: The lock file; created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def __enter__(self) -> ProjectLock:
        """Take the lock.

        Raises:
            ProjectLocked: another process holds the lock; the message names it and its command.
            StoreError: the file cannot be created, or this object already holds the lock.
        """
        if self._file is not None:
            raise StoreError("this lock is already held", file=self.path, cure="Use one lock object for each writer.")
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise refused(f"the lock cannot be opened: {error.strerror}", error, file=self.path) from error
        try:
            locking.take(file, wait=False)
        except BlockingIOError as error:
            note = os.read(file, 4096).decode("utf-8", "replace").strip()
            os.close(file)
            pid, _, command = note.partition(" ")
            holder = (f"process {pid}" if pid else "another process") + (f" ({command})" if command else "")
            raise ProjectLocked(f"{holder} is writing to this project", file=self.path) from error
        except OSError as error:
            os.close(file)
            raise StoreError(f"the lock cannot be taken: {error.strerror}", file=self.path) from error
        try:
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()} {_command()}\n".encode("utf-8", "replace"))
        except OSError:  # a full disk: the lock is held all the same, and `gc` must be able to take it
            log.warning("the lock of %s does not say who holds it: the disk is full", self.path.parent)
        self._file = file
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                # the note must not name a process that holds the lock no more
                os.ftruncate(file, 0)
                locking.give(file)
            os.close(file)


def holder(path: Path) -> str:
    """The command of the process that holds a lock, for people; empty where none does.

    The lock is not touched: a look at it must not make a writer fail.

    Args:
        path: The lock file.
    """
    try:
        pid, _, command = path.read_text(encoding="utf-8", errors="replace").strip().partition(" ")
        # Of a process that was killed the note stays. Windows has no harmless signal, so that it is believed there.
        if sys.platform != "win32":
            os.kill(int(pid), 0)
    except PermissionError:  # it runs, as another user
        return command or "another process"
    except (OSError, ValueError):
        return ""
    return command or "another process"


def _command() -> str:
    """Program and subcommand only: arguments contain questions, names and secrets, and others may read the file."""
    program = os.path.basename(sys.argv[0] or "python")
    is_twofold = program in ("twofold", "__main__.py")  # of another program the first argument may be anything
    words = [program, *(sys.argv[1:2] if is_twofold else ())]
    return " ".join(word for word in words if not word.startswith("-"))[:80]
