"""The living index of a project and what searches it: index, pipeline, tools, and the searches that learning makes.

Each part is opened once. When the index is thrown away, so is the `Search`, and with it whatever was opened on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from twofold.answering.readers import current
from twofold.config import Config
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Embedder, Generator, Index, Parts, Retriever, Tool
from twofold.store import weighing
from twofold.store.catalogue import Catalogue
from twofold.tuning.gathered import Gathered
from twofold.types import Json


@dataclass(kw_only=True)
class Search:
    """What is opened on one index."""

    directory: Path
    """The project's derived data (``.twofold``)."""
    config: Config
    """The configuration in force."""
    catalogue: Catalogue
    """The open catalogue."""
    embedder: Callable[[], Embedder]
    """The configured embedder."""
    generator: Callable[[], Generator]
    """The untuned generator, for stages that ask a model."""
    chunks: Callable[[], Json]
    """What documents are cut with."""
    _gathered: Gathered | None = None

    @cached_property
    def index(self) -> Index:
        """The living index.

        Raises:
            IndexMismatch: it was made by another embedder.
        """
        part, embedder = self.config.retrieval.index, self.embedder()
        index: Index = loading.make(
            "indexes",
            part.name,
            part.options,
            directory=self.directory / "index",
            fingerprint=embedder.fingerprint,
            dimension=embedder.dimension,
        )
        return current(index, self.catalogue.documents, self.config.access)

    @cached_property
    def retriever(self) -> Retriever:
        """The configured pipeline over the living index."""
        retriever: Retriever = loading.make("retrievers", "pipeline", self.config.retrieval.pipeline, parts=self.parts)
        return retriever

    @cached_property
    def parts(self) -> Parts:
        """What retrievers and their stages may use."""
        collections = {name: source.description for name, source in self.config.sources.items()}
        return Parts(
            embedder=self.embedder(),
            index=self.index,
            generator=self.generator,
            collections=collections,
            texts=self.catalogue.documents.get,
            tools=self.tools,
            words=self.words,
        )

    @cached_property
    def tools(self) -> dict[str, Tool]:
        """The live tools of ``[tools]``; none is asked yet."""
        return {
            name: loading.make(
                "tools",
                tool.kind,
                tool.options,
                name=name,
                description=tool.description,
                readers=tool.readers,
                root=self.directory.parent,
                scratch=self.directory / "tools" / name,
            )
            for name, tool in self.config.tools.items()
        }

    def words(self) -> float | None:
        """The weight of the word leg chosen for this search; None without a choice."""
        return weighing.weight(self.catalogue.notes, self.config, chunks=self.chunks(), embedder=self.embedder())

    def spec(self) -> Json:
        """Everything that decides what is found; see `specs.of_retrieval`."""
        contents: Json = {"content": self.index.state().content, "words": self.words()}
        return specs.of_retrieval(self.config, embedder=self.embedder().fingerprint, **contents)

    @property
    def gathered(self) -> Gathered:
        """The searches for train and dev questions, each made once as long as what decides them stays."""
        decided = digest("searches", self.spec())
        if self._gathered is None or self._gathered.decided_by != decided:
            self._gathered = Gathered(self.retriever, decided_by=decided)
        return self._gathered
