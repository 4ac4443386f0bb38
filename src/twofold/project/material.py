"""The material of a project: workspace, documents, examples, splits; each read once, and read anew after a sync."""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from twofold import asking
from twofold.assembly import index_places
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.corpus.loading import load_documents
from twofold.errors import TooFewExamples, TwofoldError
from twofold.examples import loading, preparing
from twofold.examples.splitting import Splits
from twofold.files import writing
from twofold.indexing import feeds
from twofold.indexing.erasure import RECORDS
from twofold.lifecycle.models import TunedModels
from twofold.plugins.loading import find
from twofold.plugins.protocols import Progress
from twofold.plugins.traits import MetricTraits
from twofold.project.places import CATALOGUE, Places
from twofold.project.sharing import Sharing
from twofold.store.catalogue import Catalogue
from twofold.store.forgotten import present
from twofold.store.lock import ProjectLock
from twofold.store.shared import open_database
from twofold.store.transfer import LEARNED, copy_rows
from twofold.store.weighing import SettledWords
from twofold.study.retrieval.blend import settle
from twofold.types import Document, Example, Json

log = logging.getLogger(__name__)

MOVED = "catalogue.moved.sqlite"
"""The catalogue's file once its rows are in a database."""


class Material:
    """One project's files and derived data under one configuration.

    Args:
        directory: The project.
        config: The configuration in force.
        overrides: Nested values that were laid over `twofold.toml` for it.
        derived: Another place of catalogue and index, directly in `directory`; models and the lock stay the project's.
    """

    def __init__(
        self, directory: Path, config: Config, *, overrides: Json | None = None, derived: Path | None = None
    ) -> None:
        self.directory = directory
        self._overrides: Json = overrides or {}
        self.config = config
        self.home = directory / ".twofold"
        """Directory of models and locks, and by default of all that is derived."""
        self.derived = derived or self.home
        """Directory of everything that can be made again."""
        self.places = Places.of(directory, config, derived=derived)
        """Where catalogue and looks lie, and the project's locks."""
        self.records = directory / RECORDS
        """Directory of finished studies."""
        self.sharing = Sharing(directory, config, home=self.home)
        """Artifacts, and what other machines have of them and of the records."""
        self._split: tuple[dict[str, str], tuple[Splits, Json]] | None = None
        self._catalogue: Catalogue | None = None
        self._documents: list[Document] | None = None

    def close(self) -> None:
        """Close the catalogue if it was opened."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    @property
    def catalogue(self) -> Catalogue:
        """The project's catalogue, opened once."""
        if self._catalogue is None:
            # Only its owner: the directory holds texts of documents that not everybody may read.
            self.derived.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._catalogue = Catalogue(self.places.catalogue)
            if self.places.shared is not None:
                self._take_over(self._catalogue)
        return self._catalogue

    def _take_over(self, catalogue: Catalogue) -> None:
        """Put the rows of a catalogue in a file into the schema that the project has now, once; the file stays."""
        file = self.derived / CATALOGUE
        if not file.is_file():
            return
        # Documents of a file agree with the index of that time: those that a schema has are of a later one.
        fresh = not catalogue.documents.digests()
        with closing(open_database(file)) as former:
            counts = copy_rows(former, catalogue.database, names=None if fresh else LEARNED)
        log.warning("%s is in the database now, with %d answers", file, counts["answers"])
        with suppress(FileNotFoundError):  # another process was first
            writing.put(file, file.with_name(MOVED))

    @property
    def synced_catalogue(self) -> Catalogue | None:
        """The catalogue where there is one; asking for it makes none."""
        return self.catalogue if self.places.has_catalogue else None

    @cached_property
    def workspace(self) -> Workspace:
        """The project's parts."""
        return replace(self.under(self.config), laid_over=self._overrides)

    def under(self, config: Config, *, everything: bool = False) -> Workspace:
        """The parts under another configuration, or such as learn from all documents (`Workspace.open`)."""
        artifacts = self.sharing.artifacts
        return Workspace.open(
            self.derived, config, catalogue=self.catalogue, artifacts=artifacts, everything=everything
        )

    def models(self, workspace: Workspace) -> TunedModels:
        """The tuned models, trained and compared by the parts of this workspace."""
        return TunedModels(workspace=workspace, records=self.records, splits=lambda: self.splits)

    @property
    def reader(self) -> Workspace:
        """`workspace`; as long as nothing was derived one without a file behind it, so that asking writes nothing."""
        if self._catalogue is not None or self.places.has_catalogue:
            return self.workspace
        return Workspace.open(self.derived, self.config, catalogue=Catalogue(None), artifacts=self.sharing.artifacts)

    @property
    def documents(self) -> list[Document]:
        """All documents that were not forgotten, read strictly, once a sync; empty when the project has none."""
        if self._documents is None:
            section = self.config.documents
            example_paths = self.config.examples.paths
            read = []
            if section.paths:
                read = load_documents(section, self.directory, question_paths=example_paths)[0]
            self._documents = present(read, self.directory)
        return self._documents

    @cached_property
    def examples(self) -> list[Example]:
        """All usable examples."""
        return self.read_examples()

    def read_examples(self) -> list[Example]:
        """All usable examples as their files are now, whatever was read before."""
        return loading.load_examples(self.config.examples.paths, self.directory)[0]

    @property
    def prepared(self) -> tuple[Splits, dict[str, int]]:
        """Splits without leaks, and what was dropped for them: made again whenever a sync has changed the documents."""
        synced = self.synced_catalogue
        # A sync can make documents copies of each other, or tell them apart: the splits follow.
        content = feeds.contents(synced)
        if self._split is None or self._split[0] != content:
            # Nothing to divide: comparing all documents with each other would cost every sync minutes and their texts.
            nothing: tuple[dict[str, str], dict[str, tuple[str, ...]]] = ({}, {})
            same, holders = feeds.same_documents(synced, lambda: self.documents) if self.examples else nothing
            section = self.config.examples
            self._split = (content, preparing.prepared(self.examples, section, documents=same, holders=holders))
        return self._split[1]

    @property
    def splits(self) -> Splits:
        """Train, dev, test and reserve; see `Project.splits`."""
        return self.prepared[0]

    @property
    def retrieves(self) -> bool:
        """Does an arm of the study read documents, or a metric judge answers by them?"""
        section = self.config.study
        if any(self.config.arm(name).retrieval for name in (*section.arms, *section.diagnostics)):
            return True
        has_documents = bool(self.config.documents.paths or self.config.sources)
        judges = [MetricTraits.of(find("metrics", part.name)).judges_passages for part in section.scored]
        return has_documents and any(judges)

    def writing(self) -> ProjectLock:
        """The project's one writer's lock; see `Project.writing`."""
        lock = self.places.lock("lock")
        # The lease first: records are exchanged by whoever writes alone.
        lock.beside += [*index_places.leases(self.config), *self.sharing.beside()]
        return lock

    def refresh(self, progress: Progress) -> bool:
        """Sync before something reads the documents; False where the project has none. The caller holds the lock."""
        self._documents = None  # what was read before the sync
        search = self.workspace.search
        synced = feeds.refresh(search, self.directory, progress=progress)
        asking.check_where(search)
        return synced

    def note_same_documents(self) -> None:
        """Work out which documents have the same text or hold others, and note it. The caller holds the lock."""
        feeds.same_documents(self.catalogue, lambda: self.documents, keep=True)

    def weighed(self, progress: Progress, *, exact: bool = True) -> SettledWords | None:
        """The weight of the word leg, chosen again where the last choice is old (`blend.settle`)."""
        try:
            return settle(self.workspace.search, lambda: self.splits, exact=exact, progress=progress)
        except TwofoldError as error:
            # Whoever only syncs is not stopped by examples that are wrong: the weight stays, and the reason is told.
            if exact and not isinstance(error, TooFewExamples):
                raise
            return {"weight": None, "why": str(error), "new": True}
