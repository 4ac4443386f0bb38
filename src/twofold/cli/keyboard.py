"""Keys one at a time: from a terminal without Enter, from a pipe or file as its characters."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from twofold.cli.terminal import say

HELD = 0.6
"""Seconds within which the same key comes again where it is held down; systems wait up to half a second at first."""
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|O.|.)?", re.DOTALL)
"""What arrows and function keys send; the letters in it are no keys of their own."""
_END = "\x04"
"""Ctrl-D, which a terminal that gives single keys passes on as it is."""


class Keyboard:
    """Keys as they are pressed, within `reading`.

    Where no keys can be had one by one (a pipe, a file, Windows), each character of a line is a key; blanks and ends of
    lines are none. Ctrl-C raises `KeyboardInterrupt` as ever.
    """

    def __init__(self) -> None:
        self.single = False
        """Are keys taken as they are pressed?"""
        self.line = 0
        """Of a pipe: number of the line that was read last."""
        self._waiting = ""
        self._last = ("", 0.0)

    @contextmanager
    def reading(self) -> Iterator[Keyboard]:
        """Have the terminal give keys without Enter in the block, where it can."""
        # Both: where the output is a file, nobody sees what the keys are about.
        before = _modes() if sys.stdin.isatty() and sys.stdout.isatty() else None
        self.single = before is not None
        try:
            if self.single:
                _take_keys(single=True)
            yield self
        finally:
            self.single = False
            if before is not None:
                _restore(before)

    def forget(self) -> None:
        """Drop what was typed before this moment: keys that are no answer to what is shown next."""
        if not self.single:
            return  # of a pipe everything counts
        self._waiting = ""
        with suppress(ImportError):
            import termios

            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

    def key(self) -> str:
        """The next key; empty at the end of the input."""
        while not self._waiting:
            if self.single:
                data = os.read(sys.stdin.fileno(), 1024).decode("utf-8", "replace")
            else:
                data = sys.stdin.readline()
                self.line += 1
            if not data:
                return ""
            self._waiting = _SEQUENCE.sub("", data).strip()
        key, self._waiting = self._waiting[0], self._waiting[1:].lstrip()
        return "" if key == _END else key

    def held_down(self, key: str) -> bool:
        """Does this key come so soon after itself that nobody pressed it again? Never so of a pipe."""
        now = time.monotonic()
        before, self._last = self._last, (key, now)
        return self.single and before[0] == key and now - before[1] < HELD

    def text(self, prompt: str) -> str:
        """A text: of a terminal a line that ends with Enter, of a pipe what is left of the line."""
        if not self.single:
            text, self._waiting = self._waiting, ""
            return text
        say(prompt, nl=False)
        sys.stdout.flush()
        _take_keys(single=False)
        try:
            return sys.stdin.readline().strip()
        finally:
            _take_keys(single=True)


def _modes() -> list[Any] | None:
    """How the terminal behaves; None where it cannot be told."""
    try:
        import termios
    except ImportError:  # Windows: each key is followed by Enter there
        return None
    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except termios.error:
        return None


def _take_keys(*, single: bool) -> None:
    """Have the terminal give keys at once and unseen, or lines that it shows and lets people correct."""
    with suppress(ImportError):
        import termios

        modes = termios.tcgetattr(sys.stdin.fileno())
        lines = termios.ICANON | termios.ECHO
        modes[3] = modes[3] & ~lines if single else modes[3] | lines
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, modes)


def _restore(modes: list[Any]) -> None:
    with suppress(ImportError):
        import termios

        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, modes)
