"""What whoever watches a server is shown of every answer: counters, logs, traces. Pure but for the request's id."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from twofold.serving.identity import Caller
from twofold.types import Answer, Example, Json

_REQUEST: ContextVar[str] = ContextVar("request", default="")
"""Set by the guard for all that runs in a request; tasks and threads that a request starts inherit it."""


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


Witness = Callable[[Exchange], object]
"""Is shown every exchange, in the order of their ends; must neither raise nor wait, for an answer waits for it."""


def begin_request() -> str:
    """Give what runs from here on, in this task, a new request's id, and return it."""
    name = secrets.token_hex(12)
    _REQUEST.set(name)
    return name


def request_id() -> str:
    """The id of the request that is being answered; a new one outside of a server's requests."""
    return _REQUEST.get() or secrets.token_hex(12)
