"""What a server is asked: the project, its keys, and the arms that answer now."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from twofold.errors import NotServed, PartDown
from twofold.labelling.labels import LABELS, LabelLog
from twofold.project import Project
from twofold.serving.arms import ServedArms
from twofold.serving.embedding import Embedding
from twofold.serving.exchange import Exchange, Witness
from twofold.serving.feedback import FeedbackLog
from twofold.serving.identity import Identities
from twofold.serving.keys import KEYS, Keys
from twofold.serving.limits import USE, UseLedger
from twofold.serving.presence import Presence
from twofold.serving.pushed import Pushed
from twofold.serving.served import Served
from twofold.serving.shelf import StudyShelf
from twofold.serving.workbook import ExampleBook
from twofold.types import Json

FEEDBACK = "serving/feedback.jsonl"
"""File of the feedback."""


class Service:
    """A project behind HTTP.

    Args:
        project: Open for as long as the service is used; closed by the caller.
        curated: The same project opened a second time, for what is written.
        opened: Opens the arms that the project says are served, or that the operator named.

    Raises:
        TwofoldError: as `opened`.
    """

    def __init__(self, project: Project, curated: Project, opened: Callable[[], ServedArms]) -> None:
        self.project = project
        self.identities = Identities(project.config, Keys(project.directory / KEYS))
        """Tells callers apart."""
        self.ledger = UseLedger(project.directory / USE)
        """What callers have used."""
        self.arms: Served[ServedArms] = Served(project, opened, complete=lambda arms: arms.complete)
        """The arms that answer now; exchanged when the project says otherwise."""
        self.feedback = FeedbackLog(project.directory / FEEDBACK)
        """What people say of answers."""
        self.labels = LabelLog(project.directory / LABELS)
        """What people say of answers without knowing whose they are."""
        self.examples = ExampleBook(project)
        """The examples in their files."""
        self.studies = StudyShelf(project.records, guarded=project.config.access.enabled)
        """The finished studies."""
        self.pushed = Pushed(curated)
        """Documents that the server was sent."""
        serving = project.config.serving
        self.embedding = Embedding(
            lambda: project.workspace.search.embedder, queue=serving.queue, seconds=serving.seconds
        )
        """Vectors of callers' texts."""
        self.witnesses: list[Witness] = []
        """Are shown every answer."""
        self.presence: Presence | None = None
        """How commands of this machine find the server; None: they do not."""

    def close(self) -> None:
        """Make the changes that wait, end the running answers within the grace, and free the model."""
        self.pushed.close()
        self.arms.close()
        # Last: answers that end within the grace are still charged.
        self.ledger.close()

    def witness(self, exchange: Exchange) -> None:
        """Show an answer to all who watch."""
        for witness in self.witnesses:
            witness(exchange)

    def later(self) -> float:
        """1 where the index has changed since the default arm was measured, else 0; not a number while it is down."""
        with self.arms.using() as arms:
            try:
                return float(arms.default.later())
            except PartDown:
                return math.nan

    def state(self) -> Json:
        """Can requests be answered, and what does not work as it should?"""
        faults, remarks = [], []
        with self.arms.using() as arms:
            default = arms.default
            with suppress(PartDown):  # listed below
                if default.later():
                    remarks.append("documents changed since the study: answers come from a later index than measured")
            for breaker in default.down():
                message = f"{breaker.part} is down since {breaker.since}"
                if breaker.refuses or default.absent:
                    faults.append({"code": PartDown.code, "message": message, "cure": PartDown.cure})
                else:
                    remarks.append(f"{message}; the next request tries it again")
            for arm in arms:
                others = [breaker for breaker in arm.down() if breaker not in default.down()]
                remarks += [f"{arm.name}: {breaker.part} is down since {breaker.since}" for breaker in others]
                remarks += [
                    f"{breaker.part} is down since {breaker.since}: answers are written without it"
                    for breaker in arm.lacking()
                ]
            if unmeasured := [arm.name for arm in arms if not (arm.measured or arm.absent)]:
                remarks.append(f"no study has measured what is served: {', '.join(unmeasured)}")
            remarks += arms.passed_over
        provider = self.identities.provider
        remarks += filter(
            None,
            [
                f"what the project says now is not served: {self.arms.failure}" if self.arms.failure else "",
                self.pushed.failure,
                self.feedback.failure,
                self.labels.failure,
                self.ledger.failure,
                provider.failure if provider else "",
            ],
        )
        return {"ready": not faults, "faults": faults, "remarks": list(dict.fromkeys(remarks))}

    def require_embedder(self, model: str) -> None:
        """Refuse an embedder that is not the project's.

        Raises:
            NotServed: it is not.
        """
        name = self.project.config.retrieval.embedder.name
        if model != name:
            raise NotServed(f"the embedder {model[:100]!r} is not served", cure=f"Name the embedder {name}.")
