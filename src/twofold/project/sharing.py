"""What a project shares with other machines, where `[scale]` names an object store."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from twofold.config import Config
from twofold.errors import DiskFull
from twofold.store.artifacts import Artifacts
from twofold.store.sharing import Exchanging, Shared, StoreSummary

log = logging.getLogger(__name__)


class Sharing:
    """One project's artifacts and records, here and in its object store.

    Args:
        directory: The project.
        config: The configuration in force.
        home: Its derived data.
    """

    def __init__(self, directory: Path, config: Config, *, home: Path) -> None:
        self._directory = directory
        self._config = config
        self._home = home
        self._looked = 0.0

    @cached_property
    def store(self) -> Shared | None:
        """The object store; None where the project shares nothing."""
        scale = self._config.scale
        if not scale.store:
            return None
        return Shared(scale, name=self._config.project.name, root=self._directory, home=self._home)

    @cached_property
    def artifacts(self) -> Artifacts:
        """Adapters, tuned embedders, calibrations; those of other machines are fetched when they are needed."""
        return self.store.artifacts if self.store is not None else Artifacts(self._home / "artifacts")

    def look(self, *, every: float = 0.0) -> None:
        """Bring here what other machines have written.

        Args:
            every: Not again within so many seconds.

        Raises:
            StoreError: the object store does not answer, or refuses.
        """
        now = time.monotonic()
        if self.store is None or (self._looked and now - self._looked < every):
            return
        try:
            self.store.pull()
        except DiskFull as error:  # what reads, and `gc`, work on a full disk
            log.warning("what other machines have written is not fetched: %s", error)
        self._looked = now

    def share(self) -> None:
        """Exchange what was written without the project's lock; every command does so that takes the lock.

        Raises:
            StoreError: the object store does not answer, or refuses.
        """
        if self.store is not None:
            self.store.exchange(locked=False)

    def beside(self) -> list[AbstractContextManager[object]]:
        """What is done with the writer's lock: the records are exchanged when it is taken, and at its end."""
        store = self.store
        return [] if store is None else [Exchanging(lambda: store.exchange(locked=True))]

    def summary(self) -> StoreSummary | None:
        """What is in the object store, which is asked; None where the project shares nothing.

        Raises:
            StoreError: the object store does not answer, or refuses.
        """
        return self.store.summary() if self.store is not None else None
