"""Several processes behind one address: each is a whole server, and what they share is the database.

They accept from one listening socket, so that the system gives a connection to whichever has time. A process that dies
loses the answers that it was writing, and nothing else; another one takes its place.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from twofold.errors import ServingError
from twofold.host import children

LISTENING = "--listening"
"""Option of `twofold serve` by which a process is given the descriptor of the socket."""
_LOOK = 0.1
"""Seconds between two looks at the processes."""
_DEATHS = 5
"""Deaths in `_WHILE` seconds after which none is started again: a fault that comes at once does not pass by itself."""
_WHILE = 60.0
_LATE = 5.0
"""Seconds beyond the grace that a process has to end."""


class _Process:
    """One of the processes, and what it said when it was ready."""

    def __init__(self, child: subprocess.Popen[bytes], stack: ExitStack) -> None:
        self.child = child
        self.stack = stack
        self.ready: dict[str, Any] | None = None
        threading.Thread(target=self._read, daemon=True, name="twofold-ready").start()

    def _read(self) -> None:
        stream = self.child.stdout
        # ValueError: closed, or no JSON: then it never gets ready.
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(stream.readline()) if stream is not None else {}
            # Else it is an error, after which the process ends.
            self.ready = record if "url" in record else None


def run(
    words: Sequence[str], listening: socket.socket, *, count: int, grace: float, ready: Callable[[list[Any]], None]
) -> None:
    """Run so many processes until a signal ends them.

    Args:
        words: The command of each, ``serve …`` with the options of this one.
        listening: The socket from which all accept.
        count: How many.
        grace: Seconds that their answers have to end.
        ready: Called with what each said once all take requests.

    Raises:
        ServingError: a process ended before it took requests, or processes die again and again.
    """
    listening.set_inheritable(True)
    command = [*words, LISTENING, str(listening.fileno())]
    deaths: list[float] = []
    running: list[_Process] = []
    announced = False
    with _stopping() as stop:
        try:
            running += [_started(command, listening) for _ in range(count)]
            while not stop.wait(_LOOK):
                for place, process in enumerate(running):
                    code = process.child.poll()
                    if code is None:
                        continue
                    process.stack.close()
                    deaths = [at for at in deaths if time.monotonic() - at < _WHILE] + [time.monotonic()]
                    if process.ready is None or len(deaths) >= _DEATHS:
                        raise ServingError(
                            f"a process of the server ended with code {code}",
                            cure="Read its last words above; without --processes the server says more.",
                        )
                    running[place] = _started(command, listening)
                if not announced and all(process.ready for process in running):
                    announced = True
                    ready([process.ready for process in running])
        finally:
            _end(running, seconds=grace + _LATE)


def _started(command: Sequence[str], listening: socket.socket) -> _Process:
    stack = ExitStack()
    child = stack.enter_context(
        children.running("twofold", command, stdout=subprocess.PIPE, stderr=None, inherited=[listening.fileno()])
    )
    return _Process(child, stack)


def _end(running: Sequence[_Process], *, seconds: float) -> None:
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.child.terminate()
    end = time.monotonic() + seconds
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.child.wait(max(0.0, end - time.monotonic()))
        process.stack.close()


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    # Else the command line, which hears of signals by a descriptor, would end this process before the others are done.
    descriptor = signal.set_wakeup_fd(-1)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)
