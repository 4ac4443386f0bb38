"""A project has one writer: an advisory lock that the system releases when its process ends (`locking`)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from twofold.errors import ProjectLocked, StoreError, refused
from twofold.files import locking

if TYPE_CHECKING:
    from twofold.plugins.protocols import Progress

log = logging.getLogger(__name__)
_EVERY = 1.0
"""Seconds between two notes of one stage: progress is told thousands of times a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterAtWork:
    """What a look at the lock of a project tells of its writer."""

    command: str
    """Program and subcommand."""
    stage: str
    """What it does at the moment, such as ``answer rag``; empty where it does not say."""
    done: int
    """Items of the stage that are done."""
    total: int
    """Items of the stage; 0 where nobody knows."""


class ProjectLock:
    """The writer's lock of a project; use as a context manager.

    Taking the lock never waits. The system releases the lock of a process that dies, however it dies; the file stays
    and names the last holder.

    Args:
        path: The lock file; created if missing.
        doing: What its holder does, for the message to others.
        cure: What others can do about it; by default that of writers.
    """

    def __init__(self, path: Path, *, doing: str = "writing to", cure: str | None = None) -> None:
        self.path = path
        self._doing, self._cure = doing, cure
        self._file: int | None = None
        self.beside: list[AbstractContextManager[object]] = []
        """What else is entered with the lock, in this order after the file's lock, and left before it: leases that keep
        writers on other machines away, exchanges with them."""
        self._entered = contextlib.ExitStack()

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
            note = os.read(file, 4096).decode("utf-8", "replace")
            os.close(file)
            pid, _, name = note.partition("\n")[0].strip().partition(" ")
            holder = (f"process {pid}" if pid else "another process") + (f" ({name})" if name else "")
            raise ProjectLocked(f"{holder} is {self._doing} this project", file=self.path, cure=self._cure) from error
        except OSError as error:
            os.close(file)
            raise StoreError(f"the lock cannot be taken: {error.strerror}", file=self.path) from error
        self._file = file
        try:
            self._note("")
        except OSError:  # a full disk: the lock is held all the same, and `gc` must be able to take it
            with contextlib.suppress(OSError):
                # Not the note of whoever was killed before.
                os.ftruncate(file, 0)
            log.warning("the lock of %s does not say who holds it: the disk is full", self.path.parent)
        try:
            self._widen()
            for context in self.beside:
                self._entered.enter_context(context)
        except BaseException as error:  # an interruption, too: the lock must not outlive the block that never began
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _widen(self) -> None:
        """Take what the lock is beyond this folder."""

    def telling(self, progress: Progress) -> Progress:
        """`progress`, noted in the lock file, too, for whoever looks at the project meanwhile (`at_work`)."""
        last = ("", -_EVERY)

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal last
            progress(stage, done, total)
            now = time.monotonic()
            # A new stage at once: a long one may tell nothing more until its end.
            if self._file is None or (stage == last[0] and now - last[1] < _EVERY):
                return
            last = (stage, now)
            # A full disk stops no work.
            with contextlib.suppress(OSError):
                self._note(f"{stage}\t{done}\t{total}\n")

        return tell

    def _note(self, work: str) -> None:
        """Write who holds the lock and what they do."""
        if self._file is None:
            return
        text = f"{os.getpid()} {command()}\n{work}".encode("utf-8", "replace")
        os.lseek(self._file, 0, os.SEEK_SET)
        # Cut afterwards: a reader sees the command at any moment.
        os.write(self._file, text)
        os.ftruncate(self._file, len(text))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._entered.__exit__(kind, error, trace)
        finally:
            self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                # the note must not name a process that holds the lock no more
                os.ftruncate(file, 0)
                locking.give(file)
            os.close(file)


def at_work(path: Path) -> WriterAtWork | None:
    """The process that holds a lock, for people; None where none does.

    The lock is not touched: a look at it must not make a writer fail.

    Args:
        path: The lock file.
    """
    try:
        first, _, second = path.read_text(encoding="utf-8", errors="replace").partition("\n")
        pid, _, name = first.strip().partition(" ")
        # Of a process that was killed the note stays. Windows has no harmless signal, so that it is believed there.
        if sys.platform != "win32":
            os.kill(int(pid), 0)
    except PermissionError:  # it runs, as another user
        pass
    except (OSError, ValueError):
        return None
    return read_work(name, second)


def read_work(name: str, work: str) -> WriterAtWork:
    """What the note of a writer says.

    Args:
        name: Its command.
        work: Stage, items done and items, with tabs between.
    """
    stage, _, counts = work.strip().partition("\t")
    done, _, total = counts.partition("\t")
    # A note that is being written may be read in half.
    whole = done.isdecimal() and total.isdecimal()
    return WriterAtWork(
        command=name or "another process",
        stage=stage if whole else "",
        done=int(done) if whole else 0,
        total=int(total) if whole else 0,
    )


def command() -> str:
    """Program and subcommand only: arguments contain questions, names and secrets, and others may read the file."""
    program = os.path.basename(sys.argv[0] or "python")
    is_twofold = program in ("twofold", "__main__.py")  # of another program the first argument may be anything
    # Started by `python -m twofold`, it is the same command to people.
    words = ["twofold", *sys.argv[1:2]] if is_twofold else [program]
    return " ".join(word for word in words if not word.startswith("-"))[:80]
