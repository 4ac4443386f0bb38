"""The web application: all routes, errors in one shape, and the document that describes them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request, Response  # noqa: TID253
from fastapi.exceptions import RequestValidationError  # noqa: TID253
from pydantic import BaseModel
from starlette.exceptions import HTTPException  # noqa: TID253
from starlette.middleware.cors import CORSMiddleware  # noqa: TID253
from starlette.routing import Match, Route  # noqa: TID253

from twofold import __version__
from twofold.errors import TwofoldError
from twofold.serving import answering, curating, faults, limits, login, owner, searching, state
from twofold.serving.agents import Agents
from twofold.serving.agents import router as agents_router
from twofold.serving.counters import Counters
from twofold.serving.entrance import JsonReply
from twofold.serving.exchange import Watcher
from twofold.serving.guard import Guard
from twofold.serving.pages import layout, site
from twofold.serving.service import Service

_API = (
    answering.router,
    searching.router,
    curating.router,
    state.router,
    login.router,
    owner.router,
    agents_router,
)
_MIB = 1024 * 1024


class Fault(BaseModel):
    """An error."""

    message: str
    """What is wrong, and what to do about it."""
    type: str
    code: str
    param: str | None
    """The parameter at fault."""


class FaultReply(BaseModel):
    """The body of every reply that is an error."""

    error: Fault


_STATUSES = (400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502, 503, 504)


def built(service: Service, *, local: bool, watchers: Sequence[Watcher] = ()) -> Guard:
    """The application that serves a service.

    Args:
        service: What is served.
        local: The server listens to this machine only.
        watchers: See every request and every answer.
    """
    counters = Counters(later=service.later, looks=service.numbers)
    service.witnesses += [counters.exchange, *(watcher.exchange for watcher in watchers)]
    most = int(service.project.config.serving.max_body_mib * _MIB)
    agents = Agents(service, most=most)
    app = FastAPI(
        title="Twofold",
        lifespan=agents.running,
        version=__version__,
        description="The measured arm of a project behind the OpenAI API, with citations.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"model": FaultReply, "description": "An error."} for status in _STATUSES},
    )
    app.state.service = service
    app.state.counters = counters
    app.state.agents = agents
    app.state.shared = state.SharedState(service.state)
    for router in (*_API, site.router):
        app.include_router(router)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if layout.for_people(request):
            return layout.fault(request, HTTPException(400))
        return JsonReply(faults.of_validation(list(error.errors())), status_code=400)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        headers = {"allow": _allowed(request)} if error.status_code == 405 else dict(error.headers or {})
        if layout.for_people(request):
            reply = layout.fault(request, error)
            if error.status_code == 405:
                reply.headers.update(headers)
            return reply
        return JsonReply(faults.of_status(error.status_code), status_code=error.status_code, headers=headers)

    @app.exception_handler(TwofoldError)
    async def failed(request: Request, error: TwofoldError) -> Response:
        if layout.for_people(request):
            return layout.fault(request, error)
        status, body, headers = faults.of_error(error)
        return JsonReply(body, status_code=status, headers=headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _error: Exception) -> Response:
        # Else the framework answers with plain text, before the guard sees the error.
        if layout.for_people(request):
            return layout.fault(request, HTTPException(500))
        return JsonReply(faults.unexpected(), status_code=500)

    serving = service.project.config.serving
    if serving.origins:
        # Never with cookies: a page of another site calls the API with a key of its own.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=serving.origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after", *limits.HEADERS],
        )
    return Guard(
        app,
        counters=counters,
        most=most,
        origins=serving.origins,
        keyless=lambda: local and not service.identities.required,
        auditor=service.auditor,
        watchers=watchers,
    )


def _allowed(request: Request) -> str:
    """The methods of an address. The framework names those of the first of its routes alone."""
    # The application's router adds /openapi.json.
    routers = (*_API, *site.PAGES, request.app.router)
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in matching for method in route.methods or ()}
    # See `Guard`.
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
