"""The running batch of the OpenVINO runtime, in a process of its own.

OpenVINO holds Python's interpreter lock for the whole of a step: in one process with a server, every send and receive
would wait for a step (decision 19). So the steps run in a child, and this process sends token ids and gets token ids.
A child that dies takes the requests under way with it; the next request starts another.
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import IO, Any

from twofold.errors import GenerationError
from twofold.generation.live.child import Child
from twofold.generation.live.trials import SchemaTrials
from twofold.generation.runtimes.contract import Pieces, Request, Result, Sampling, Tokens
from twofold.plugins.live import Receive
from twofold.types import Completion, Failure, Json, Prompt

_PATIENCE = 2.0
"""Seconds that the child has to end by itself."""


@dataclass(kw_only=True)
class _Running:
    """A request under way."""

    request: Request
    receive: Receive
    text: Pieces
    begun: float
    logprobs: list[float] = field(default_factory=list)


class Process:
    """A `LiveBatch` in a child process, which is started at once.

    Args:
        start: First message to the child; see `worker`.
        tokens: The model's tokenizer.
        requested: Renders and tokenises a prompt.
        sampling: How tokens are chosen where a request does not say.

    Raises:
        GenerationError: the child does not start.
    """

    def __init__(
        self, start: Json, *, tokens: Tokens, requested: Callable[[Prompt], Request | Failure], sampling: Sampling
    ) -> None:
        self._first, self._tokens, self._requested, self._sampling = start, tokens, requested, sampling
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._child: Child | None = None
        self._reader: threading.Thread | None = None
        self._closed = False
        self._trials = SchemaTrials(start)
        self._starting = threading.Lock()
        self._require_child()

    def submit(
        self,
        prompt: Prompt,
        receive: Receive,
        *,
        temperature: float | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
    ) -> Callable[[], None]:
        """See `LiveBatch.submit`."""
        # Tokenised before the lock is taken: a long prompt must hold up nobody's piece.
        request = self._requested(prompt)
        if isinstance(request, Failure):
            # A prompt that does not fit is this asker's; the child never sees it.
            receive(Completion(text="", failure=request))
            return _nothing
        request = replace(request, logprobs=logprobs is not None)
        chosen = asdict(self._sampling)
        chosen |= {} if temperature is None else {"temperature": temperature}
        chosen |= {} if seed is None else {"seed": seed}
        # Before the lock is taken: the schema may be new and large.
        tried = not request.schema or self._trials.usable(request.schema)
        number = next(self._numbers)
        message = {
            "begin": number,
            "ids": request.ids,
            "max_tokens": request.max_tokens,
            "stop": request.stop,
            "schema": request.schema,
            "sampling": chosen,
            "logprobs": request.logprobs,
        }
        self._require_child()
        with self._lock:
            if self._closed:
                raise GenerationError("the running batch is closed", cure="Open the system again.")
            if self._child is None:
                raise GenerationError("the process of the running batch ended", cure="Send the request again.")
            # Before it is sent: the child may answer at once.
            self._running[number] = _Running(
                request=request, receive=receive, text=Pieces(self._tokens, request.stop), begun=time.monotonic()
            )
            if tried:
                self._send(message)
        if not tried:
            self._trials.submit(request.schema, partial(self._tried, number, message))
        return lambda: self._cancel(number)

    def _tried(self, number: int, message: Json, fault: Failure | None) -> None:
        """Let a request with a new schema join the batch, or tell its asker what is wrong with the schema."""
        with self._lock:
            running = self._running.get(number)
            if running is None:  # cancelled meanwhile
                return
            if fault is None:
                self._send(message)
                return
            del self._running[number]
        running.receive(Completion(text="", failure=fault))

    def close(self) -> None:
        """End the child; whatever still runs gets a `GenerationError`."""
        with self._lock:
            self._closed = True
            child, reader = self._child, self._reader
        self._trials.close()
        if child is not None:
            # The end of its input ends the child; a signal could catch it within a step.
            child.end()
            try:
                # Without the lock, which the reading thread needs to end.
                child.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                child.process.kill()
        if reader is not None:
            reader.join()

    def _cancel(self, number: int) -> None:
        with self._lock:
            # Of an ended request the child knows nothing any more.
            if self._running.pop(number, None) is not None:
                self._send({"cancel": number})

    def _send(self, message: Json) -> None:
        """Write to the child; the lock is held. A dead child's requests are ended by the thread that reads from it."""
        if self._child is not None:
            self._child.send(message)

    def _require_child(self) -> None:
        """Start the child where there is none, and wait until it is ready."""
        # A lock of its own: a start takes seconds, and a server's event loop, which cancels, waits for the other one.
        with self._starting:
            with self._lock:
                if self._child is not None or self._closed:
                    return
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the thread that reads
            child = Child(self._first, errors)
            try:
                child.ready()
            except GenerationError as error:
                message = error.message or _last_words(child.process, errors)
                errors.close()
                raise GenerationError(
                    f"the process of the running batch did not start: {message}", cure=error.cure
                ) from error
            self._adopt(child, errors)

    def _adopt(self, child: Child, errors: IO[bytes]) -> None:
        with self._lock:
            self._child = child
            self._reader = threading.Thread(target=self._read, args=(child, errors), daemon=True, name="twofold-batch")
            self._reader.start()
            if self._closed:  # while it started: nobody else ends it
                child.end()

    def _read(self, child: Child, errors: IO[bytes]) -> None:
        """Pass on what the child writes, until it ends."""
        while (rows := child.steps()) is not None:
            for number, ids, logprobs, end in rows:
                self._pass(number, ids, logprobs=logprobs, end=end)
        reason = _last_words(child.process, errors)
        with self._lock:
            lost, self._running = self._running, {}
            self._child = None
            closed = self._closed
        errors.close()
        child.end()
        if child.process.stdout is not None:
            child.process.stdout.close()
        what = "the running batch was closed" if closed else f"the process of the running batch ended: {reason}"
        for running in lost.values():
            # Outside the lock, as every `receive`: it may come back here with `cancel`.
            running.receive(GenerationError(what, cure="Send the request again."))

    def _pass(self, number: int, ids: list[int], *, logprobs: list[float], end: Any) -> None:
        with self._lock:
            running = self._running.get(number)
            if running is None:  # cancelled meanwhile
                return
            if end is not None:
                del self._running[number]
        running.logprobs += logprobs
        if piece := running.text.add(ids):
            running.receive(piece)
        if end is None and running.text.ended:
            # By a stop string that the engine was not told (`openvino`).
            self._cancel(number)
            end = "stop"
        if end is None:
            return
        failure = Failure(**end) if isinstance(end, dict) else None
        if failure is None and (piece := running.text.rest()):
            running.receive(piece)
        result = Result(
            ids=tuple(running.text.ids),
            logprobs=tuple(running.logprobs),
            finish="length" if end == "length" else "stop",
            failure=failure,
        )
        running.receive(self._tokens.completion(running.request, result, time.monotonic() - running.begun))


def _last_words(child: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    """How a child ended, with the last line that it wrote."""
    code = child.wait()
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return f"{how}: {lines[-1][:200]}" if lines else how


def _nothing() -> None:
    pass
