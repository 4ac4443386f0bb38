"""A process of a running batch, as the server sees it; see `worker` for its messages."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from typing import IO, Any

from twofold.errors import GenerationError
from twofold.generation.runtimes import openvino
from twofold.types import Json


class Child:
    """The process, started at once. Its input is written by a thread, so that a full pipe holds up nobody.

    It reads nothing within a step of OpenVINO, which may take seconds, and a server's event loop must not wait for it.

    Args:
        first: First message.
        errors: File for what it writes to standard error; not a pipe, for a full one that nobody reads would stop it.
    """

    def __init__(self, first: Json, errors: IO[bytes] | int) -> None:
        self.process = subprocess.Popen(
            # -P: a module in the working directory must not take the place of an installed one
            [sys.executable, "-P", "-m", "twofold.generation.live.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # a second cache of the same kernels, which only its environment bounds
            env={**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(openvino.SHAPES)},
            # Ctrl-C in the terminal must not reach the child: answers under way may end
            start_new_session=True,
        )
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True, name="twofold-batch-input").start()
        self.send(first)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self.process.pid

    def ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            GenerationError: it does not start; its message is empty where the child ended without a word.
        """
        line = self._line()
        if not line or "message" in (fault := json.loads(line)):
            self.end()
            self.process.kill()
            raise GenerationError(fault["message"] if line else "", cure=fault["cure"] if line else None)

    def send(self, message: Json) -> None:
        """Write a message; returns at once. What a dead child does not read any more is dropped."""
        self._outbox.put(json.dumps(message).encode() + b"\n")

    def end(self) -> None:
        """Close its input, which ends it after the step under way."""
        self._outbox.put(None)

    def steps(self) -> list[Any] | None:
        """The rows of its next step that has some; None once it has ended."""
        line = self._line()
        return json.loads(line)["steps"] if line else None

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        # Half a line is the last of a process that was killed while it wrote.
        return line if line.endswith(b"\n") else b""

    def _write(self) -> None:
        stream = self.process.stdin
        assert stream is not None
        # A dead child: whoever reads from it tells those who wait.
        with contextlib.suppress(OSError, ValueError):
            while (data := self._outbox.get()) is not None:
                stream.write(data)
                stream.flush()
        with contextlib.suppress(OSError):
            stream.close()
