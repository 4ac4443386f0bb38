"""What routes take from a request: the service, the caller, and how an answer is counted and sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request  # noqa: TID253
from fastapi.responses import JSONResponse  # noqa: TID253
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer  # noqa: TID253

from twofold.errors import AccessDenied, BadKey, Forbidden, IssuerDown
from twofold.serving import faults, guard
from twofold.serving.arms import ServedArms
from twofold.serving.counters import Counters
from twofold.serving.exchange import CALLER, Witness, request_id
from twofold.serving.identity import Caller, Credentials
from twofold.serving.keys import Scope
from twofold.serving.limits import UseLedger
from twofold.serving.service import Service

_BEARER = HTTPBearer(auto_error=False, description="An API key of `twofold keys add`, or a token of the provider.")
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


def address(request: Request) -> str:
    """Where a request comes from; behind a proxy of this machine, what the proxy says."""
    return request.client.host if request.client else ""


def encrypted(request: Request) -> bool:
    """Did the browser send it by HTTPS?"""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").strip() == "https"


def cookie(request: Request) -> str:
    """Name of the session's cookie: browsers give a machine's cookies to all of its ports."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"twofold-{port}" if port.isdigit() else "twofold"


def same_origin(request: Request) -> bool:
    """Did a page of this server send the request? Browsers say so in one of two headers, which no page can change."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if origin is not None and guard.netloc(origin) != request.headers.get("host"):
        return False
    return site == "same-origin" if site is not None else origin is not None


def _caller(needed: Scope) -> Callable[[Request, Token], Awaitable[Caller]]:
    async def admitted(request: Request, token: Token) -> Caller:
        shown = Credentials(
            bearer=token.credentials if token else None,
            session=request.cookies.get(cookie(request)),
            proven=request.method in ("GET", "HEAD") or same_origin(request),
        )
        service = service_of(request)
        identities = service.identities
        if identities.waits(shown):
            loop = asyncio.get_running_loop()
            caller = await loop.run_in_executor(identities.threads, identities.caller, shown, needed)
        else:  # a look at the file's time is shorter than the way to another thread
            caller = identities.caller(shown, needed)
        request.scope[CALLER] = caller
        if caller.id:
            # Not on the reply: a route may return one of its own, or fail, and the headers are due all the same.
            request.scope[guard.MORE_HEADERS] = service.ledger.admit(caller.id, caller.limits)
        return caller

    return admitted


Asks = Annotated[Caller, Depends(_caller("ask"))]
"""Who asks."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request that is answered by one of the served arms."""

    arms: ServedArms
    """The arms that answer it to its end, whatever is exchanged meanwhile."""
    caller: Caller
    """Who asks."""
    request: str
    """Id of the request."""
    witness: Witness
    """Is shown the answers."""
    ledger: UseLedger
    """What callers have used."""
    system_prompt: bool
    """May the caller send a system message?"""
    queue: int
    """Most answers of an arm at once."""

    def charge(self, tokens: int) -> None:
        """Count tokens that the caller has used."""
        if self.caller.id and tokens:
            self.ledger.add(self.caller.id, "tokens", tokens)


async def _perhaps(request: Request, token: Token) -> Caller | None:
    if not service_of(request).identities.required:
        return Caller(scope="admin", filter=None)
    try:
        return await _caller("ask")(request, token)
    except (BadKey, Forbidden, AccessDenied, IssuerDown):
        return None


Perhaps = Annotated[Caller | None, Depends(_perhaps)]
"""Who asks; None for somebody without a key where one is needed."""


async def _visit(request: Request, caller: Asks) -> AsyncIterator[Visit]:
    service = service_of(request)
    # Until the reply is sent, streams included: arms that are exchanged meanwhile are closed after that.
    with service.arms.using() as arms:
        section = service.project.config.serving
        yield Visit(
            arms=arms,
            caller=caller,
            request=request_id(),
            witness=service.witness,
            ledger=service.ledger,
            system_prompt=section.system_prompt,
            queue=section.queue,
        )


Visits = Annotated[Visit, Depends(_visit)]
"""A request for a served arm."""
Curates = Annotated[Caller, Depends(_caller("curate"))]
"""Who changes documents."""
Administers = Annotated[Caller, Depends(_caller("admin"))]
"""Who sees how the server does."""
