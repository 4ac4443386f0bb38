"""What routes take from a request: the service, the caller, and how an answer is counted and sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request  # noqa: TID253
from fastapi.responses import JSONResponse  # noqa: TID253
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer  # noqa: TID253

from twofold.serving import faults
from twofold.serving.arm import ServedArm
from twofold.serving.counters import Counters
from twofold.serving.keys import Scope
from twofold.serving.service import Caller, Service

_BEARER = HTTPBearer(auto_error=False, description="An API key of `twofold keys add`; needed once there is one.")
Token = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


class JsonReply(JSONResponse):
    """JSON in which what is no character is replaced, so that no text can make a reply fail."""

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return faults.encoded(content)


def service_of(request: Request) -> Service:
    """The service of this server."""
    service: Service = request.app.state.service
    return service


def counters_of(request: Request) -> Counters:
    """The counters of this server."""
    counters: Counters = request.app.state.counters
    return counters


Served = Annotated[Service, Depends(service_of)]
Counted = Annotated[Counters, Depends(counters_of)]


def _caller(needed: Scope) -> Callable[[Request, Token], Awaitable[Caller]]:
    async def caller(request: Request, token: Token) -> Caller:
        text = token.credentials if token else None
        # A look at the file's time is shorter than the way to another thread.
        return service_of(request).caller(text, needed)

    return caller


Asks = Annotated[Caller, Depends(_caller("ask"))]
"""Who asks."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request that is answered by the served arm."""

    arm: ServedArm
    """The arm that answers it to its end, whatever is exchanged meanwhile."""
    caller: Caller
    """Who asks."""
    counters: Counters
    """Count the answers."""
    system_prompt: bool
    """May the caller send a system message?"""


async def _visit(request: Request, caller: Asks) -> AsyncIterator[Visit]:
    service = service_of(request)
    # Until the reply is sent, streams included: an arm that is exchanged meanwhile is closed after that.
    with service.arms.using() as arm:
        prompts = service.project.config.serving.system_prompt
        yield Visit(arm=arm, caller=caller, counters=counters_of(request), system_prompt=prompts)


Visits = Annotated[Visit, Depends(_visit)]
"""A request for the served arm."""
Curates = Annotated[Caller, Depends(_caller("curate"))]
"""Who changes documents."""
Administers = Annotated[Caller, Depends(_caller("admin"))]
"""Who sees how the server does."""
