"""An arm of a project made ready to answer live requests, and the evidence of its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import ClassVar, Literal

from twofold import asking
from twofold.answering.citing import Whereabouts, evidence, whereabouts
from twofold.answering.system import System, query
from twofold.errors import BadRequest, ConfigError, NotServed, PartDown, TooLong
from twofold.metadata.conditions import conditions
from twofold.plugins.live import KnowsRounding
from twofold.project import Project
from twofold.reports.measured import measured_systems
from twofold.serving.batches import RunningBatches
from twofold.serving.degradation import INDEX_FAILURES, Breaker, GuardedRetriever
from twofold.serving.dispatch import Dispatcher, Overrides, Ticket
from twofold.serving.live_parts import LiveParts
from twofold.serving.replies import Cited, Reply
from twofold.store.model_registry import model_id
from twofold.types import Answer, Chunk, Citation, Example, Filter, Hit, IndexState, Json

Measured = Literal["", "now", "earlier"]
"""Was the served system measured: no, exactly as it is, or on an earlier version of the index."""
_SEARCHABLE = 100_000
"""Letters of a question, with the one before it, that are searched for, about 25,000 tokens. Cutting four million
into words holds the interpreter's lock for seconds, in which nobody else is answered."""


def measured(system: System, descriptions: Mapping[str, Json]) -> Measured:
    """Did a study measure this system?

    Args:
        system: What is served.
        descriptions: Key → description of each system that a finished study measured (`measured_systems`).
    """
    if system.key in descriptions:
        return "now"
    apart = _apart_from_index(system.description)
    return "earlier" if any(_apart_from_index(one) == apart for one in descriptions.values()) else ""


def _apart_from_index(description: Json) -> Json:
    """A system's description without what changes with the documents, and without what loading the model adds."""
    retrieval = description.get("retrieval", {})
    changing = ("content", "index_version", "words")
    generator = {key: value for key, value in description.get("generator", {}).items() if key != "parity"}
    return {
        **description,
        "generator": generator,
        "retrieval": {key: value for key, value in retrieval.items() if key not in changing},
    }


