"""The search of a project: embedder, chunker, the living index, its pipeline and tools, and who may see what of it.

Each part is opened once. When the index is thrown away (`Search.clear`), so is whatever was opened on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from twofold.answering import access
from twofold.answering.readers import current
from twofold.answering.system import gold_chunks
from twofold.assembly import cutting, index_places
from twofold.assembly.models import Models
from twofold.assembly.whole_documents import WholeDocuments
from twofold.config import Config
from twofold.errors import AccessDenied
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.files.remote import RemoteFolder
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Chunker, Discards, Embedder, Index, Parts, Retriever, Tool
from twofold.reports import word_weight
from twofold.store import weighing
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.tuning.gathered import Gathered
from twofold.tuning.visible import Learning
from twofold.types import Chunk, Example, Filter, Json


@dataclass(kw_only=True, eq=False)
class Search:
    """The parts by which documents are cut, indexed and found."""

    directory: Path
    """The project's derived data (``.twofold``)."""
    config: Config
    """The configuration in force."""
    catalogue: Catalogue
    """The open catalogue."""
    artifacts: Artifacts
    """Stores an embedder that was tuned here."""
    models: Models
    """For stages that ask a model."""
    everything: bool = False
    """Learn from all documents, also those that only test questions are about: no study may use it."""
    opened_embedder: Embedder | None = None
    """The configured embedder where another search has opened it: a model is not loaded again."""

    spread: Callable[[Search, Retriever], Retriever] | None = None
    """Gives the pipeline the help of workers, for studies and sweeps; None leaves it in this process."""
    dressed: Callable[[Parts], Parts] | None = None
    """Changes the parts of retriever and stages before they are used; None leaves them. See `dress`."""

    def __post_init__(self) -> None:
        self._living = _Living(self)

    # ------------------------------------------------------------ what documents are cut and embedded with

    @cached_property
    def embedder(self) -> Embedder:
        """The configured embedder."""
        # A benchmark opens one search a pipeline; the model is loaded once for all of them.
        if self.opened_embedder is not None:
            return self.opened_embedder
        return cutting.embedder(self.config, self.embedder_options())

    def embedder_options(self) -> Json:
        """The configured embedder's options, with the place of one that was tuned here (`Artifacts.placed`)."""
        return self.artifacts.placed(self.config.retrieval.embedder.options)

    @cached_property
    def chunker(self) -> Chunker:
        """The configured chunker, counting the embedder's tokens."""
        return cutting.chunker(self.config, self.embedder)

    @property
    def chunk_recipe(self) -> Json:
        """Chunker and access rules, for keys."""
        rules = [rule.model_dump(mode="json") for rule in self.config.access.rules]
        return {**specs.of_part("chunkers", self.config.documents.chunker), **({"rules": rules} if rules else {})}

    # ------------------------------------------------------------ the living index

    @property
    def index(self) -> Index:
        """The living index.

        Raises:
            IndexMismatch: it was made by another embedder.
        """
        return self._living.index

    @property
    def place(self) -> Path | RemoteFolder:
        """Where the index lies; see `index_places.place_of`."""
        return index_places.place_of(self.config, self.directory)

    @property
    def retriever(self) -> Retriever:
        """The configured pipeline over the living index."""
        return self._living.retriever

    @cached_property
    def whole(self) -> Retriever:
        """All documents in place of a search; see `WholeDocuments`."""
        return WholeDocuments(self.catalogue.documents.get, self.config.access.rules)

    @property
    def parts(self) -> Parts:
        """The parts that retrievers and their stages may use."""
        return self._living.parts

    @property
    def gathered(self) -> Gathered:
        """The searches for train and dev questions, each made once as long as what decides them stays."""
        return self._living.gathered(digest("searches", self.spec()))

    def spec(self) -> Json:
        """All settings and contents that decide what is found; see `specs.of_retrieval`."""
        contents: Json = {"content": self.index.state().content, "words": self.words()}
        return specs.of_retrieval(self.config, embedder=self.embedder.fingerprint, **contents)

    def words(self) -> float | None:
        """The weight of the word leg chosen for this search; None without a choice."""
        return weighing.weight(self.catalogue.notes, self.config, chunks=self.chunk_recipe, embedder=self.embedder)

    def words_explained(self) -> str:
        """`words` and why, as a sentence; see `weighing.in_force`."""
        choice, why_none = weighing.in_force(
            self.catalogue.notes, self.config, chunks=self.chunk_recipe, embedder=self.embedder
        )
        return why_none or word_weight.sentence(choice)

    def dress(self, change: Callable[[Parts], Parts]) -> None:
        """Change the parts of retriever and stages, as a server does; what was opened with others is opened anew."""
        self.dressed = change
        self._living = _Living(self)

    def clear(self) -> None:
        """Remove the index and what is known of the documents in it."""
        self._living = _Living(self)
        self.catalogue.sync.clear()
        part = self.config.retrieval.index
        index_class = loading.find("indexes", part.name)
        # Asked of the class: an index of another embedder, which this is called for, cannot be opened.
        if isinstance(index_class, Discards):
            index_class.discard(loading.options("indexes", part.name, part.options), dimension=self.embedder.dimension)
        index_places.clear(self.place)

    # ------------------------------------------------------------ who may see what

    @cached_property
    def filter(self) -> Filter:
        """The filter of studies and tuning: [retrieval].where, of documents that the study's principal may read."""
        section = self.config.access
        where = self.config.retrieval.where
        # None as principal sees everything; `require_principal` refuses that under access control.
        if not section.enabled or not (section.study_user or section.study_groups):
            return Filter(where=where)
        return Filter(where=where, principal=access.principal(section.study_user, section.study_groups))

    def require_principal(self) -> None:
        """Refuse a study or tuning under access control as nobody.

        Raises:
            AccessDenied: access control is on, and [access] names no principal for them.
        """
        if self.config.access.enabled and self.filter.principal is None:
            raise AccessDenied("access control is enabled, but [access] names no user or group for studies and tuning")

    def readable(self, examples: Sequence[Example]) -> Questions:
        """The examples that tuning may learn from: made from documents that the study's principal may read."""
        if self.filter.principal is None:
            return Questions.of(examples)
        # An example quotes its gold passage: whoever may not read that must not have it in the training data.
        golds = self.gold(examples)
        return Questions(
            e for e, chunks in zip(examples, golds, strict=True) if access.readable(e, chunks, self.filter)
        )

    def gold(self, examples: Sequence[Example]) -> list[list[Chunk]]:
        """Gold passages of each example, best evidence first; empty where the sources are unknown."""
        document_ids = list(dict.fromkeys(chain.from_iterable(example.sources for example in examples)))
        by_document: dict[str, list[Chunk]] = {}
        for chunk in self.index.chunks_of(document_ids) if document_ids else []:
            by_document.setdefault(chunk.span.document, []).append(chunk)
        golds = []
        for example in examples:
            passages = chain.from_iterable(by_document.get(source, ()) for source in example.sources)
            golds.append(gold_chunks(example, list(passages)))
        return golds

    def learning(self, splits: Splits, config: Config | None = None) -> Learning:
        """The material to learn from: no document that only test questions are about, unless `everything`.

        Args:
            splits: The examples.
            config: In force for the model that learns; by default the project's own.
        """
        train, dev = self.readable(splits.train), self.readable(splits.dev)
        # Otherwise a test would measure what was memorised, not what will be answered about new documents.
        hidden = frozenset() if self.everything else splits.hidden
        return Learning(
            splits=replace(splits, train=train, dev=dev),
            filter=replace(self.filter, without=hidden),
            everything=self.everything,
            config=config or self.config,
            root=self.directory.parent,
            retriever=lambda: self.gathered,
            gold=self.gold,
        )


