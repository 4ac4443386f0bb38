"""Parts that answers need and that may be down: the index, an engine, a live tool.

A part that failed is not tried again for some seconds: requests that need it are refused at once, instead of each
waiting for the part's timeout. Then one request tries it; when that works, the part is up again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from twofold.errors import IndexMismatch, PartDown, StoreError
from twofold.plugins.protocols import Retriever, Tool
from twofold.plugins.results import ToolAnswer
from twofold.types import Filter, Json, Query, Retrieval

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds for which a part that failed is not tried."""
_AT_ONCE = 0.001
"""Seconds that a live tool gets while its source is down: enough for an answer that it has stored."""


class Breaker:
    """Knows whether a part is down; its methods may be called from any thread.

    Args:
        part: The part, for people, such as ``the index``.
        pause: Seconds for which it is not tried after a failure.
        clock: Seconds that only grow.
    """

    def __init__(self, part: str, *, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self.part = part
        """The part, for people."""
        self.since = ""
        """When it went down, in UTC; empty while it works."""
        self._pause, self._clock = pause, clock
        self._lock = threading.Lock()
        self._until = 0.0
        self._trying = False
        self._code = ""

    def check(self) -> None:
        """Refuse a request that will need the part, before anything else is done for it.

        Raises:
            PartDown: the part is down.
        """
        with self._lock:
            if self.since and self._refuses():
                raise self._error()

    def require(self) -> None:
        """Let a request use the part; of those that come while it is down, one after each pause.

        Raises:
            PartDown: the part is down.
        """
        with self._lock:
            if self.since and self._refuses():
                raise self._error()
            # While one tries, the others are refused: they would all wait for the timeout of a part that is still down.
            self._trying = bool(self.since)

    def failed(self, code: str, reason: str) -> PartDown:
        """The part failed; returns the error for whoever needed it.

        Args:
            code: Of the error, for clients.
            reason: For the log.
        """
        with self._lock:
            if not self.since:
                self.since = datetime.now(UTC).isoformat(timespec="seconds")
                log.warning("%s is down: %s", self.part, reason)
            self._code, self._trying = code, False
            self._until = self._clock() + self._pause
            return self._error()

    def worked(self) -> None:
        """The part works."""
        with self._lock:
            if self.since:
                log.warning("%s works again; it was down since %s", self.part, self.since)
            self.since, self._trying = "", False

    def left(self) -> None:
        """A request ended without trying the part to the end."""
        with self._lock:
            self._trying = False

    @property
    def refuses(self) -> bool:
        """Are requests refused now? Not any more after the pause: the next one tries the part."""
        with self._lock:
            return bool(self.since) and self._clock() < self._until

    @contextmanager
    def using(self, failures: tuple[type[Exception], ...]) -> Iterator[None]:
        """Use the part in a block; one of these failures means that it is down, another error is passed on.

        Raises:
            PartDown: it is down.
        """
        self.require()
        try:
            yield
        except failures as error:
            code = error.code if isinstance(error, StoreError | IndexMismatch) else "system"
            raise self.failed(code, f"{type(error).__name__}: {error}") from error
        except BaseException:
            # An error of the request itself says nothing of the part.
            self.left()
            raise
        self.worked()

    def _refuses(self) -> bool:
        return self._trying or self._clock() < self._until

    def _error(self) -> PartDown:
        error = PartDown(f"{self.part} is down since {self.since} ({self._code})")
        error.retry_after = max(1.0, self._until - self._clock())
        return error


INDEX_FAILURES: tuple[type[Exception], ...] = (StoreError, IndexMismatch, OSError)
"""Errors of a search by which the index is down; others are of the request."""


class GuardedRetriever:
    """A retriever that is not asked while its index is down.

    Args:
        retriever: Searches.
        breaker: Of the index.
    """

    version: ClassVar[int] = 1

    def __init__(self, retriever: Retriever, breaker: Breaker) -> None:
        self._retriever, self._breaker = retriever, breaker

    def pin(self, version: int | None) -> None:
        """See `Retriever.pin`."""
        self._retriever.pin(version)

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """See `Retriever.retrieve`.

        Raises:
            PartDown: the index is down.
        """
        with self._breaker.using(INDEX_FAILURES):
            return self._retriever.retrieve(queries, k)


class GuardedTool:
    """A live tool that is asked for what it has stored only while its source is down.

    Args:
        tool: Asks the source.
        breaker: Of the source.
    """

    version: ClassVar[int] = 1

    def __init__(self, tool: Tool, breaker: Breaker) -> None:
        self.name, self.description = tool.name, tool.description
        self._tool, self._breaker = tool, breaker

    @property
    def schema(self) -> Json:
        """See `Tool.schema`."""
        return self._tool.schema

    def allows(self, filter: Filter) -> bool:
        """See `Tool.allows`."""
        return self._tool.allows(filter)

    def arguments(self, question: str) -> Json | None:
        """See `Tool.arguments`."""
        return self._tool.arguments(question)

    def call(self, arguments: Mapping[str, Any], *, filter: Filter, seconds: float) -> ToolAnswer:
        """See `Tool.call`."""
        try:
            self._breaker.require()
        except PartDown:
            return self._tool.call(arguments, filter=filter, seconds=_AT_ONCE)
        try:
            answer = self._tool.call(arguments, filter=filter, seconds=seconds)
        except BaseException:  # of the call, not of the source, which says by its answer that it is down
            self._breaker.left()
            raise
        if answer.down:
            self._breaker.failed("source", answer.note)
        elif answer.cached:  # the source was not asked
            self._breaker.left()
        else:
            self._breaker.worked()
        return answer
