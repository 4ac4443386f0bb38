"""A pipeline whose queries are searched for by workers (`[scale]`), each with the project's index opened for itself.

Worth it where stages of a search read with a model: a cross-encoder takes seconds a question, the search itself
milliseconds. A worker that does not see the same index gives its queries back, and the command searches for them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from twofold.assembly.models import Models, threaded
from twofold.assembly.searching import Search
from twofold.config import Config
from twofold.errors import MissingExtra, TwofoldError
from twofold.execution.choosing import executor
from twofold.execution.contract import Executor
from twofold.hashing import digest
from twofold.plugins.protocols import Retriever
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.store.shared import Place
from twofold.types import Query, Retrieval

_LOG = logging.getLogger(__name__)
_LEAST, _TASKS = 4, 4
"""Queries of a task, which cost less to send than one stage takes for them, and tasks a worker of each call."""
_SEARCHES = ("dense", "lexical", "hybrid")
"""Retrievers that ask no model but the embedder."""

Batch = tuple[int | None, int, Sequence[Query]]
"""Pinned version of the index, hits a query, and the queries."""


@dataclass(frozen=True, kw_only=True)
class Searching:
    """The work of searching for batches of queries; see `execution.contract.BatchWork`."""

    directory: Path
    """The project's derived data, under the same path everywhere, or an index and a catalogue that are shared."""
    config: Config
    catalogue: Place
    artifacts: Path
    """Those of the project; an embedder that was tuned here is among them."""
    decided_by: str
    """Digest of all that decides what is found, as the command has it."""
    label: str = "search"

    def open(self) -> Callable[[Batch], list[Retrieval] | None]:
        """Open the search; a batch gives None where this machine does not see the command's index and settings.

        Raises:
            MissingExtra: this machine lacks what a stage needs.
        """
        try:
            search = self._search()
            # Opening an index makes one where there is none.
            there = not isinstance(search.place, Path) or search.place.is_dir()
            retriever = search.retriever if there and decided_by(search) == self.decided_by else None
        except MissingExtra:
            raise
        except (TwofoldError, OSError) as error:
            _LOG.info("the project's index is not seen here: %s", error)
            retriever = None
        if retriever is None:
            return lambda _: None

        def retrieve(batch: Batch) -> list[Retrieval]:
            version, k, queries = batch
            retriever.pin(version)
            return retriever.retrieve(queries, k)

        return retrieve

    def _search(self) -> Search:
        catalogue = Catalogue(self.catalogue, readonly=True)
        artifacts = Artifacts(self.artifacts)
        part = self.config.generation.generator
        scale = self.config.scale
        part = part.model_copy(update={"options": threaded(part.name, part.options, cores=scale.cores)})
        # Its own stages stay in this process: a worker starts no cluster.
        config = self.config.model_copy(
            update={
                "scale": scale.model_copy(update={"on": "local"}),
                "generation": self.config.generation.model_copy(update={"generator": part}),
            }
        )
        models = Models(directory=self.directory, config=config, catalogue=catalogue, artifacts=artifacts)
        return Search(directory=self.directory, config=config, catalogue=catalogue, artifacts=artifacts, models=models)


def decided_by(search: Search) -> str:
    """Digest of everything that decides what a search finds."""
    return digest("searches", search.spec())


class SpreadRetriever:
    """See the module and `protocols.Retriever`. A few queries, such as live ones, are searched for in this process.

    Args:
        inner: The pipeline as it is opened here.
        search: What it searches.
    """

    version: ClassVar[int] = 1

    def __init__(self, inner: Retriever, search: Search) -> None:
        self.inner = inner
        self._search = search
        self._version: int | None = None
        self._unseen = False

    @property
    def executor(self) -> Executor:
        """Who searches."""
        return executor(self._search.config.scale)

    def pin(self, version: int | None) -> None:
        """See `protocols.Retriever`."""
        self._version = version
        self.inner.pin(version)

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, in order; each worker searches for some of the queries."""
        if len(queries) <= _LEAST or self._unseen:
            return self.inner.retrieve(queries, k)
        search = self._search
        work = Searching(
            directory=search.directory,
            config=search.config,
            catalogue=search.catalogue.beside(Path(search.catalogue.database.place)),
            artifacts=search.artifacts.directory,
            decided_by=decided_by(search),
        )
        workers = self.executor
        size = max(_LEAST, -(-len(queries) // (_TASKS * workers.workers)))
        pieces = [queries[start : start + size] for start in range(0, len(queries), size)]
        done: dict[int, list[Retrieval]] = {}
        for place, retrievals in workers.run(work, ((self._version, k, piece) for piece in pieces)):
            if retrievals is None and not self._unseen:
                self._unseen = True
                _LOG.warning(
                    "a worker does not see %s with this content: the command itself searches. Give every node the "
                    "project's folder, or set [scale].index and [scale].database",
                    search.place,
                )
            done[place] = self.inner.retrieve(pieces[place], k) if retrievals is None else retrievals
        return [retrieval for place in range(len(pieces)) for retrieval in done[place]]


def spread(search: Search, inner: Retriever) -> Retriever:
    """The pipeline as `[scale]` wants it: with the workers' help where a stage reads with a model."""
    retrieval = search.config.retrieval
    reads = retrieval.rewriters or retrieval.rerankers or retrieval.retriever.name not in _SEARCHES
    # A live tool asks with secrets that only this machine may have, and is asked as often as its owner was told.
    if search.config.scale.on == "local" or not reads or search.config.tools:
        return inner
    return SpreadRetriever(inner, search)
