"""A server's log as lines of JSON on stderr, written beside the answers and never waited for."""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from twofold.serving.exchange import current_request
from twofold.text.masking import masked_text
from twofold.types import Json

_MOST = 10_000
"""Lines that wait for a reader of stderr which has stalled, some 20 MB; further ones are counted and left out."""


class JsonLog:
    """Writes records, and what the library logs, as lines; a context manager.

    Args:
        stream: Where to; stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST)
        self._left_out = 0
        self._writer = threading.Thread(target=self._drain, daemon=True, name="twofold-log")
        self._handler = _Records(self)

    def __enter__(self) -> JsonLog:
        self._writer.start()
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self._handler)
        try:
            # Not for ever: whoever reads stderr may never do so again.
            self._lines.put(None, timeout=1)
            self._writer.join(timeout=5)
        except queue.Full:
            pass

    def write(self, record: Json) -> None:
        """Write a record; returns at once."""
        if self._left_out:
            record = {**record, "left_out": self._left_out}
        try:
            self._lines.put_nowait(json.dumps(record, default=str))
            self._left_out = 0
        except queue.Full:
            self._left_out += 1

    def _drain(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more: the server serves on
                self._left_out += 1


class _Records(logging.Handler):
    """What the library logs, as records."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._log.write(
            {
                "at": at,
                "event": "log",
                "request": current_request(),
                "level": record.levelname.lower(),
                "logger": record.name,
                # With the traceback, where there is one; without the logins of addresses.
                "message": masked_text(self.format(record)),
            }
        )
