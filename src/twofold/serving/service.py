"""What a server is asked: the project, its keys, and the arms that answer now."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from twofold.errors import AuditUnwritable, NotServed, PartDown
from twofold.examples import feedback_logs
from twofold.labelling.labels import labels_of
from twofold.project import Project
from twofold.serving.arms import ServedArms
from twofold.serving.auditing import Auditor, described
from twofold.serving.embedding import Embedding
from twofold.serving.exchange import Exchange, Witness
from twofold.serving.feedback import FeedbackLog
from twofold.serving.identity import Identities
from twofold.serving.keys import keys_of
from twofold.serving.limits import ledger_of
from twofold.serving.looks import Looks
from twofold.serving.numbers import IndexNumbers, Numbers, endpoint_numbers, log_numbers, traffic_numbers, watch_numbers
from twofold.serving.presence import Presence
from twofold.serving.pushed import Pushed
from twofold.serving.served import Served
from twofold.serving.shelf import StudyShelf
from twofold.serving.traffic_writer import TrafficWriter
from twofold.serving.verdicts import StandingVerdicts
from twofold.serving.workbook import ExampleBook
from twofold.store.kept_texts import lines_of
from twofold.traffic.redaction import Redactor
from twofold.types import Json

FEEDBACK = feedback_logs.FEEDBACK
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
        root, shared = project.directory, project.places.shared
        self.identities = Identities(project.config, keys_of(root, shared), shared=shared)
        """Tells callers apart."""
        self.ledger = ledger_of(root, shared)
        """What callers have used."""
        audit = project.config.audit
        self.auditor = Auditor(audit, project.directory, project.catalogue) if audit.enabled else None
        """Logs what is served and changed, where the project has an audit log."""
        try:
            self.arms: Served[ServedArms] = Served(
                project, opened, complete=lambda arms: arms.complete, after=partial(self._served, "arms.exchanged")
            )
        except BaseException:  # nobody else will have the log to close
            if self.auditor:
                self.auditor.close()
            raise
        """The arms that answer now; exchanged when the project says otherwise."""
        traffic = project.config.traffic
        # Where traffic is stored, what people say of it is redacted alike; elsewhere it is stored as it is sent.
        redacted = str if traffic.log == "off" else Redactor(traffic.redact, traffic.patterns).plain
        self.feedback = FeedbackLog(lines_of(root, FEEDBACK, shared), redacted=redacted)
        """What people say of answers."""
        self.labels = labels_of(root, shared)
        """What people say of answers without knowing whose they are."""
        self.examples = ExampleBook(project)
        """The examples in their files."""
        self.studies = StudyShelf(project.records, guarded=project.config.access.enabled)
        """The finished studies."""
        self.verdicts = StandingVerdicts(project)
        """Whether what was decided still holds."""
        self.pushed = Pushed(curated)
        """Documents that the server was sent."""
        serving = project.config.serving
        self.embedding = Embedding(
            lambda: project.workspace.search.embedder, queue=serving.queue, seconds=serving.seconds
        )
        """Vectors of callers' texts."""
        self.witnesses: list[Witness] = [self.auditor.witness] if self.auditor else []
        """Are shown every answer."""
        self.looks = Looks(project)
        """Looks at the project, once they are started."""
        self.traffic = None if traffic.log == "off" else TrafficWriter(traffic, project.directory)
        """What was asked and answered, where the operator wants it stored."""
        if self.traffic:
            self.witnesses.append(self.traffic.witness)
        self.logs = self._logs()
        """Files that the server writes, by name → why one cannot be written; empty where it can."""
        self.numbers = self._numbers()
        """Tell numbers for `/metrics` when they are collected."""
        self.presence: Presence | None = None
        """How commands of this machine find the server; None: they do not."""
        with self.arms.using() as arms:
            self._served("arms.served", arms)

    def close(self) -> None:
        """Make the changes that wait, end the running answers within the grace, and free the model."""
        self.looks.close()
        self.pushed.close()
        self.arms.close()
        # Last: answers that end within the grace are still charged.
        self.ledger.close()
        if self.traffic:
            self.traffic.close()
        if self.auditor:
            self.auditor.close()

    def _served(self, what: str, arms: ServedArms) -> None:
        if self.auditor:
            self.auditor.record(what, arms=described(arms))

    def _logs(self) -> dict[str, Callable[[], str]]:
        logs: dict[str, Callable[[], str]] = {
            "feedback": lambda: self.feedback.failure,
            "labels": lambda: self.labels.failure,
            "use": lambda: self.ledger.failure,
        }
        if traffic := self.traffic:
            logs["traffic"] = lambda: traffic.remark
        if auditor := self.auditor:
            logs["audit"] = lambda: auditor.remark
        return logs

    def _numbers(self) -> list[Numbers]:
        search = self.project.workspace.search
        numbers: list[Numbers] = [
            IndexNumbers(self.arms, lambda: list(search.index.log())),
            partial(endpoint_numbers, self.arms),
            partial(log_numbers, self.logs),
            partial(watch_numbers, self.project.watching),
        ]
        if traffic := self.traffic:
            numbers.append(lambda: traffic_numbers(traffic.lost))
        return numbers

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
            if self.auditor and self.auditor.refusing:
                faults.append(
                    {"code": AuditUnwritable.code, "message": self.auditor.remark, "cure": AuditUnwritable.cure}
                )
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
        remarks += self.looks.remarks()
        provider = self.identities.provider
        remarks += filter(
            None,
            [
                f"what the project says now is not served: {self.arms.failure}" if self.arms.failure else "",
                f"what other machines write is not seen: {self.arms.unseen}" if self.arms.unseen else "",
                self.pushed.failure,
                *(failure() for failure in self.logs.values()),
                provider.failure if provider else "",
                self.verdicts.remark(),
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
