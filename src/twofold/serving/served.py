"""What a server serves now: opened anew when a study, an alias or a calibration changes it, without dropping a request.

The living index is followed by itself: `Dispatcher` searches its newest version.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from twofold.errors import StoreError, TwofoldError
from twofold.hashing import digest
from twofold.project import Project
from twofold.reports import archive, decisive

log = logging.getLogger(__name__)

_RETRY = 15.0
"""Seconds after which what could not be opened is tried again."""
_ELSEWHERE = 10.0
"""Seconds between two looks at an object store for what other machines have written: each costs a few requests."""
_INCOMPLETE = 2.0
"""Seconds after which that is done for something of which only a part could be opened."""


class Closes(Protocol):
    """Something that can be closed."""

    def close(self) -> None:
        """End what runs, and free the memory."""
        ...


T = TypeVar("T", bound=Closes)


def mark(project: Project) -> str:
    """Digest of what decides which systems answer: studies, rollbacks, tuned models with aliases, calibrations.

    Cheap: no record and no weights are read.
    """
    study = decisive.decisive(project.records)
    finished = [manifest["key"] for manifest in project.workspace.artifacts.list() if manifest["finished"]]
    return digest("served", [archive.names(project.records), study, project.catalogue.models.aliases(), finished])


class Served(Generic[T]):
    """The one thing that answers requests now, such as a `Dispatcher` with its system.

    While it is exchanged both are in memory.

    Args:
        project: Open for as long as this is used; the caller closes it.
        opened: Opens what the project's newest study says is to be served.
        seconds: Time between two looks at the project.
        complete: Could all of it be opened? Else it is opened anew until it can.
        after: Is shown what is served from now on, after each exchange.

    Raises:
        TwofoldError: as `opened`.
    """

    def __init__(
        self,
        project: Project,
        opened: Callable[[], T],
        *,
        seconds: float = 2.0,
        complete: Callable[[T], bool] = lambda _: True,
        after: Callable[[T], object] = lambda _: None,
    ) -> None:
        self.exchanged = 0
        """How often it was exchanged."""
        self.failure = ""
        """Why what the project says now is not served; empty where it is."""
        self.unseen = ""
        """Why what other machines write is not seen; empty where it is, or nothing is shared."""
        self._again = 0.0
        self._project, self._opened, self._complete, self._after = project, opened, complete, after
        # Before it is opened: what changes meanwhile is then seen at the next look.
        self._mark = mark(project)
        self._current = opened()
        self._users: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(seconds,), daemon=True, name="twofold-served")
        self._watcher.start()

    @contextmanager
    def using(self) -> Iterator[T]:
        """What is served now, for one request: it is not closed before the block is left."""
        with self._changed:
            current = self._current
            self._users[id(current)] += 1
        try:
            yield current
        finally:
            with self._changed:
                self._users[id(current)] -= 1
                self._changed.notify_all()

    def refresh(self) -> bool:
        """Exchange what is served if the project has changed; True where it was exchanged.

        What cannot be opened changes nothing: the former goes on answering. It is tried again from time to time, for
        what is missing may be back, such as a database.

        Raises:
            TwofoldError: as `opened`.
        """
        self._look_elsewhere()
        try:
            now, before = mark(self._project), self._mark
            again = self.failure or not self._complete(self._current)
            if now == before and (not again or time.monotonic() < self._again):
                return False
            # Before it is opened, so that one that cannot be is tried every `_RETRY` seconds, not at every look.
            self._mark = now
            fresh = self._opened()
            self._again = time.monotonic() + _INCOMPLETE
            if now == before and not self.failure and not self._complete(fresh):
                fresh.close()  # as the former
                return False
        except Exception as error:  # `/readyz` says it until the next try
            self.failure = error.message if isinstance(error, TwofoldError) else f"{type(error).__name__}: {error}"
            self._again = time.monotonic() + _RETRY
            raise
        self.failure = ""
        with self._changed:
            former, self._current = self._current, fresh
            self.exchanged += 1
            # New requests have the fresh one already; streams of the former may take as long as an answer may.
            self._changed.wait_for(lambda: not self._users[id(former)] or self._stop.is_set())
            # By `id`, which Python gives to another object later.
            del self._users[id(former)]
        former.close()
        self._after(fresh)
        return True

    def _look_elsewhere(self) -> None:
        """Bring here what other machines have written; what is here goes on answering where that fails."""
        try:
            self._project.sharing.look(every=_ELSEWHERE)
        except StoreError as error:
            if not self.unseen:
                log.warning("what other machines write is not seen now: %s", error)
            self.unseen = error.message
        else:
            self.unseen = ""

    def close(self) -> None:
        """Close what is served."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        # First: a refresh under way would exchange what is closed here.
        self._watcher.join()
        self._current.close()

    def _watch(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self.refresh()
            except Exception as error:
                # Whatever it is: without this thread no later verdict would be served, and nobody would know.
                words = error if isinstance(error, TwofoldError) else f"{type(error).__name__}: {error}"
                trace = None if isinstance(error, TwofoldError) else error
                log.warning(
                    "what the project says now cannot be served, the former goes on answering: %s",
                    words,
                    exc_info=trace,
                )
