"""Progress on stderr: a live display with time left on a terminal, plain lines at most every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID

    from twofold.plugins.protocols import Progress

EVERY = 5.0
"""Seconds between plain lines of one stage."""


@contextmanager
def showing(*, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Progress]:
    """A ``progress(stage, done, total)`` callable for the length of a command."""
    stream = stream or sys.stderr
    if quiet:
        yield lambda _stage, _done, _total: None
    elif stream.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Left

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            Left(compact=True),
        )
        with Progress(*columns, console=Console(file=stream), refresh_per_second=4) as display:
            yield _Live(display)
    else:
        lines = PlainLines(stream)
        yield lines
        lines.finish()


class _Live:
    def __init__(self, display: Display) -> None:
        self.display = display
        self.task: TaskID | None = None
        self.stage = ""
        self.last = (0, 0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        # A bar for each stage; a stage that begins anew (the next arm, the next source) gets a bar of its own.
        if self.task is None or stage != self.stage or _again(self.last, done):
            if self.task is not None:
                self.display.stop_task(self.task)
            self.task = self.display.add_task(stage, total=total or None)
        self.stage = stage
        self.last = (done, total)
        self.display.update(self.task, completed=done, total=total or None)


class PlainLines:
    """Lines such as ``answer rag: 64/129, 12 s left``: the first and last of a stage, and one every few seconds.

    Args:
        stream: Where to write.
        clock: Seconds that only rise.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.stage = ""
        self.began = self.written = 0.0
        self.start = 0
        self.last: tuple[int, int] | None = None
        self.shown: tuple[int, int] | None = None
        self.paused: dict[str, tuple[float, int, tuple[int, int]]] = {}
        """Unfinished stage that another one followed → when it began, from which count, and its last (done, total)."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` (0: unknown) of a stage are done."""
        now = self.clock()
        if stage != self.stage or (self.last is not None and _again(self.last, done)):
            self.finish()
            if self.last is not None and self.last[0] < self.last[1]:
                self.paused[self.stage] = self.began, self.start, self.last
            self.stage, self.began, self.start = stage, now, done
            before = self.paused.pop(stage, None)
            # Training goes on after each score on dev: what it took is counted from its first step.
            if before is not None and not _again(before[2], done):
                self.began, self.start = before[:2]
            self.shown = None
        self.last = (done, total)
        # The first and the last count are always printed: a log shows that a stage began, and that it ended.
        if self.shown is None or (total and done >= total) or now - self.written >= EVERY:
            self._say(now)

    def finish(self) -> None:
        """Say the last count of the stage under way, if it was not said."""
        if self.stage:
            self._say(self.clock())

    def _say(self, now: float) -> None:
        if self.last is None or self.last == self.shown:
            return
        (done, total), spent = self.last, now - self.began
        count = f"{done}/{total}" if total else str(done)
        left = ""
        # What was done before this run took no time now: a resumed stage counts from where it began.
        if total > done > self.start and spent > 1:
            left = f", {duration(spent * (total - done) / (done - self.start))} left"
        elif total and done >= total and spent >= 1:
            left = f", took {duration(spent)}"
        self.stream.write(f"{self.stage}: {count}{left}\n")
        self.stream.flush()
        self.written = now
        self.shown = self.last


def _again(last: tuple[int, int], done: int) -> bool:
    """Does a stage of the same name begin anew, after (done, total) of the one before?"""
    return done < last[0]


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
