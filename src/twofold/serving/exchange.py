"""What whoever watches a server is shown of every answer: counters, logs, traces. Pure but for the request's id."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from twofold.serving.identity import Caller
from twofold.types import Answer, Example, IndexState, Json, Prompt

CALLER = "twofold.caller"
"""Key of a request's scope under which `entrance` leaves who sends it."""
_REQUEST: ContextVar[str] = ContextVar("request", default="")
"""Set by the guard for all that runs in a request; tasks and threads that a request starts inherit it."""
_NOTES: ContextVar[Json | None] = ContextVar("notes", default=None)
"""What routes note of the request that is being answered; one dictionary for all tasks and threads of the request."""


@dataclass(frozen=True, kw_only=True)
class Milestones:
    """When the parts of an answer ended, in seconds since 1970; None where a part did not take place.

    Their differences are of a clock that nobody sets.
    """

    begun: float
    """The question was taken; until `searching` it waited for those before it."""
    searching: float | None = None
    """Its search began."""
    prepared: float | None = None
    """The search ended, and its prompt joined the batch."""
    first: float | None = None
    """The first words came."""
    written: float | None = None
    """The completion was there."""
    read: float | None = None
    """The completion was read, and its citations were checked."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """How an answer was made."""

    prompt: Prompt | None
    """What the model read; None where nothing was found and none was asked."""
    template: str
    """Digest of the template that the prompt was made by."""
    milestones: Milestones
    k: int = 0
    """Passages that were searched for."""
    index: IndexState | None = None
    """The index when the answer was sent; None where no documents are read, and where it did not answer."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One answer as it was served, or why none was."""

    request: str
    """Id of the request, which its reply names in the header `x-request-id`; several choices of one share it."""
    number: int = 0
    """Which of the request's choices."""
    caller: Caller
    """Who asked."""
    origin: Json
    """Arm, model, key of the system, whether it was measured, and whether a later index than that answered."""
    example: Example
    """The question, with the turns before it."""
    answer: Answer
    """The answer with its hits, its tokens and its times; its `failure` says why there is none."""
    withheld: str = ""
    """Why the answer was not sent, although there is one; empty where it was."""
    making: Making | None = None
    """How it was made, for logs and traces."""


Witness = Callable[[Exchange], object]
"""Is shown every exchange, in the order of their ends; must neither raise nor wait, for an answer waits for it."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A request whose reply was sent."""

    method: str
    route: str
    """Template of the address, such as ``/v1/documents/{id}``; ``other`` for an address that there is not."""
    status: int
    seconds: float


class Watcher(Protocol):
    """Sees requests from their heads to the ends of their replies; must neither raise nor wait."""

    def begun(self, request: str, *, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
        """A request came; what this sets in the context is seen by all that answers it."""
        ...

    def exchange(self, exchange: Exchange) -> None:
        """One of its answers; see `Witness`."""
        ...

    def ended(self, request: str, end: Ended) -> None:
        """Its reply was sent, or broke off."""
        ...


def begin_request() -> str:
    """Give what runs from here on, in this task, a new request's id, and return it."""
    name = secrets.token_hex(12)
    _REQUEST.set(name)
    _NOTES.set({})
    return name


def note(**values: Any) -> None:
    """Note what a request was about, such as ids of documents, for those who log it; nothing outside of a request."""
    if (notes := _NOTES.get()) is not None:
        notes.update(values)


def notes() -> Json:
    """What was noted of the request that is being answered."""
    return _NOTES.get() or {}


def current_request() -> str:
    """The id of the request that is being answered; empty outside of a server's requests."""
    return _REQUEST.get()


def request_id() -> str:
    """The id of the request that is being answered; a new one outside of a server's requests."""
    return _REQUEST.get() or secrets.token_hex(12)
