"""Every answer on its way to the traffic log: taken without waiting, written by a thread of its own."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twofold.errors import ConfigError, DiskFull, TwofoldError, refused
from twofold.files import locking, writing
from twofold.serving.exchange import Exchange
from twofold.serving.identity import LOCAL, Caller
from twofold.settings.traffic import TrafficSection
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.traffic.log import FILE, TrafficLog, without
from twofold.traffic.pseudonym import pseudonym
from twofold.traffic.record import TrafficRow
from twofold.traffic.redaction import Redactor

log = logging.getLogger(__name__)

KEY = "serving/traffic.key"
"""File with the key of pseudonyms."""
WAITING = 2000
"""Answers that may wait to be written, each of some ten KiB with its passages; further ones are lost and counted."""
SECONDS = 0.5
"""Answers of so long are written at once: what a kill loses at most."""
_PRUNE = timedelta(hours=1)
"""Time between two looks for rows that are too old or too many."""


class TrafficWriter:
    """Writes the traffic of one server.

    Args:
        settings: What is kept; not ``off``.
        directory: Of the project.
        now: The clock, in UTC.

    Raises:
        ConfigError: the variable with the secret of pseudonyms is not set.
        StoreError: the log is damaged, or of a newer Twofold. A full disk is no reason not to serve.
    """

    def __init__(
        self, settings: TrafficSection, directory: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings, self._path, self._now = settings, directory / FILE, now
        self._redactor = Redactor(settings.redact, settings.patterns)
        self._key = _key(settings, directory)
        self._forgotten = Forgotten(directory / RECEIPTS)
        self._log: TrafficLog | None = None
        self._failure = ""
        self._waiting: queue.Queue[tuple[datetime, Exchange]] = queue.Queue(WAITING)
        self.lost = 0
        """Answers that are not in the log: too many waited, or the disk refused until the end."""
        self._pruned: datetime | None = None
        self._closing = threading.Event()
        with suppress(DiskFull):
            self._opened()
        self._thread = threading.Thread(target=self._run, name="twofold-traffic", daemon=True)
        self._thread.start()

    @property
    def remark(self) -> str:
        """What of the traffic is not written, and why; empty while all is."""
        parts = []
        if self._failure:
            parts.append(f"traffic cannot be written: {self._failure}")
        if self.lost:
            parts.append(f"{self.lost} answers since the start are not in the traffic log")
        return "; ".join(parts)

    def witness(self, exchange: Exchange) -> None:
        """Take an answer, without waiting."""
        try:
            self._waiting.put_nowait((self._now(), exchange))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and close the log."""
        self._closing.set()
        self._thread.join()
        if self._log is not None:
            self._log.close()

    def row(self, at: datetime, exchange: Exchange) -> TrafficRow:
        """What is kept of an answer."""
        answer, counts = exchange.answer, Counter[str]()
        full = self._settings.log == "full"

        def text(content: str) -> str:
            return self._redactor.redacted(content, counts) if full else ""

        *before, last = exchange.example.messages
        return {
            "request": exchange.request,
            "number": exchange.number,
            "at": at.isoformat(timespec="milliseconds"),
            "caller": pseudonym(_identity(exchange.caller), self._key),
            "arm": exchange.origin["arm"],
            "model": exchange.origin["model"],
            "system": exchange.origin["key"],
            "later_index": exchange.origin["later_index"],
            # An answer that was not of the form that its caller requested failed for them.
            "failed": answer.failure.code if answer.failure else "serving.request" if exchange.withheld else "",
            "abstained": answer.abstained,
            "cut": answer.cut,
            "citations": len(answer.citations),
            "unsupported": answer.invalid_citations + answer.unsupported_citations,
            "documents": list(dict.fromkeys(hit.chunk.span.document for hit in answer.hits)),
            "cited": list(dict.fromkeys(citation.span.document for citation in answer.citations)),
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "letters": len(answer.text),
            "retrieval_seconds": answer.timing.retrieval,
            "generation_seconds": answer.timing.generation,
            "question": text(last.content),
            "turns": [{"role": turn.role, "content": text(turn.content)} for turn in before] if full else [],
            "answer": text(answer.text),
            "redacted": dict(counts),
        }

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        rows: list[TrafficRow] = []
        # Not by the queue's waiting: one write for all answers of a while, and not one for each.
        while not self._closing.wait(SECONDS):
            rows = self._tried(rows)
        while (rows := self._tried(rows)) or not self._waiting.empty():
            if self._failure:
                break
        self.lost += len(rows) + self._waiting.qsize()

    def _tried(self, rows: list[TrafficRow]) -> list[TrafficRow]:
        """Write these rows, and those of the answers that wait; returns the rows that could not be written."""
        try:
            # What could not be written counts to what may wait: a disk that stays full must not fill the memory.
            while len(rows) < WAITING and not self._waiting.empty():
                rows.append(self.row(*self._waiting.get_nowait()))
            if rows:
                self._opened().append(self._without_forgotten(rows))
                rows = []
            self._prune()
            self._failure = ""
        except TwofoldError as error:
            self._failure = error.message
        # A fault of this program ends neither the thread nor the server; who looks at the state is told.
        except Exception as error:
            log.exception("the traffic log")
            self.lost += len(rows)
            self._failure, rows = f"{type(error).__name__}", []
        return rows

    def _opened(self) -> TrafficLog:
        if self._log is None:
            self._log = TrafficLog(self._path)
        return self._log

    def _without_forgotten(self, rows: list[TrafficRow]) -> list[TrafficRow]:
        """The rows without documents that were forgotten between the answer and now."""
        forgotten = self._forgotten.entries().keys()
        for document in forgotten and {name for row in rows for name in (*row["documents"], *row["cited"])} & forgotten:
            for row in rows:
                without(row, document)
        return rows

    def _prune(self) -> None:
        now = self._now()
        # Also where the clock was set back: then it is not known when it was last done.
        if self._pruned is None or not timedelta(0) <= now - self._pruned < _PRUNE:
            before = (now - timedelta(days=self._settings.days)).isoformat(timespec="milliseconds")
            self._opened().prune(before=before, most_bytes=int(self._settings.max_mib * 2**20))
            self._pruned = now


def _identity(caller: Caller) -> str:
    """What tells a caller from others; empty for whoever needs no key."""
    return caller.id or ("" if caller.name == LOCAL else f"name:{caller.name}")


def _key(settings: TrafficSection, directory: Path) -> bytes:
    """The key of pseudonyms: of the operator's secret, else random letters of the project, made at the first use."""
    if settings.salt_env:
        secret = os.environ.get(settings.salt_env, "").strip()
        if not secret:
            raise ConfigError(
                f"[traffic].salt_env names {settings.salt_env}, and that variable is not set",
                cure=f"Set {settings.salt_env} before `twofold serve`, or take salt_env out for a random secret.",
            )
        return secret.encode()
    place = directory / KEY
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Under a lock: two servers of a project must make the same pseudonyms.
        with locking.locked(place.with_name(f".{place.name}.lock")):
            text = place.read_text(encoding="ascii").strip() if place.is_file() else ""
            if not text:
                text = secrets.token_hex(32)
                writing.write(place, text, mode=0o600)
    except OSError as error:
        raise refused(f"the key of the traffic log cannot be written: {error.strerror}", error, file=place) from error
    return text.encode()
