"""The web application: all routes, errors in one shape, and the document that describes them."""

from __future__ import annotations

from fastapi import FastAPI, Request  # noqa: TID253
from fastapi.exceptions import RequestValidationError  # noqa: TID253
from pydantic import BaseModel
from starlette.exceptions import HTTPException  # noqa: TID253

from twofold import __version__
from twofold.errors import TwofoldError
from twofold.serving import answering, curating, faults, searching, state
from twofold.serving.counters import Counters
from twofold.serving.entrance import JsonReply
from twofold.serving.guard import Guard
from twofold.serving.service import Service

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


def built(service: Service, *, local: bool) -> Guard:
    """The application that serves a service.

    Args:
        service: What is served.
        local: The server listens to this machine only.
    """
    counters = Counters(later=service.later)
    app = FastAPI(
        title="Twofold",
        version=__version__,
        description="The measured arm of a project behind the OpenAI API, with citations.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"model": FaultReply, "description": "An error."} for status in _STATUSES},
    )
    app.state.service = service
    app.state.counters = counters
    app.include_router(answering.router)
    app.include_router(searching.router)
    app.include_router(curating.router)
    app.include_router(state.router)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JsonReply:
        return JsonReply(faults.of_validation(list(error.errors())), status_code=400)

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JsonReply:
        return JsonReply(faults.of_status(error.status_code), status_code=error.status_code, headers=error.headers)

    @app.exception_handler(TwofoldError)
    async def failed(_request: Request, error: TwofoldError) -> JsonReply:
        status, body, headers = faults.of_error(error)
        return JsonReply(body, status_code=status, headers=headers)

    most = int(service.project.config.serving.max_body_mib * _MIB)
    return Guard(app, counters=counters, most=most, keyless=lambda: local and not service.keys.required)
