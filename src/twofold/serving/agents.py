"""The Model Context Protocol over HTTP: the tools of `serving.mcp` at ``/mcp``, with the server's own API keys.

Every request stands alone: it brings its key, and sees what that key's principal may see. There is no session that
another caller could take over, and a key that is revoked ends with the request under way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from fastapi import APIRouter, FastAPI, Request, Response  # noqa: TID253
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Receive, Scope, Send  # noqa: TID253

from twofold.serving.counters import Counters
from twofold.serving.entrance import Asks
from twofold.serving.identity import Caller
from twofold.serving.mcp import Tools, built
from twofold.serving.service import Service
from twofold.types import Answer

router = APIRouter(include_in_schema=False)
_CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who sends the request. It has no default: a tool that ran outside a request would fail, not see all."""


class Agents:
    """The protocol's server.

    Args:
        service: What is served.
        counters: Count the answers.
        most: Largest body, in bytes.
    """

    def __init__(self, service: Service, counters: Counters, *, most: int) -> None:
        def counted(answer: Answer, later: bool) -> None:
            counters.answer(answer, later=later)

        def charged(tokens: int) -> None:
            if (caller := _CALLER.get()).id and tokens:
                service.ledger.add(caller.id, "tokens", tokens)

        tools = Tools(service.project, service.arms, lambda: _CALLER.get().filter, answered=counted, spent=charged)
        server = built(tools, name=f"twofold {service.project.config.project.name}")
        # Host and origin of every request are checked by `serving.guard`.
        checked_before = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        # Called for the session manager that it makes: the application itself is not used.
        server.streamable_http_app(stateless_http=True, max_request_body_size=most, transport_security=checked_before)
        self.manager = server.session_manager

    @asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Answer requests in the block."""
        async with self.manager.run():
            yield


class _Exchange(Response):
    """What the protocol's server answers to a request."""

    def __init__(self, manager: StreamableHTTPSessionManager, caller: Caller) -> None:
        super().__init__()
        self._manager, self._caller = manager, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the protocol says."""
        token = _CALLER.set(self._caller)
        try:
            await self._manager.handle_request(scope, receive, send)
        finally:
            _CALLER.reset(token)


@router.post("/mcp")
async def mcp(request: Request, caller: Asks) -> Response:
    """One message of an agent, and what answers it."""
    agents: Agents = request.app.state.agents
    return _Exchange(agents.manager, caller)
