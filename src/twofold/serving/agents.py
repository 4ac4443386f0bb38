"""The Model Context Protocol over HTTP: the tools of `serving.mcp` at ``/mcp``, with the server's own API keys.

Every request stands alone: it brings its key, and sees what that key's principal may see. There is no session that
another caller could take over, and a key that is revoked ends with the request under way.

The official SDK takes a quarter of the server's start to import, and most servers are never asked by an agent: it is
imported for the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response  # noqa: TID253
from starlette.types import Receive, Scope, Send  # noqa: TID253

from twofold.serving.entrance import Asks
from twofold.serving.exchange import Exchange, Making, request_id
from twofold.serving.identity import Caller
from twofold.serving.mcp import Tools, built
from twofold.serving.service import Service
from twofold.types import Answer, Example, Json

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

# Not at the first request: `twofold serve` says at its start what is not installed.
if find_spec("mcp") is None:
    raise ModuleNotFoundError("No module named 'mcp'", name="mcp")

router = APIRouter(include_in_schema=False)
_CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who sends the request. It has no default: a tool that ran outside a request would fail, not see all."""


class Agents:
    """The protocol's server.

    Args:
        service: What is served.
        most: Largest body, in bytes.
    """

    def __init__(self, service: Service, *, most: int) -> None:
        def witness(example: Example, answer: Answer, origin: Json, making: Making) -> None:
            service.witness(
                Exchange(
                    request=request_id(),
                    caller=_CALLER.get(),
                    origin=origin,
                    example=example,
                    answer=answer,
                    making=making,
                )
            )

        def charged(tokens: int) -> None:
            if (caller := _CALLER.get()).id and tokens:
                service.ledger.add(caller.id, "tokens", tokens)

        self._tools = Tools(
            service.project, service.arms, lambda: _CALLER.get().filter, answered=witness, spent=charged
        )
        self._name = f"twofold {service.project.config.project.name}"
        self._most = most
        self._first = asyncio.Event()
        """Set by the first request."""
        self._opened: asyncio.Future[StreamableHTTPSessionManager] | None = None

    @asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Answer requests in the block."""
        self._opened = asyncio.get_running_loop().create_future()
        ending = asyncio.Event()
        # A task of its own: what the protocol's server runs within must be left by the task that entered it.
        serving = asyncio.create_task(self._serve(self._opened, ending))
        try:
            yield
        finally:
            ending.set()
            self._first.set()
            await serving

    async def manager(self) -> StreamableHTTPSessionManager:
        """What answers requests, opened for the first of them."""
        assert self._opened is not None  # requests come while the application runs
        self._first.set()
        # Shielded: a caller that leaves must not end it for the others.
        return await asyncio.shield(self._opened)

    async def _serve(self, opened: asyncio.Future[StreamableHTTPSessionManager], ending: asyncio.Event) -> None:
        await self._first.wait()
        if ending.is_set():
            return
        try:
            # In a thread: answers go on meanwhile.
            manager = await asyncio.to_thread(self._new_manager)
            async with manager.run():
                opened.set_result(manager)
                await ending.wait()
        except Exception as error:  # handed to the callers that wait for it
            if opened.done():
                raise
            opened.set_exception(error)
            # Read here as well: nobody may be waiting any more.
            opened.exception()

    def _new_manager(self) -> StreamableHTTPSessionManager:
        from mcp.server.transport_security import TransportSecuritySettings

        server = built(self._tools, name=self._name)
        # Host and origin of every request are checked by `serving.guard`.
        checked_before = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        # Called for the session manager that it makes: the application itself is not used.
        server.streamable_http_app(
            stateless_http=True, max_request_body_size=self._most, transport_security=checked_before
        )
        return server.session_manager


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
    return _Exchange(await agents.manager(), caller)
