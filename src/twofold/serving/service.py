"""What a server is asked: the project, its keys, and the arm that answers now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twofold import asking
from twofold.errors import BadKey, Forbidden, NotServed, TwofoldError
from twofold.project import Project
from twofold.serving.arm import ServedArm
from twofold.serving.feedback import FeedbackLog
from twofold.serving.keys import KEYS, Keys, Scope
from twofold.serving.pushed import Pushed
from twofold.serving.served import Served
from twofold.types import Filter, Json

FEEDBACK = "serving/feedback.jsonl"
"""File of the feedback."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who sends a request."""

    scope: Scope
    """What they may do."""
    filter: Filter | None
    """What they may see; None where access control is off."""


class Service:
    """A project behind HTTP.

    Args:
        project: Open for as long as the service is used; closed by the caller.
        curated: The same project opened a second time, for what is written.
        opened: Opens the arm that the newest study chooses, or that the operator named.

    Raises:
        TwofoldError: as `opened`.
    """

    def __init__(self, project: Project, curated: Project, opened: Callable[[], ServedArm]) -> None:
        self.project = project
        self.keys = Keys(project.directory / KEYS)
        self.arms: Served[ServedArm] = Served(project, opened)
        """The arm that answers now; exchanged when the project says otherwise."""
        self.feedback = FeedbackLog(project.directory / FEEDBACK)
        """What people say of answers."""
        self.pushed = Pushed(curated)
        """Documents that the server was sent."""

    def close(self) -> None:
        """End the running answers within the grace, and free the model."""
        self.arms.close()

    def later(self) -> bool:
        """Has the index changed since what is served was measured?"""
        with self.arms.using() as arm:
            return arm.later()

    def state(self) -> Json:
        """Can requests be answered, and what does not work as it should?"""
        faults, remarks = [], []
        with self.arms.using() as arm:
            try:
                if arm.later():
                    remarks.append("documents changed since the study: answers come from a later index than measured")
            except TwofoldError as error:
                faults.append({"code": error.code, "message": error.message, "cure": error.cure})
            if not arm.measured:
                remarks.append("no study has measured what is served")
        if self.feedback.failure:
            remarks.append(self.feedback.failure)
        return {"ready": not faults, "faults": faults, "remarks": remarks}

    def require_embedder(self, model: str) -> None:
        """Refuse an embedder that is not the project's.

        Raises:
            NotServed: it is not.
        """
        name = self.project.config.retrieval.embedder.name
        if model != name:
            raise NotServed(f"the embedder {model[:100]!r} is not served", cure=f"Name the embedder {name}.")

    def embedded(self, texts: Sequence[str]) -> tuple[Any, int]:
        """Vectors, float32 of shape (texts, dimension), and the number of tokens of all texts."""
        embedder = self.project.workspace.search.embedder
        return embedder.embed(texts), sum(len(embedder.offsets(text)) for text in texts)

    def caller(self, token: str | None, needed: Scope) -> Caller:
        """Who sends a request with this token.

        Args:
            token: Of the Authorization header; None without one.
            needed: The scope that the address needs.

        Raises:
            BadKey: a key is needed, and there is none or an unusable one.
            Forbidden: the key lacks the scope.
            AccessDenied: access control is enabled, and the key names nobody.
        """
        access = self.project.config.access
        if not self.keys.required:
            if token and token.startswith("tf-"):
                raise BadKey("the API key is unknown, expired or revoked")
            named = asking.request_filter(self.project.config, "", ()) if access.enabled and needed == "ask" else None
            return Caller(scope="admin", filter=named)
        if not token:
            raise BadKey("an API key is needed")
        key = self.keys.check(token)
        if not key.covers(needed):
            raise Forbidden(f"the API key has the scope {key.scope}, and {needed} is needed")
        named = asking.request_filter(self.project.config, key.user, key.groups) if access.enabled else None
        return Caller(scope=key.scope, filter=named)