class ServedArm:
    """One arm of a project, ready to answer.

    Args:
        project: Open for as long as the arm is used; closed by the caller.
        batches: Where its weights are loaded, at the first request; closed by the caller, after the arm.
        arm: Name of the arm; by default the latest verdict's.
        model: Id or alias of a tuned model, in place of an arm.
        unmeasured: Serve also what no study has measured.

    Raises:
        ConfigError: no study has measured this, and `unmeasured` is false.
        IndexEmpty, UnknownName, StoreError, TemplateMismatch: as `Project.open_system`.
    """

    absent: ClassVar[bool] = False
    """Does this only stand for an arm that cannot be opened?"""

    def __init__(
        self,
        project: Project,
        batches: RunningBatches,
        *,
        arm: str = "",
        model: str = "",
        unmeasured: bool = False,
    ) -> None:
        workspace, section = project.workspace, project.config.serving
        self._project = project
        self._parts = LiveParts.of(workspace.search, batches)  # before the retriever is made of them
        self._choice = asking.chosen(
            workspace.models, workspace.systems.calibrations, project.records, arm=arm, model=model
        )
        system = asking.open_system(workspace, self._choice, lambda: project.splits, root=project.directory)
        self.name = model or self._choice.arm.name
        """The name by which requests ask for it."""
        self.model = model_id(workspace.artifacts.manifest(self._choice.model)) if self._choice.model else ""
        """Id of the tuned model; empty without one."""
        self.measured = measured(system, measured_systems(workspace.catalogue, project.records, model=self.model))
        """Did a study measure it?"""
        if not self.measured and not unmeasured:
            # The constructor is about to raise: nobody else will have it to close.
            system.close()
            raise ConfigError(
                f"{self.name} is not measured with these settings: {self._choice.why}",
                cure="Run `twofold study` first, or serve it all the same with --unmeasured.",
            )
        generator = system.generator
        self._origin: Json = {
            "arm": self._choice.arm.name,
            "model": self.model,
            "key": system.key,
            "measured": bool(self.measured),
            # Of greedy answers; where the runtime rounds by the batch, the study's may differ in a word.
            "byte_equal": self.measured == "now" and isinstance(generator, KnowsRounding) and generator.byte_equal,
            "why": self._choice.why,
            "study": self._choice.study,
            "reads_documents": self._choice.arm.retrieval,
        }
        self._batch = batches.share(system.generator)
        retriever = system.retriever and GuardedRetriever(system.retriever, self._parts.index)
        # Of arms with the same weights only one generator is there.
        self._system = replace(system, generator=self._batch.generator, retriever=retriever)
        self._dispatcher = Dispatcher(self._system, batch=self._batch, queue=section.queue, grace=section.grace)

    def load(self) -> None:
        """Load what the first answer would wait for: the weights, the embedder and the index.

        Raises:
            GenerationError: the engine does not start.
        """
        self._batch.load()
        if self._choice.arm.retrieval:
            self._project.workspace.search.embedder.embed(["warm"])
            with suppress(PartDown):  # `/readyz` says it, and requests are refused until it is back
                self.later()

    @property
    def origin(self) -> Json:
        """Where its answers come from: arm, model, key of the system.

        Whether the index is a later one is left unknown, for a look may take a while.
        """
        return {**self._origin, "later_index": None}

    @property
    def choice(self) -> asking.ChosenArm:
        """The arm, its tuned model and its calibration, and why it answers."""
        return self._choice

    @property
    def system(self) -> System:
        """What answers."""
        return self._system

    def close(self) -> None:
        """End the running answers within the grace; the weights go too, unless another arm has the same."""
        self._dispatcher.close()

    def description(self) -> Json:
        """The arm as `/v1/models` shows it."""
        return {
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": "twofold",
            **self._origin,
            "later_index": self._later_or_unknown(),
            "loaded": self._batch.loaded,
        }

    # ------------------------------------------------------------ asking

    def narrowed(self, requested: Filter | None, where: Sequence[str]) -> Filter | None:
        """The filter of a request with conditions on metadata.

        Raises:
            BadFilter: a condition cannot be read.
            BadRequest: there are conditions, and the arm reads no documents.
        """
        if where and not self._choice.arm.retrieval:
            error = BadRequest(
                f"the arm {self.name} reads no documents, so where has nothing to filter", cure="Leave out where."
            )
            error.param = "where"
            raise error
        search = self._project.workspace.search
        return asking.narrowed(search, self._choice.arm, requested, where=conditions(list(where)))

    def submit(self, example: Example, *, filter: Filter | None, overrides: Overrides) -> Ticket:
        """Hand a question to the dispatcher.

        Raises:
            QueueFull: too many requests wait.
            Closing: the server is stopping.
            PartDown: the engine is down.
            TooLong: the question is too long to be searched for.
        """
        self._require_searchable(example)
        self._batch.breaker.check()  # before its answer is searched for, with stages that may ask the engine too
        seconds = self._project.config.serving.seconds
        return self._dispatcher.submit(example, filter=filter, overrides=overrides, deadline=seconds)

    def retrieve(
        self,
        example: Example,
        *,
        filter: Filter | None,
        k: int | None,
        spent: Callable[[int], object] = lambda _tokens: None,
    ) -> tuple[list[Hit], bool]:
        """The passages that an answer would be given with, and whether they were judged insufficient.

        Args:
            example: The question.
            filter: What may be seen.
            k: Number of passages; None for the measured one.
            spent: Gets the tokens of the models that the search asks, such as a rewriter's.

        Raises:
            NotServed: the arm reads no documents.
            TooLong: the question is too long to be searched for.
        """
        self._require_searchable(example)
        if not self._choice.arm.retrieval:
            raise NotServed(f"the arm {self.name} reads no documents", cure="Serve an arm that does: --arm rag.")
        system = self._system if k is None else replace(self._system, k=k)
        retrieved = system.retrieve([example], filter)[0]
        if retrieved is None:
            return [], True
        spent(retrieved.usage.prompt_tokens + retrieved.usage.completion_tokens)
        return list(retrieved.hits), retrieved.insufficient

    def _require_searchable(self, example: Example) -> None:
        # With the question before it, by which a follow-up is searched for.
        letters = len(query(example).text)
        if self._choice.arm.retrieval and letters > _SEARCHABLE:
            raise TooLong(
                f"the question with the one before it has {letters} letters; at most {_SEARCHABLE} are searched for",
                cure="Shorten the question; send a long text as a document (POST /v1/documents) and ask about it.",
            )

    def later(self) -> bool:
        """Has the index changed since the served arm was measured?

        Raises:
            PartDown: the index is down.
        """
        return self._later_than(self.index()) if self._choice.index else False

    def index(self) -> IndexState | None:
        """The index now; None for an arm that reads no documents.

        Raises:
            PartDown: the index is down.
        """
        if not self._choice.arm.retrieval:
            return None
        with self._parts.index.using(INDEX_FAILURES):
            return self._project.workspace.search.index.state()

    def waiting(self) -> int:
        """Requests that wait or run."""
        return self._dispatcher.waiting

    def _later_than(self, state: IndexState | None) -> bool:
        return state is not None and bool(self._choice.index) and state.content != self._choice.index

    def _later_or_unknown(self) -> bool | None:
        try:
            return self.later()
        except PartDown:
            return None

    def down(self) -> list[Breaker]:
        """The parts without which this arm answers nothing, and which are down."""
        needed = [self._batch.breaker, *([self._parts.index] if self._choice.arm.retrieval else [])]
        return [breaker for breaker in needed if breaker.since]

    def lacking(self) -> list[Breaker]:
        """The parts that are down, and without which the arm answers from the rest."""
        every = self._parts.tools.values() if self._choice.arm.retrieval else ()
        return [breaker for breaker in every if breaker.since]

    # ------------------------------------------------------------ evidence

    def reply(self, answer: Answer, example: Example) -> Reply:
        """An answer with its citations described, and the passage that Twofold found where the model cited none."""
        attached = asking.attached(self._system, answer, example)
        every = (*answer.citations, *((attached,) if attached else ()))
        # Once for all citations: it reads texts of documents from the catalogue.
        places = whereabouts(self._project.catalogue.documents, answer, every)
        sources = self._sources([citation.span.document for citation in every])
        citations = [self._cited(answer, citation, places, sources) for citation in answer.citations]
        state: IndexState | None = None
        later = None if self._choice.index else False
        with suppress(PartDown):  # then both are unknown
            state = self.index()
            later = self._later_than(state)
        origin = {
            **self._origin,
            "abstained": answer.abstained,
            "later_index": later,
            "degraded": self._parts.lacked(answer.trace),
            "attached": asdict(self._cited(answer, attached, places, sources)) if attached else None,
        }
        return Reply(answer=answer, citations=tuple(citations), origin=origin, index=state)

    def passages(self, hits: Sequence[Hit], *, scores: bool) -> list[Json]:
        """Passages as a client sees them.

        Args:
            hits: What was found.
            scores: Show the scores. Under access control they would tell how often a word stands in closed documents.
        """
        answer = Answer(text="", hits=tuple(hits))
        places = whereabouts(self._project.catalogue.documents, answer)
        sources = self._sources([hit.chunk.span.document for hit in hits])
        rows = []
        for hit, place in zip(hits, places, strict=True):
            span = hit.chunk.span
            version, age = sources.get(span.document, ("", None))
            rows.append(
                {
                    "rank": hit.rank,
                    "score": hit.score if scores else None,
                    "document": span.document,
                    "title": hit.chunk.title,
                    "place": place.place,
                    "start": span.start,
                    "end": span.end,
                    "text": hit.chunk.text,
                    "metadata": dict(hit.chunk.metadata),
                    "version": version,
                    "age": age,
                }
            )
        return rows

    def _cited(
        self,
        answer: Answer,
        citation: Citation,
        places: Sequence[Whereabouts],
        sources: Mapping[str, tuple[str, float | None]],
    ) -> Cited:
        chunk: Chunk = answer.hits[citation.number - 1].chunk
        words, exact = evidence(answer, citation)
        span = citation.quote or citation.span
        version, age = sources.get(span.document, ("", None))
        return Cited(
            marker=f"[{citation.number}]",
            document=span.document,
            title=chunk.title,
            place=places[citation.number - 1].place,
            start=span.start,
            end=span.end,
            quote=words,
            exact=exact,
            version=version,
            age=age,
        )

    def _sources(self, names: Sequence[str]) -> dict[str, tuple[str, float | None]]:
        """Document id → version of its text, and seconds since its file changed."""
        contents = self._project.catalogue.documents.versions(sorted(set(names)))
        return {
            # Twelve letters of the digest are enough to see a change by.
            name: (content.partition(":")[2][:12] or content[:12], age(self._project, name, source))
            for name, (content, source) in contents.items()
        }


def age(project: Project, name: str, source: str) -> float | None:
    """Seconds since the file of a document changed; None for what is no file of this machine.

    Args:
        project: Its folders say where the file lies.
        name: The document's id.
        source: Where it comes from: a path below the folder `ids_from` of its source, else below the project.
    """
    if not source or "://" in source:
        return None
    section = project.config.sources.get(name.partition(":")[0])
    below = section.options.get("ids_from", "") if section else project.config.documents.ids_from
    for folder in (project.directory / str(below), project.directory):
        try:
            # A file's time may lie ahead of the clock (another machine's disk, a wrong clock).
            return max(0.0, round(time.time() - (folder / source).stat().st_mtime, 1))
        # ValueError: a source's name may hold a null character, which no path has.
        except (OSError, ValueError):
            continue
    return None