class _Living:
    """The parts opened on one index, and thrown away with it."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._config = search.config
        self._gathered: Gathered | None = None

    @cached_property
    def index(self) -> Index:
        part = self._config.retrieval.index
        embedder = self._search.embedder
        index: Index = loading.make(
            "indexes",
            part.name,
            part.options,
            directory=self._search.place,
            fingerprint=embedder.fingerprint,
            dimension=embedder.dimension,
        )
        # Readers as the catalogue knows them now, not as they were when a chunk or an older version was indexed.
        return current(index, self._search.catalogue.documents, self._config.access)

    @cached_property
    def retriever(self) -> Retriever:
        retriever: Retriever = loading.make("retrievers", "pipeline", self._config.retrieval.pipeline, parts=self.parts)
        spread = self._search.spread
        # A server's questions come one at a time, and its parts are this process's own.
        return retriever if spread is None or self._search.dressed else spread(self._search, retriever)

    @cached_property
    def parts(self) -> Parts:
        collections = {name: source.description for name, source in self._config.sources.items()}
        parts = Parts(
            embedder=self._search.embedder,
            index=self.index,
            generator=lambda: self._search.models.plain,
            collections=collections,
            texts=self._search.catalogue.documents.get,
            tools=self._tools(),
            words=self._search.words,
        )
        return self._search.dressed(parts) if self._search.dressed else parts

    def _tools(self) -> dict[str, Tool]:
        """The live tools of ``[tools]``; none is asked yet."""
        directory = self._search.directory
        tools: dict[str, Tool] = {}
        for name, tool in self._config.tools.items():
            tools[name] = loading.make(
                "tools",
                tool.kind,
                tool.options,
                name=name,
                description=tool.description,
                readers=tool.readers,
                root=directory.parent,
                scratch=directory / "tools" / name,
            )
        return tools

    def gathered(self, decided_by: str) -> Gathered:
        # Another content, weight of words or setting finds other passages: the searches are then made anew.
        if self._gathered is None or self._gathered.decided_by != decided_by:
            self._gathered = Gathered(self.retriever, decided_by=decided_by)
        return self._gathered
