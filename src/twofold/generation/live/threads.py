"""Live requests of a generator that streams: each in a thread, at most so many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from twofold.errors import GenerationError, TwofoldError
from twofold.plugins.live import Receive
from twofold.types import Completion, Prompt

Stream = Callable[[Prompt, float | None, int | None, int | None], Iterator[str | Completion]]
"""Prompt, temperature and seed (None: the generator's own), `logprobs` → pieces, then the completion."""


class Threads:
    """A `LiveBatch` of streams.

    Args:
        stream: Answers one prompt; called by several threads where there are several workers.
        workers: Most streams at once; further requests wait.
    """

    def __init__(self, stream: Stream, *, workers: int) -> None:
        self._stream = stream
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="twofold-stream")
        self._closed = threading.Event()

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
        cancelled = threading.Event()

        def passed(item: str | Completion | Exception) -> None:
            if not cancelled.is_set():
                receive(item)

        def run() -> None:
            if cancelled.is_set():
                return
            try:
                for item in self._stream(prompt, temperature, seed, logprobs):
                    # Looked at between pieces: no thread can be ended from outside.
                    if self._closed.is_set():
                        break
                    passed(item)
                    if isinstance(item, Completion) or cancelled.is_set():
                        return
                raise _closed()
            except TwofoldError as error:
                passed(error)
            except Exception as error:  # a fault of a plugin must not leave its asker waiting
                fault = GenerationError(f"the generator failed: {type(error).__name__}: {error}")
                fault.__cause__ = error  # with its traceback, for whoever reads the log
                passed(fault)

        try:
            # With the context of the asker: what the thread sends elsewhere belongs to the same trace.
            self._pool.submit(copy_context().run, run)
        # A pool that was shut down refuses so.
        except RuntimeError as error:
            raise _closed() from error
        return cancelled.set

    def close(self) -> None:
        """End all streams at their next piece; requests that wait get a `GenerationError`."""
        self._closed.set()
        # Also those that wait in the pool are run, each to its error: nobody is left without an end.
        self._pool.shutdown(wait=True)


def _closed() -> GenerationError:
    return GenerationError("the running batch is closed", cure="Open the system again.")
