"""The process of a running batch: ``python -m twofold.generation.live.worker``, started by `process`.

Messages are JSON, one on a line. In, first: ``{"directory", "settings", "ends", "temperature", "seed"}``; then
``{"begin": number, "ids", "max_tokens", "stop", "schema", "sampling", "logprobs"}`` and ``{"cancel": number}``. Out,
first: ``{"ready": true}``; then after each step ``{"steps": [[number, ids, logprobs, end]]}``, where `logprobs` is
empty unless requested and `end` null, ``"stop"``, ``"length"`` or a failure. The end of the input ends the process.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from twofold.errors import GenerationError
from twofold.generation.runtimes.contract import Request, Sampling
from twofold.generation.runtimes.openvino import OpenVinoRuntime, Settings
from twofold.types import Failure, Json


class Messages:
    """Messages from a file, read by a thread, so that none is waited for as long as there is work."""

    def __init__(self, file: IO[bytes]) -> None:
        self.open = True
        """The other end has not been closed."""
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(file,), daemon=True, name="twofold-messages").start()

    def waiting(self, *, block: bool) -> Iterator[Json]:
        """Messages that have arrived; with `block`, waits for the first."""
        while self.open:
            try:
                line = self._lines.get(block=block)
            except queue.Empty:
                return
            # Only the first is waited for: behind it whatever is there joins the same step.
            block = False
            self.open = bool(line)
            if line:
                yield json.loads(line)

    def _read(self, file: IO[bytes]) -> None:
        for line in file:
            self._lines.put(line)
        self._lines.put(b"")  # the end


class Batch:
    """The requests under way in this process, by number."""

    def __init__(self, runtime: OpenVinoRuntime) -> None:
        self.running: dict[int, Any] = {}
        """Handles of the runtime."""
        self._runtime = runtime
        self._telling: set[int] = set()

    def take(self, message: Json) -> list[Any]:
        """Begin or cancel a request; the rows to report."""
        if "cancel" in message:
            handle = self.running.pop(message["cancel"], None)
            self._telling.discard(message["cancel"])
            if handle is not None:
                self._runtime.cancel(handle)
            return []
        number = message["begin"]
        sampling = message["sampling"]
        request = Request(
            ids=tuple(message["ids"]),
            max_tokens=message["max_tokens"],
            stop=tuple(message["stop"]),
            schema=message["schema"],
            sampling=Sampling(**sampling) if sampling else None,
            logprobs=message.get("logprobs", False),
        )
        try:
            # Tried already, in a process of its own (`trials`), or here, where nobody else waits.
            handle = self._runtime.begin(request, tried=True)
        except Exception as error:  # whatever one request sets off must not reach the others
            handle = Failure(code="generation.refused", message=f"{type(error).__name__}: {error}")
        if isinstance(handle, Failure):
            return [_row(number, (), (), handle)]
        self.running[number] = handle
        if request.logprobs:
            self._telling.add(number)
        return []

    def step(self) -> list[Any]:
        """One step for all; a row for each request with something new. A failed step fails what ran, and no more."""
        try:
            self._runtime.step()
        except GenerationError as error:
            failure = Failure(code=error.code, message=error.message)
            lost = [_row(number, (), (), failure) for number in self.running]
            # The engine is new after a failed step, and knows none of them.
            self.running.clear()
            self._telling.clear()
            return lost
        rows = []
        # A copy: ended ones are taken out on the way.
        for number, handle in list(self.running.items()):
            ids, logprobs, result = self._runtime.progress(handle)
            logprobs = logprobs if number in self._telling else ()
            if result is not None:
                del self.running[number]
                self._telling.discard(number)
                rows.append(_row(number, ids, logprobs, result.failure or result.finish))
            elif ids:
                rows.append(_row(number, ids, logprobs, None))
        return rows


def _row(number: int, ids: tuple[int, ...], logprobs: tuple[float, ...], end: Failure | str | None) -> list[Any]:
    return [number, ids, logprobs, {"code": end.code, "message": end.message} if isinstance(end, Failure) else end]


def main() -> None:
    """Run until the input ends."""
    # What a library prints must not stand among the messages.
    output = os.dup(1)
    os.dup2(2, 1)
    messages = Messages(sys.stdin.buffer)
    start = next(messages.waiting(block=True), None)
    if start is None:
        return
    try:
        runtime = OpenVinoRuntime(
            Path(start["directory"]),
            Settings(**start["settings"]),
            ends=frozenset(start["ends"]),
            sampling=Sampling(temperature=start["temperature"], seed=start["seed"]),
        )
    except GenerationError as error:
        _write(output, {"message": error.message, "cure": error.cure})
        return
    _write(output, {"ready": True})
    batch = Batch(runtime)
    while messages.open:
        rows: list[Any] = []
        for message in messages.waiting(block=not batch.running):
            rows += batch.take(message)
        if batch.running:
            rows += batch.step()
        if rows:
            _write(output, {"steps": rows})


def _write(descriptor: int, message: Json) -> None:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        # A pipe may take less than all of it.
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # nobody is left to report to
        sys.exit(1)
