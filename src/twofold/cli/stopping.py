"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP) end any command within three seconds, with one line on how to go on.

A signal raises `KeyboardInterrupt` in the main thread: its ``with`` blocks end children and drop locks. Python raises
it between two of its own instructions only, so a long call into native code (a model at work), or a thread that is
waited for, puts it off. A second thread therefore ends the process `PATIENCE` seconds after the signal, which wakes it
through `signal.set_wakeup_fd` whatever the main thread does. That is safe: every store survives kill -9, the system
drops the locks of a dead process, and children end with their parent (`twofold.host.children`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

PATIENCE = 2.0
"""Seconds between the signal and the end that does not ask the main thread."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
CURE = "Run the same command again: it goes on where it was."
"""Cure of the error object ``interrupted``."""
_STOPPED = "stopped: run the same command again, and it resumes where it stopped"
# Windows has no SIGHUP.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else []))
_OVER = b"\0"
"""Byte that ends the watcher at the end of the command; no signal has the number 0."""
_SHOW_CURSOR = "\x1b[?25h"
"""ANSI code: a live progress display hides the cursor, and a process that is ended cannot put it back."""


class Interrupts:
    """Ctrl-C in a conversation: the first stops the answer, a second one without a question between leaves."""

    def __init__(self) -> None:
        # Counted twice: the main thread hears of a signal when native code lets it, the watcher at once.
        self.raised = self.sent = 0

    def clear(self) -> None:
        """A question was put since."""
        self.raised = self.sent = 0

    def repeated(self) -> bool:
        """Is this one the second?"""
        return self.raised > 1


_CONVERSATIONS: list[Interrupts] = []
"""The conversation that runs, if one does; Ctrl-C is its own."""


@contextlib.contextmanager
def conversation() -> Iterator[Interrupts]:
    """Within the block Ctrl-C raises `KeyboardInterrupt` each time; the process ends by itself after the second only.

    Other signals end the process as ever.
    """
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    ignored = threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN

    def interrupt(_number: int, _frame: object) -> None:
        interrupts.raised += 1
        raise KeyboardInterrupt

    if not ignored:
        signal.signal(signal.SIGINT, interrupt)
    _CONVERSATIONS.append(interrupts)
    try:
        yield interrupts
    finally:
        _CONVERSATIONS.remove(interrupts)
        if not ignored:
            signal.signal(signal.SIGINT, before)


class Stop:
    """The reason that stopped the command, and the line about it, which is printed once.

    Args:
        as_json: Say it as an error object on stdout too.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.signal = 0
        self._lock = threading.Lock()
        self._spoken = False

    @property
    def code(self) -> int:
        """Exit code: 128 and the signal's number, as shells have it."""
        return 128 + self.signal if self.signal else INTERRUPTED

    def say(self) -> None:
        """Say how to go on, the first time."""
        if self._first():
            with contextlib.suppress(OSError, ValueError):  # a terminal that was closed takes no more
                sys.stderr.write(_STOPPED + "\n")
                sys.stderr.flush()
                sys.stdout.write(self._object())
                sys.stdout.flush()

    def end(self) -> None:
        """End the process now. The streams are passed by: the main thread may hold their locks."""
        if self._first():
            cursor = "\n" + _SHOW_CURSOR if os.isatty(2) else ""
            with contextlib.suppress(OSError):
                os.write(2, f"{cursor}{_STOPPED}\n".encode())
                os.write(1, self._object().encode())
        os._exit(self.code)

    def _first(self) -> bool:
        with self._lock:
            already = self._spoken
            self._spoken = True
        return not already

    def _object(self) -> str:
        if not self.as_json:
            return ""
        body: dict[str, Any] = {"code": "interrupted", "message": "stopped", "cure": CURE, "file": "", "line": 0}
        return json.dumps({"error": body}, indent=2) + "\n"


@contextlib.contextmanager
def stoppable(*, as_json: bool, ends_process: bool) -> Iterator[Stop]:
    """Let Ctrl-C, SIGTERM and SIGHUP stop what is done in the block; off the main thread signals are nobody's here.

    A signal that is ignored stays ignored: `nohup` goes on when its terminal closes.

    Args:
        as_json: See `Stop`.
        ends_process: The process would end after the block: after a signal it is ended there, and its threads with it.
    """
    stop = Stop(as_json=as_json)
    raised = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupt(number: int, _frame: object) -> None:
        if not raised.is_set():  # once: a second one must not break into the ending of children
            raised.set()
            stop.signal = stop.signal or number
            raise KeyboardInterrupt

    waking, woken = socket.socketpair()
    waking.setblocking(False)  # the system writes from within the signal: it must never wait
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(woken, stop, over), daemon=True, name="twofold-stop")
    watcher.start()
    # `nohup` ignores SIGHUP before the program starts, and means it.
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    # Remembered, as a test or a notebook calls `main` in a process of its own that goes on afterwards.
    before = {number: signal.signal(number, interrupt) for number in heard}
    earlier = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    try:
        yield stop
    finally:
        if stop.signal and ends_process:
            stop.say()
            stop.end()  # taking libraries and threads apart takes seconds, and nothing is left to save
        over.set()
        signal.set_wakeup_fd(earlier)
        for number, handler in before.items():
            signal.signal(number, handler)
        with contextlib.suppress(OSError):
            waking.send(_OVER)
        watcher.join()
        waking.close()
        woken.close()


def _watch(woken: socket.socket, stop: Stop, over: threading.Event) -> None:
    """Wait for a stopping signal, then for the end of the command, and no longer than `PATIENCE`."""
    while (number := woken.recv(1)) != _OVER:
        if number[0] == signal.SIGINT and _CONVERSATIONS:
            interrupts = _CONVERSATIONS[-1]
            interrupts.sent += 1
            if interrupts.sent > 1 and not over.wait(PATIENCE) and interrupts.sent > 1:
                stop.signal = signal.SIGINT
                stop.end()
        elif number[0] in _SIGNALS:
            stop.signal = stop.signal or number[0]
            if not over.wait(PATIENCE):
                stop.end()
            return
