"""Page: log in, with an API key or at the provider that the project names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request  # noqa: TID253

from twofold.errors import BadKey, Forbidden, IssuerDown, OverLimit
from twofold.serving import login
from twofold.serving.entrance import Served
from twofold.serving.pages.layout import page
from twofold.types import Json

router = APIRouter(include_in_schema=False)
FAULTS = {
    BadKey.code: "This key is unknown, expired or revoked. Copy it again, or ask whoever runs this server for another.",
    OverLimit.code: "Too many logins failed. Wait a minute, then try again.",
    Forbidden.code: "You are known, but nothing here is open to you. Ask whoever runs this server.",
    IssuerDown.code: "The login service does not answer. Try again in a moment, or use an API key.",
}
"""Code of an error → what a person does about it."""
_Words = Annotated[str, Query(max_length=2000)]


@router.get(login.PAGE)
def log_in(request: Request, service: Served, *, fault: _Words = "", next: _Words = "/") -> Any:
    """The form; it tells nothing of the project."""
    provider = service.identities.provider
    context: Json = {
        # By its code: a link must not put words of its own on this page.
        "fault": FAULTS.get(fault, "The login failed. Try again." if fault else ""),
        "next": login.local(next),
        "needed": service.identities.required,
        "provider": login.PROVIDER if provider is not None and provider.settings.client_id else "",
    }
    return page(request, "login", None, **context)
