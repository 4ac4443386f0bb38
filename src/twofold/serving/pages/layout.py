"""What all pages share: the frame around them, the files that the browser loads, and errors written for people."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import APIRouter, Request  # noqa: TID253
from fastapi.responses import HTMLResponse, RedirectResponse, Response  # noqa: TID253
from starlette.exceptions import HTTPException  # noqa: TID253

from twofold.errors import TwofoldError
from twofold.files.reading import counted
from twofold.reports import study_page, styles
from twofold.serving import faults
from twofold.serving.entrance import service_of
from twofold.serving.identity import Caller
from twofold.serving.keys import Scope
from twofold.serving.pages.prose import explained, prose
from twofold.serving.service import Service
from twofold.types import Json

router = APIRouter(include_in_schema=False)

PAGES: tuple[tuple[str, str, Scope], ...] = (
    ("ask", "Ask", "ask"),
    ("documents", "Documents", "ask"),
    ("examples", "Examples", "curate"),
    ("studies", "Studies", "ask"),
    ("models", "Models", "admin"),
    ("watch", "Watch", "admin"),
    ("settings", "Settings", "admin"),
)
"""Address, title and needed scope of each page, in the order of the navigation."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""What a page may load: nothing but this server's own files, and no script or style inside the page."""
_HEADERS = {"content-security-policy": POLICY, "referrer-policy": "same-origin"}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".LICENSE": "text/plain"}
_TITLES = {
    400: "That request cannot be read",
    401: "Please sign in",
    403: "You may not see this",
    404: "There is nothing here",
    409: "Somebody else changed it",
    413: "That is too much at once",
    429: "Busy at the moment",
    500: "This cannot be shown at the moment",
    502: "A source does not answer",
    503: "Not ready at the moment",
    504: "That took too long",
}
_TEXTS = {
    400: "A part of the address or of the form is not what the page expects. Go back, and follow a link of the page.",
    404: "No page has this address. It may have been mistyped, or what it showed was removed.",
    405: "This address takes no such request. Go back, and use the form of the page.",
}
"""What a person reads where the web framework refuses a request; programs get the cures of `faults`."""


# ------------------------------------------------------------ pages


def page(request: Request, name: str, caller: Caller | None, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page: the template ``name.html`` in the frame.

    Args:
        request: What it answers.
        name: Of the template, and (up to a slash) of the page in the navigation.
        caller: Who sees it; None for the pages that anybody sees, which tell nothing of the project.
        status: Of the reply.
        context: What the template shows.
    """
    frame: Json = {"name": name, "here": name.partition("/")[0], "pages": []}
    frame |= {"project": "", "arm": None, "signed_in": ""}
    if caller is not None:
        service = service_of(request)
        # The page Watch where somebody looks at the project, or is to.
        looked = service.project.watching.looked or service.project.config.watch.every
        pages = [(path, title) for path, title, scope in PAGES if caller.covers(scope)]
        frame["pages"] = [(path, title) for path, title in pages if path != "watch" or looked]
        frame["signed_in"] = caller.name if caller.id else ""
        frame["project"] = service.project.config.project.name
        frame["arm"] = next(iter(served(service)), None)
    return fragment(f"{name}.html", status=status, **frame, **context)


def fragment(template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A template alone: a part of a page."""
    text = environment().get_template(template).render(**context)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def served(service: Service) -> list[Json]:
    """What answers now, the default first, as `/v1/models` shows it; empty while it cannot be said.

    No database that is down is a reason to show no page.
    """
    with service.arms.using() as arms:
        try:
            return arms.descriptions()
        except TwofoldError:
            return []


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates; what they are given is escaped."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("twofold.serving.pages", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,  # a misspelt name must fail a test, not leave a gap in a page
    )
    templates.filters.update(counted=counted, ago=ago, asset=_asset, prose=prose)
    return templates


def ago(seconds: float | None) -> str:
    """An age in words; empty where it is unknown."""
    if seconds is None:
        return ""
    for size, name in ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{counted(int(seconds // size), name)} ago"
    return "just now"


# ------------------------------------------------------------ errors


def for_people(request: Request) -> bool:
    """Is the reply shown to a person, and not read by a program?"""
    # Whatever it says that it accepts: these addresses are for programs.
    if request.url.path.startswith("/v1/"):
        return False
    return "hx-request" in request.headers or "text/html" in request.headers.get("accept", "")


def fault(request: Request, error: TwofoldError | HTTPException) -> Response:
    """An error as a page, or as the part of a page that asked; without a usable key the way to sign in."""
    if isinstance(error, TwofoldError):
        status, _, headers = faults.of_error(error)
        text = explained(error)
    else:
        status, headers = error.status_code, {}
        text = _TEXTS.get(status, "Go back, and try it another way.")
    part = "hx-request" in request.headers
    # The way to sign in, not an error: a session ends while pages are open.
    if status == 401:
        onward = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        # After a form not back to its address, which takes no GET.
        where = f"/login?next={quote(onward, safe='/') if request.method == 'GET' else '/'}"
        return Response(status_code=401, headers={"hx-redirect": where}) if part else RedirectResponse(where, 303)
    context = {"title": _TITLES.get(status, "Something went wrong here"), "text": text, "sign_in": status == 403}
    if part:
        reply: Response = fragment("fault.html", status=status, **context)
    else:
        # Without the caller: making the navigation could fail by the same fault.
        reply = page(request, "error", None, status=status, **context)
    reply.headers.update({name: value for name, value in headers.items() if name == "retry-after"})
    return reply


# ------------------------------------------------------------ files


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[bytes, str]]:
    """Name → content and digest of every file that the browser loads."""
    contents = {name: styles.sheet(name.removesuffix(".css")).encode() for name in ("tokens.css", "charts.css")}
    contents["report.css"] = styles.scoped("report", ".report").encode()
    contents["report.js"] = study_page.script().encode()
    for file in (resources.files("twofold.serving.pages") / "static").iterdir():
        contents[file.name] = file.read_bytes()
    return {name: (content, sha256(content).hexdigest()[:16]) for name, content in contents.items()}


def _asset(name: str) -> str:
    """Address of a file; a changed one has another, so that no browser shows the old one."""
    return f"/static/{name}?{_files()[name][1]}"


@router.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    """A file that the browser loads."""
    # A fixed list, looked up: no path is made of what a caller wrote.
    if name not in _files():
        raise HTTPException(404)
    content, version = _files()[name]
    tag = f'"{version}"'
    # Asked for again each time, and mostly answered by 304: ES modules import each other without a version.
    headers = {"cache-control": "no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    suffix = name[name.rindex(".") :]
    return Response(content, media_type=_TYPES.get(suffix, "application/octet-stream"), headers=headers)


@router.get("/")
def start() -> Response:
    """The first page."""
    return RedirectResponse("/ask", 303)
