"""Looks at the project while its server runs: `twofold watch` in a process of its own that yields to every answer."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from twofold.errors import ProjectLocked, TwofoldError
from twofold.host import children
from twofold.project import Project
from twofold.settings.watching import seconds_of
from twofold.types import Json

log = logging.getLogger(__name__)

_FIRST = 60.0
"""Seconds after the start before the first look: weights are being loaded, and first questions answered."""
_LONGEST = 3600.0
"""Seconds after which a look is ended: it hangs."""
_POLL = 0.2
_LOWEST = 19
"""Niceness: the system gives such a process what no other wants."""


class Looks:
    """Looks at a project as often as `[watch].every` says; not at all where it is empty.

    The look is a child process: its memory is free after it, and no lock of this interpreter makes an answer wait.

    Args:
        project: Open for as long as this is used.
        first: Seconds after `start` before the first look.
    """

    def __init__(self, project: Project, *, first: float = _FIRST) -> None:
        self.failure = ""
        """Why the last look failed; empty where it did not."""
        self.alarms: tuple[str, ...] = ()
        """Causes of the alarms that stood at the last look of this server."""
        self._project = project
        self._first = first
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, where it is asked for."""
        every = self._project.config.watch.every
        if every:
            self._thread = threading.Thread(
                target=self._run, args=(seconds_of(every),), daemon=True, name="twofold-looks"
            )
            self._thread.start()

    def close(self) -> None:
        """End a look that runs, and begin no other."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def remarks(self) -> list[str]:
        """What is to be said of the server's state."""
        remarks = [f"alarm: {', '.join(self.alarms)}; the page Watch says what to do"] if self.alarms else []
        return [*remarks, f"the project cannot be looked at: {self.failure}"] if self.failure else remarks

    def _run(self, every: float) -> None:
        wait = max(self._first, self._left(every))
        while not self._stop.wait(wait):
            # Of servers that share a database whoever comes first looks for all.
            if self._project.places.shared is not None and (left := self._left(every)) > 1:
                wait = left
                continue
            start = time.monotonic()
            try:
                self._look()
            except Exception as error:
                # Whatever it is: without this thread nobody would look any more, and nobody would know.
                self.failure = f"{type(error).__name__}: {error}"
                log.warning("a look at the project failed", exc_info=error)
            wait = max(0.0, every - (time.monotonic() - start))

    def _left(self, every: float) -> float:
        """Seconds until the next look is due, by the last one of whoever looked."""
        watching = self._project.watching
        if not watching.looked:
            return 0.0
        try:
            with watching.records(readonly=True) as records:
                times = records.times(1)
        except TwofoldError:  # the look itself says it
            return 0.0
        age = (datetime.now(UTC) - times[0]).total_seconds() if times else every
        # Of a clock that was set back the age says nothing.
        return max(0.0, every - age) if age >= 0 else 0.0

    def _look(self) -> None:
        words = ["watch", "--once", "--json", "--quiet", "-C", str(self._project.directory)]
        # Files and no pipes: a pipe that nobody reads fills, and stops the child.
        with tempfile.TemporaryFile() as out:
            with children.running(
                "twofold", [*words, *_settings(self._project.overrides)], stdout=out, stderr=subprocess.DEVNULL
            ) as child:
                yield_to_others(child.pid)
                end = time.monotonic() + _LONGEST
                while child.poll() is None and time.monotonic() < end:
                    if self._stop.wait(_POLL):
                        return
                code = child.poll()
            out.seek(0)
            self._take(out.read(), code)

    def _take(self, output: bytes, code: int | None) -> None:
        """Note what a look has said.

        Args:
            output: Its report, or an error, as JSON.
            code: Its exit code; None where it was ended.
        """
        try:
            reply: Json = json.loads(output)
        except ValueError:
            reply = {}
        error = reply.get("error")
        if error and error["code"] == ProjectLocked.code:
            return  # somebody else looks at this moment
        if error or "state" not in reply:
            ended = f"the look took more than {_LONGEST:g} s" if code is None else f"the look ended with code {code}"
            self.failure = error["message"] if error else ended
            return
        self.failure = "; ".join(reply["remarks"]) if reply["state"] == "failed" else ""
        self.alarms = tuple(dict.fromkeys(cause["cause"] for cause in reply["causes"]))


def yield_to_others(process: int) -> None:
    """Let a process have what no other wants, and one core at most: threads of a model wait for the slowest of them.

    Args:
        process: Its id; it must not have started a thread yet, for they inherit it.
    """
    with suppress(OSError):  # it has ended, or the system refuses: then it is an ordinary process
        if sys.platform != "win32":
            os.setpriority(os.PRIO_PROCESS, process, _LOWEST)
        if sys.platform == "linux":
            os.sched_setaffinity(process, {max(os.sched_getaffinity(0))})


def _settings(overrides: Json) -> Sequence[str]:
    """The server's own settings as options of a command."""
    import tomlkit

    words = []
    for section, values in overrides.items():
        table = tomlkit.inline_table()
        table.update(values)
        words += ["--set", f"{section}={table.as_string()}"]
    return words
