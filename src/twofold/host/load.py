"""How much of the processor other programs take while something is timed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType

_STAT = Path("/proc/stat")
_TICKS = 0.01
"""Seconds of a tick of the kernel's count (USER_HZ is 100 wherever Linux runs)."""
_IDLE = (3, 4)
"""Columns of a line of ``/proc/stat`` in which nothing computes: idle, and waiting for input."""
_GUEST = 8
"""First column whose time stands in others, too (proc(5))."""
_LEAST = 0.5
"""Seconds of the clock below which the count, in ticks, tells nothing."""


class Load:
    """Context manager that is entered for each stretch of work and adds up; where Linux does not tell, all is None."""

    def __init__(self) -> None:
        self._elapsed = self._taken = 0.0
        self._known = True
        self._average: float | None = None

    def __enter__(self) -> Load:
        self._begun = time.perf_counter(), _busy(), _spent()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        began, busy, mine = self._begun
        now = _busy()
        if busy is None or now is None:
            self._known = False
            return
        self._elapsed += time.perf_counter() - began
        # A stretch shorter than a tick may come out negative; the sum over all of them evens that out.
        self._taken += (now - busy) - (_spent() - mine)
        if hasattr(os, "getloadavg"):
            self._average = max(self._average or 0.0, os.getloadavg()[0])

    @property
    def others(self) -> float | None:
        """Share in [0, 1] of the cores this process may use that others took; None: too short, or unknown here."""
        if not self._known or self._elapsed < _LEAST:
            return None
        return min(1.0, max(0.0, self._taken / (self._elapsed * len(_cores()))))

    @property
    def average(self) -> float | None:
        """The highest load average of a minute (programs that compute or wait for the disk), this one's included."""
        return self._average


def _cores() -> set[int]:
    # macOS and Windows have no such call
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _spent() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _busy() -> float | None:
    """Seconds that the cores this process may use have computed for anybody; None where nothing tells."""
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    names = {f"cpu{core}" for core in _cores()}
    total = 0
    for line in lines:
        name, *columns = line.split()
        if name in names:
            total += sum(int(count) for place, count in enumerate(columns[:_GUEST]) if place not in _IDLE)
    return total * _TICKS
