"""An arm of a project made ready to answer live requests, and the evidence of its answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from twofold import asking
from twofold.answering.citing import Whereabouts, evidence, whereabouts
from twofold.answering.system import System
from twofold.errors import BadRequest, ConfigError, NotServed
from twofold.metadata.conditions import conditions
from twofold.project import Project
from twofold.serving.dispatch import Dispatcher, Overrides, Ticket
from twofold.serving.replies import Cited, Reply
from twofold.store.model_registry import model_id
from twofold.types import Answer, Chunk, Citation, Example, Filter, Hit, Json

Measured = Literal["", "now", "earlier"]
"""Was the served system measured: no, exactly as it is, or on an earlier version of the index."""


def measured(system: System, descriptions: Mapping[str, Json]) -> Measured:
    """Did a study measure this system?

    Args:
        system: What is served.
        descriptions: Key → description of each system that was ever measured.
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
        arm: Name of the arm; by default the latest verdict's.
        model: Id or alias of a tuned model, in place of an arm.
        unmeasured: Serve also what no study has measured.

    Raises:
        ConfigError: no study has measured this, and `unmeasured` is false.
        IndexEmpty, UnknownName, StoreError, TemplateMismatch: as `Project.open_system`.
    """

    def __init__(self, project: Project, *, arm: str = "", model: str = "", unmeasured: bool = False) -> None:
        workspace, section = project.workspace, project.config.serving
        self._project = project
        self._choice = asking.chosen(
            workspace.models, workspace.systems.calibrations, project.records, arm=arm, model=model
        )
        self._system = asking.open_system(workspace, self._choice, lambda: project.splits, root=project.directory)
        self.name = model or self._choice.arm.name
        """The name by which requests ask for it."""
        self.measured = measured(self._system, workspace.catalogue.systems.descriptions())
        """Did a study measure it?"""
        if not self.measured and not unmeasured:
            self._system.close()
            raise ConfigError(
                f"{self.name} is not measured with these settings: {self._choice.why}",
                cure="Run `twofold study` first, or serve it all the same with --unmeasured.",
            )
        self._origin: Json = {
            "arm": self._choice.arm.name,
            "model": model_id(workspace.artifacts.manifest(self._choice.model)) if self._choice.model else "",
            "key": self._system.key,
            "measured": bool(self.measured),
            "why": self._choice.why,
            "study": self._choice.study,
        }
        try:
            self._warm()
            self._dispatcher = Dispatcher(self._system, queue=section.queue, grace=section.grace)
        except BaseException:
            self._system.close()
            raise

    def _warm(self) -> None:
        """Load what the first answer would wait for: the embedder and the index."""
        if self._choice.arm.retrieval:
            self._project.workspace.search.embedder.embed(["warm"])
            self.later()

    def close(self) -> None:
        """End the running answers within the grace, and free the model."""
        self._dispatcher.close()
        self._system.close()

    def description(self) -> Json:
        """The arm as `/v1/models` shows it."""
        return {
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": "twofold",
            **self._origin,
            "later_index": self.later(),
        }

    # ------------------------------------------------------------ asking

    def require(self, model: str) -> None:
        """Refuse a model that is not served.

        Raises:
            NotServed: it is not.
        """
        if model != self.name:
            raise NotServed(f"the model {model[:100]!r} is not served", cure=f"Ask the model {self.name}.")

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
        """
        seconds = self._project.config.serving.seconds
        return self._dispatcher.submit(example, filter=filter, overrides=overrides, deadline=seconds)

    def retrieve(self, example: Example, *, filter: Filter | None, k: int | None) -> tuple[list[Hit], bool]:
        """The passages that an answer would be given with, and whether they were judged insufficient.

        Args:
            example: The question.
            filter: What may be seen.
            k: Number of passages; None for the measured one.

        Raises:
            NotServed: the arm reads no documents.
        """
        if not self._choice.arm.retrieval:
            raise NotServed(f"the arm {self.name} reads no documents", cure="Serve an arm that does: --arm rag.")
        system = self._system if k is None else replace(self._system, k=k)
        retrieved = system.retrieve([example], filter)[0]
        return ([], True) if retrieved is None else (list(retrieved.hits), retrieved.insufficient)

    def later(self) -> bool:
        """Has the index changed since the served arm was measured?"""
        if not self._choice.arm.retrieval or not self._choice.index:
            return False
        return self._project.workspace.search.index.state().content != self._choice.index

    # ------------------------------------------------------------ evidence

    def reply(self, answer: Answer, example: Example) -> Reply:
        """An answer with its citations described, and the passage that Twofold found where the model cited none."""
        attached = asking.attached(self._system, answer, example)
        every = (*answer.citations, *((attached,) if attached else ()))
        places = whereabouts(self._project.catalogue.documents, answer, every)
        sources = self._sources([citation.span.document for citation in every])
        citations = [self._cited(answer, citation, places, sources) for citation in answer.citations]
        origin = {
            **self._origin,
            "abstained": answer.abstained,
            "later_index": self.later(),
            "attached": asdict(self._cited(answer, attached, places, sources)) if attached else None,
        }
        return Reply(answer=answer, citations=tuple(citations), origin=origin)

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
            name: (content.partition(":")[2][:12] or content[:12], _age(self._project.directory, source))
            for name, (content, source) in contents.items()
        }


def _age(root: Path, source: str) -> float | None:
    """Seconds since a file changed; None for what is no file of this machine."""
    if not source or "://" in source:
        return None
    try:
        return max(0.0, round(time.time() - (root / source).stat().st_mtime, 1))
    except (OSError, ValueError):
        return None
