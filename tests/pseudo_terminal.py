"""A command in a terminal of its own, with keys typed and what appears read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

CTRL_C, CTRL_D, BACKSPACE, UP = "\x03", "\x04", "\x7f", "\x1b[A"
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master, self.process = master, process
        self._seen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, words: str, seconds: float = 60) -> str:
        """What appears up to these words, without the codes that drive the terminal."""
        end = time.monotonic() + seconds
        while words not in self._seen:
            os.set_blocking(self._master, False)
            try:
                self._seen = _CODES.sub("", self._seen + os.read(self._master, 65536).decode())
            except BlockingIOError:
                assert time.monotonic() < end, f"{words!r} does not appear in {self._seen!r}"
                time.sleep(0.01)
            except OSError as error:  # the other side is closed
                raise AssertionError(f"the command ended: {self._seen!r}") from error
        before, _, self._seen = self._seen.partition(words)
        return before + words

    def ended(self, seconds: float = 20) -> int:
        """The exit code; what it still writes is read, so that it can end."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            try:
                os.read(self._master, 65536)
            except (BlockingIOError, OSError):
                time.sleep(0.01)
        return self.process.wait(0)


@contextmanager
def terminal(*words: str, columns: int = 200) -> Iterator[Terminal]:
    """Run a command of `twofold` in a terminal of 40 lines.

    Args:
        words: The command and its arguments.
        columns: Of the terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "twofold", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=take_terminal,  # noqa: PLW1509 - nothing else makes Ctrl-C a signal
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
