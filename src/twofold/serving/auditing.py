"""What a server writes into the audit log: every answer, search, change and refusal, in batches, by a thread.

Events that come within `SECONDS` are one write and one `fsync`, however many there are. What a killed server had not
written yet, at most that much, is lost; a line that it had written stays.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twofold.audit.keys import key_of
from twofold.audit.log import FOLDER
from twofold.audit.record import AuditEntry
from twofold.audit.texts import AuditTexts, sealed
from twofold.config import FILE
from twofold.errors import AuditUnwritable, TwofoldError
from twofold.hashing import digest_file
from twofold.project.auditing import audit_log
from twofold.serving.arm import ServedArm
from twofold.serving.exchange import CALLER, Exchange, notes
from twofold.serving.identity import LOCAL, Caller
from twofold.settings.audit import AuditSection
from twofold.store.catalogue import Catalogue
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.types import Json

log = logging.getLogger(__name__)

SECONDS = 0.05
"""Events of so long are written at once."""
WAITING = 10_000
"""Events that may wait while the log cannot be written; further ones are lost and counted."""
_AGAIN = 1.0
"""Seconds between two attempts at a log that cannot be written."""
_BATCH = 1000
"""Most events of one write: those that waited through a full disk are not all put into memory as lines."""
_ANSWERS = frozenset(["/v1/chat/completions", "/v1/completions", "/v1/responses", "/local/ask", "/mcp"])
"""Routes whose answers are shown to witnesses: only what was refused there is an event of its own."""
_EVENTS: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/retrieve"): "search",
    ("POST", "/mcp"): "search",
    ("POST", "/v1/embeddings"): "embeddings",
    ("GET", "/v1/documents/{name:path}"): "document.read",
    ("POST", "/v1/documents"): "document.put",
    ("PUT", "/v1/documents"): "document.put",
    ("DELETE", "/v1/documents/{name:path}"): "document.delete",
    ("POST", "/v1/feedback"): "feedback",
    ("POST", "/ask/preference"): "label",
    ("POST", "/examples/label"): "label",
    ("POST", "/examples/label/undo"): "label.undo",
    ("POST", "/examples/edit"): "example.edit",
    ("POST", "/examples/remove"): "example.remove",
    ("POST", "/models/promote"): "model.promote",
    ("POST", "/models/rollback"): "model.rollback",
    ("POST", "/watch/dismiss"): "proposal.dismiss",
    ("POST", "/login"): "login",
    ("POST", "/logout"): "logout",
}
"""Method and route → event; what else changes something is ``request``."""
_REFUSED = frozenset([401, 403, 429, 503])
_KEY = re.compile(rb"Bearer tf-([0-9a-f]{8})-")
"""The public part of an API key, by its exact form: of nothing else a part is written."""


class Auditor:
    """Writes the audit log of one server.

    Args:
        settings: How.
        directory: Of the project.
        catalogue: Knows the versions of documents and of the index.
        now: The clock, in UTC.

    Raises:
        ConfigError: the key is missing, or not the log's.
        AuditUnwritable: the log cannot be written, and the settings say that nothing is served without it.
    """

    def __init__(
        self,
        settings: AuditSection,
        directory: Path,
        catalogue: Catalogue,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._directory, self._catalogue, self._now = settings, directory, catalogue, now
        folder = directory / FOLDER
        key = key_of(settings, directory)
        self._log = audit_log(directory, catalogue.database.shared, key)
        self._texts = AuditTexts(folder)
        self._forgotten = Forgotten(directory / RECEIPTS)
        # Entries to be made: of an answer only when its turn comes, for documents are looked up for that.
        self._waiting: deque[Callable[[], AuditEntry]] = deque()
        self._unwritten: list[AuditEntry] = []
        self._lost = 0
        self._counting = threading.Lock()
        self._since = ""
        self._failure = ""
        self._wake, self._closing = threading.Event(), threading.Event()
        self.record("server.started")
        self._write()
        if self.refusing:
            raise AuditUnwritable(self._failure, file=folder)
        self._thread = threading.Thread(target=self._run, name="twofold-audit", daemon=True)
        self._thread.start()

    @property
    def refusing(self) -> bool:
        """Is nothing to be served now, since it could not be logged?"""
        return bool(self._failure) and self._settings.on_failure == "refuse"

    @property
    def remark(self) -> str:
        """Why the log cannot be written, and what it lacks; empty while it can."""
        if not self._failure:
            return ""
        lost = f"; {self._lost} events are lost" if self._lost else ""
        return f"{self._failure}{lost}"

    def close(self) -> None:
        """Write what waits and that the server stops."""
        self.record("server.stopped")
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._texts.close()

    # ------------------------------------------------------------ events, taken without waiting

    def record(self, what: str, *, who: str = "server", **values: Any) -> None:
        """Take an event."""
        at = self._stamp()
        self._take(lambda: AuditEntry(time=at, what=what, who=who, values=values))

    def witness(self, exchange: Exchange) -> None:
        """Take an answer."""
        at = self._stamp()
        self._take(lambda: self._answer(at, exchange))

    def request(self, scope: MutableMapping[str, Any], status: int, *, name: str) -> None:
        """Take a request that has ended, where it is one to be logged: it changed or found something, or was refused.

        Args:
            scope: Of the request, as the routes left it.
            status: Of the reply.
            name: Id of the request.
        """
        route = scope.get("route")
        # The template, and the names in it: never an address as a caller wrote it.
        path, method = (route.path if route is not None else "other"), scope["method"]
        about, failed = notes(), status >= 400
        what = _EVENTS.get((method, path), "" if method in ("GET", "HEAD") else "request")
        if status in _REFUSED and path not in ("/readyz", "/healthz"):
            what = "refused"
        elif path in _ANSWERS and not failed and not about:
            return
        if not what:
            return
        caller: Caller | None = scope.get(CALLER)
        values: Json = {"request": name, "method": method, "path": path, "status": status, **about}
        if "name" in scope.get("path_params", {}):
            values.setdefault("document", scope["path_params"]["name"])
        if caller is None:
            claimed = _KEY.match(dict(scope["headers"]).get(b"authorization", b""))
            values["address"] = (scope.get("client") or ("",))[0]
            if claimed:
                values["claimed"] = f"key:{claimed[1].decode()}"
        else:
            values["name"] = caller.name
        self.record(what, who=_who(caller), **values)

    def _take(self, entry: Callable[[], AuditEntry]) -> None:
        if len(self._waiting) + len(self._unwritten) >= WAITING:
            self._lose(1)
        else:
            self._waiting.append(entry)
            self._wake.set()

    def _lose(self, count: int) -> None:
        with self._counting:
            self._lost += count
            self._since = self._since or self._stamp()

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    def _answer(self, at: str, exchange: Exchange) -> AuditEntry:
        answer, origin = exchange.answer, exchange.origin
        shown = list(dict.fromkeys(hit.chunk.span.document for hit in answer.hits))
        versions, index = self._versions(shown)
        outcome = "abstained" if answer.abstained else "answered"
        if answer.failure is not None:
            outcome = f"failed {answer.failure.code}"
        elif exchange.withheld:
            outcome = "withheld"
        values: Json = {
            "request": exchange.request,
            "choice": exchange.number,
            "name": exchange.caller.name,
            "arm": origin["arm"],
            "model": origin["model"],
            "system": origin["key"],
            "index": index,
            "later_index": origin["later_index"],
            "outcome": outcome,
            # A passage's id is a digest of its document, place and text: exactly what was shown.
            "documents": [{"id": name, "version": versions.get(name, ("", ""))[0]} for name in shown],
            "passages": [hit.chunk.id for hit in answer.hits],
            "cited": list(dict.fromkeys(citation.span.document for citation in answer.citations)),
        }
        # A document that was forgotten since it was shown must not come back with the text.
        if self._settings.texts and not self._forgotten.entries().keys() & set(shown):
            turns = [{"role": turn.role, "content": turn.content} for turn in exchange.example.messages]
            salt, text, digest = sealed({"question": turns, "answer": answer.text})
            # Before the line: a text without a line is harmless, a line without its text would seem erased.
            self._texts.add([(digest, salt, text, shown)])
            values["texts"] = digest
        return AuditEntry(time=at, what="answer", who=_who(exchange.caller), values=values)

    def _versions(self, documents: Sequence[str]) -> tuple[dict[str, tuple[str, str]], str]:
        """Versions of documents and of the index now; none where the catalogue cannot be read, which stops no line."""
        try:
            return self._catalogue.documents.versions(documents), self._catalogue.notes.get("index-version")
        except TwofoldError:
            return {}, ""

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(_AGAIN if self._failure else None)
            self._wake.clear()
            # What comes in this time is written with it.
            self._closing.wait(_AGAIN if self._failure else SECONDS)
            self._write()
        # Of a disk that stays full no more than the count is known.
        if self._waiting or self._unwritten:
            self._lose(len(self._waiting) + len(self._unwritten))
            log.warning("the audit log could not be written before the end: %s events are lost", self._lost)

    def _write(self) -> None:
        """Write what waits, batch by batch, until nothing does or the log cannot be written."""
        while self._waiting or self._unwritten:
            try:
                while self._waiting and len(self._unwritten) < _BATCH:
                    entry = self._waiting[0]()
                    self._unwritten.append(entry)
                    self._waiting.popleft()
                entries, lost = [*self._unwritten], self._lost
                if lost:
                    gap: Json = {"lost": lost, "since": self._since, "why": self._failure}
                    entries.insert(0, AuditEntry(time=self._stamp(), what="log.gap", who="server", values=gap))
                self._log.append(entries, config=config_digest(self._directory))
                self._unwritten.clear()
                with self._counting:
                    self._lost -= lost
                    self._since, self._failure = "", ""
            except TwofoldError as error:
                self._failure = error.message
                return
            # Whatever it is: without this thread nothing more would be logged, and nobody would know.
            except Exception as error:
                log.exception("the audit log")
                self._failure = f"the audit log cannot be written: {type(error).__name__}"
                self._lose(len(self._unwritten) + (1 if self._waiting else 0))
                self._unwritten.clear()
                if self._waiting:
                    self._waiting.popleft()
                return


def config_digest(directory: Path) -> str:
    """Digest of the project's settings as the file has them; empty where it cannot be read."""
    try:
        return digest_file("config", directory / FILE)
    except OSError:
        return ""


def described(arms: Iterable[ServedArm]) -> list[Json]:
    """Arms as they are named in the log."""
    rows = []
    for arm in arms:
        # One that only stands for an arm whose index is down has no system yet.
        system = "" if arm.absent else arm.origin["key"]
        rows.append({"name": arm.name, "arm": arm.choice.arm.name, "model": arm.model, "system": system})
    return rows


def _who(caller: Caller | None) -> str:
    if caller is None:
        return ""
    return caller.id or (LOCAL if caller.name == LOCAL else f"name:{caller.name}")
