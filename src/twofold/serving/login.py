"""Routes by which a browser logs in and out."""

from __future__ import annotations

import asyncio
import hmac
import html
from functools import partial
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, Request, Response  # noqa: TID253
from fastapi.responses import HTMLResponse, RedirectResponse  # noqa: TID253

from twofold.errors import BadKey, BadRequest, Forbidden, IssuerDown, NotServed, OverLimit
from twofold.serving import entrance
from twofold.serving.entrance import Served
from twofold.serving.pages.forms import form_of

router = APIRouter(include_in_schema=False)
PAGE = "/login"
"""Address of the page that asks for a key."""
PROVIDER = "/login/oidc"
"""Address that leads to the provider's login; the provider leads back to it with ``/return``."""
FAILED = "login"
"""Stands for a login at the provider that failed or was given up: the person showed no key that could be wrong."""
_ONWARD = '<!doctype html><title>Twofold</title><meta http-equiv="refresh" content="0;url={0}"><a href="{0}">Go on</a>'


@router.post("/login")
async def log_in(request: Request, service: Served) -> Response:
    """Begin a session with the form's `key` and go on to its `next`, or back to the page with the `fault`."""
    if not entrance.same_origin(request):
        raise Forbidden("the login was not sent by a page of this server", cure="Log in at /login.")
    form = await form_of(request)
    onward = local(form.text("next"))
    try:
        session = service.identities.log_in(form.text("key").strip(), entrance.address(request))
    except (BadKey, OverLimit) as error:
        return to_page(error.code, onward)
    # 303: the browser goes on with GET, and a reload sends the key no second time.
    reply = RedirectResponse(onward, status_code=303)
    begin(reply, request, session, seconds=service.identities.sessions.seconds)
    return reply


@router.post("/logout")
async def log_out(request: Request, service: Served) -> Response:
    """End the session."""
    if not entrance.same_origin(request):
        raise Forbidden("the request was not sent by a page of this server", cure="Use the page's own button.")
    name = entrance.cookie(request)
    service.identities.log_out(request.cookies.get(name, ""))
    reply = RedirectResponse(PAGE, status_code=303)
    # With the attributes with which it was set: browsers keep a secure cookie that an insecure reply takes away.
    reply.delete_cookie(name, path="/", httponly=True, samesite="strict", secure=entrance.encrypted(request))
    return reply


@router.get(PROVIDER)
async def to_provider(request: Request, service: Served, next: str = "/") -> Response:
    """Lead to the provider's login."""
    identities, onward = service.identities, local(next)
    provider = identities.provider
    if provider is None or not provider.settings.client_id:
        raise NotServed(
            "no provider's login is set up", cure="Set [serving.oidc].client_id, or log in with an API key."
        )
    host = request.headers.get("host", "")
    if not host:  # HTTP/1.0 may leave it out
        raise BadRequest(
            "the request names no host, to which the provider would lead back", cure="Send the header Host."
        )
    redirect = f"{'https' if entrance.encrypted(request) else 'http'}://{host}{PROVIDER}/return"
    loop = asyncio.get_running_loop()
    try:
        # In threads of its own: a slow provider must not use up those in which everybody's routes run.
        begun = partial(provider.begin, redirect, onward, address=entrance.address(request))
        there, state = await loop.run_in_executor(identities.threads, begun)
    except IssuerDown as error:
        return to_page(error.code, onward)
    reply = RedirectResponse(there, status_code=303)
    reply.set_cookie(
        f"{entrance.cookie(request)}-login",
        state,
        max_age=int(provider.logins.seconds),
        path=PROVIDER,
        httponly=True,
        samesite="lax",  # the provider is another site, and leads back to here
        secure=entrance.encrypted(request),
    )
    return reply


@router.get(f"{PROVIDER}/return")
async def from_provider(
    request: Request, service: Served, *, state: str = "", code: str = "", iss: str = ""
) -> Response:
    """Begin the session of who comes back from the provider."""
    identities = service.identities
    provider, name = identities.provider, f"{entrance.cookie(request)}-login"
    try:
        # Another's state would log the browser in as somebody else.
        if provider is None or not hmac.compare_digest(request.cookies.get(name, "").encode(), state.encode()):
            raise BadKey("the login was not begun by this browser", cure="Log in again.")
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(identities.threads, lambda: provider.complete(state, code, issuer=iss))
        identity, onward = await done
    except BadKey:
        return to_page(FAILED, "/")
    except (Forbidden, IssuerDown) as error:
        return to_page(error.code, "/")
    # No redirect: a browser that comes from another site would leave the new cookie out.
    reply = HTMLResponse(_ONWARD.format(html.escape(onward)))
    session = identities.sessions.add(identity, owner=identity.id)
    begin(reply, request, session, seconds=identities.sessions.seconds)
    reply.delete_cookie(name, path=PROVIDER)
    return reply


def local(address: str) -> str:
    """An address of this server to go on to; the start page where it is none, so that no link leads elsewhere."""
    # Browsers read "\" as "/", drop tabs and line breaks, and take "//host" for another site.
    parts = urlsplit(address) if address.startswith("/") and address.isprintable() else None
    if parts is None or parts.netloc or parts.scheme or "\\" in address or address.startswith("//"):
        return "/"
    # Quoted: a blank or a letter beyond ASCII may not stand in a header.
    return quote(address, safe="/?&=%#+,;:@!~*'()$-._")


def to_page(fault: str, onward: str) -> Response:
    """Back to the page, which says in words what an error's code, or `FAILED`, means."""
    return RedirectResponse(f"{PAGE}?{urlencode({'fault': fault, 'next': onward})}", status_code=303)


def begin(reply: Response, request: Request, session: str, *, seconds: float) -> None:
    """Give the browser its session: no script reads it, and no page of another site has it sent."""
    reply.set_cookie(
        entrance.cookie(request),
        session,
        max_age=int(seconds),
        path="/",
        httponly=True,
        samesite="strict",
        secure=entrance.encrypted(request),
    )
