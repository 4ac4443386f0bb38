"""Where the records of a project lie, and its locks: files, or a schema that several machines share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twofold.config import Config
from twofold.monitoring import store as watch_store
from twofold.store.lock import ProjectLock, WriterAtWork
from twofold.store.shared import Place, SharedPlace, shared_place
from twofold.store.shared_lock import SharedLock, writer_of
from twofold.types import Json

CATALOGUE = "catalogue.sqlite"
"""The catalogue's file in `Places.derived`."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of one project's records."""

    directory: Path
    """The project."""
    home: Path
    """Directory of its locks."""
    derived: Path
    """Directory of everything that can be made again."""
    shared: SharedPlace | None
    """The schema that all machines of the project share; None where its records are files."""

    @classmethod
    def of(cls, directory: Path, config: Config, *, derived: Path | None = None) -> Places:
        """The places of a project; what lies in another `derived` than the project's, such as a trial's, is files."""
        reads: Json = {
            "project": config.project.name,
            "documents": list(config.documents.paths),
            "sources": sorted(config.sources),
            "examples": list(config.examples.paths),
        }
        home = directory / ".twofold"
        shared = shared_place(config.scale, directory, reads=reads) if derived in (None, home) else None
        return cls(directory=directory, home=home, derived=derived or home, shared=shared)

    @property
    def catalogue(self) -> Place:
        """Where the catalogue lies."""
        return self.shared or self.derived / CATALOGUE

    @property
    def has_catalogue(self) -> bool:
        """Is there a catalogue? Where many machines share one, whoever opens it finds one."""
        return self.shared is not None or (self.derived / CATALOGUE).is_file()

    @property
    def looks(self) -> Place:
        """Where the record of looks at the project lies."""
        return self.shared or self.directory / watch_store.FILE

    def lock(self, name: str, *, doing: str = "writing to", cure: str | None = None) -> ProjectLock:
        """A lock of the project by its name, shared with other machines where its records are; see `ProjectLock`."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.shared is None:
            return ProjectLock(self.home / name, doing=doing, cure=cure)
        return SharedLock(self.home / name, self.shared, doing=doing, cure=cure)

    def at_work(self) -> WriterAtWork | None:
        """The process that writes to the project, here or on another machine; None where none does."""
        return writer_of(self.home / "lock", self.shared)
