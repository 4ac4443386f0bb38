"""What every request passes before it reaches a route: limits of its body, its origin, and counting."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from twofold.errors import AuditUnwritable, Closing, QueueFull
from twofold.serving import faults
from twofold.serving.auditing import Auditor
from twofold.serving.counters import Counters
from twofold.serving.exchange import Ended, Watcher, begin_request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MORE_HEADERS = "twofold.headers"
"""Key of a request's scope under which a route leaves headers for the reply, whoever writes that."""
BODY_SECONDS = 20.0
"""Time in which a whole body must arrive."""
SMALL_BODY = 64 * 1024
"""Bytes of a body that are always taken in: however many arrive at once, the number of connections bounds them."""
ROOM = 64 * 1024 * 1024
"""Bytes of larger bodies that may have arrived in part: whoever sends them needs no key yet, and may never end."""
OPEN = frozenset(["/healthz", "/readyz", "/metrics"])
"""Addresses that answer while the server is stopping."""
_SINGLE = frozenset(
    [
        *(b"authorization", b"content-length", b"content-type", b"host", b"origin"),
        *(b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"),
    ]
)
# Without a user's name, a path or a blank: `urlsplit` reads another host in some of them than a browser does.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::[0-9]{1,5})?", re.ASCII)
_LATER = "Send the request again after the seconds in the header Retry-After."
_LOCAL = frozenset(["localhost", "127.0.0.1", "::1"])
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # No page of another site sees whether it could load something from here, nor holds a window of this one's.
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """An ASGI application around the routes.

    Args:
        app: The routes.
        counters: Counts the replies.
        most: Largest body, in bytes.
        origins: Other sites whose pages may send requests.
        keyless: Are requests of this machine answered without a key? Then one by another host's name is a page's trick
            (DNS rebinding), and is refused.
        auditor: Logs what was changed, searched and refused; None: nobody does.
        watchers: See every request but those to the addresses in `OPEN`, which machines call every few seconds.
    """

    def __init__(
        self,
        app: App,
        *,
        counters: Counters,
        most: int,
        origins: Collection[str],
        keyless: Callable[[], bool],
        auditor: Auditor | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._app = app
        self._counters = counters
        self._most = most
        self._origins = frozenset(origins)
        self._keyless = keyless
        self._auditor = auditor
        self._watchers = watchers
        self._room = max(ROOM, 4 * most)
        self._arriving = 0
        self.running = 0
        """Requests that are being answered."""
        self.closing = False
        """No request is begun any more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # HTTP requires it wherever GET answers, and monitors send it. A copy: by the former the body is left out.
            scope = {**scope, "method": "GET"}
        begun = time.perf_counter()
        request = begin_request()
        name = request.encode()
        watchers = () if scope["path"] in OPEN else self._watchers
        for watcher in watchers:
            watcher.begun(request, method=scope["method"], path=scope["path"], headers=dict(scope["headers"]))
        status = 500
        started = ended = False

        async def sending(message: Message) -> None:
            nonlocal status, started, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                # Read only now: the route has left them in the scope before it replies.
                more = [(name.encode(), value.encode()) for name, value in scope.get(MORE_HEADERS, {}).items()]
                headers = _completed(message.get("headers", ()))
                message = {**message, "headers": [*headers, (b"x-request-id", name), *more]}
            await send(message)

        # From the head on: while the server drains also a slow body counts as under way.
        self.running += 1
        self._counters.running.inc()
        try:
            status_and_body = self._refusal(scope)
            if status_and_body is None:
                body, refusal = await self._body(scope, receive)
                if refusal is None:
                    await self._app(scope, _replayed(body, receive), sending)
                    return
                status_and_body = refusal
            await _reply(sending, *status_and_body)
        except Exception as error:  # the outermost: a caller gets an error object whatever happens
            reply = faults.of_error(error)  # which also logs it
            if not started:
                await _reply(sending, *reply)
            elif not ended:  # half of a reply is sent: all that is left is to end the connection
                raise
        finally:
            self.running -= 1
            self._counters.running.dec()
            route = scope.get("route")
            # The template: else a caller could make as many rows of the metrics as there are addresses.
            path = route.path if route is not None else "other"
            end = Ended(method=scope["method"], route=path, status=status, seconds=time.perf_counter() - begun)
            self._counters.request(request, end)
            for watcher in watchers:
                watcher.ended(request, end)
            if self._auditor is not None:
                self._auditor.request(scope, status, name=request)

    def _refusal(self, scope: Scope) -> tuple[int, Any, dict[str, str]] | None:
        headers = dict(scope["headers"])
        # HTTP/1.0 has no chunks: a proxy that speaks it passes the body on by its own count.
        framed_twice = b"content-length" in headers or scope["http_version"] == "1.0"
        if (b"transfer-encoding" in headers and framed_twice) or _doubled(scope["headers"]):
            # A proxy may have read another one of the two: what follows could be another caller's.
            return 400, faults.of_status(400), {"connection": "close"}
        host = headers.get(b"host", b"").decode("latin-1")
        if host and not _HOST.fullmatch(host):
            return 400, faults.of_status(400), {"connection": "close"}
        if _hostname(f"//{host}") not in _LOCAL and self._keyless():
            return (
                403,
                _foreign("the host's name is not this machine's", "Use the address that the server printed."),
                {},
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and netloc(origin) != host and origin not in self._origins:
            cure = "Call the API from a program or a page of the same address, or name the site in [serving].origins."
            return 403, _foreign("requests from pages of other sites are refused", cure), {}
        if origin not in self._origins and _loaded_elsewhere(scope["method"], headers):
            # Else any page could have this machine search, and see by errors and times which documents there are.
            cure = "Open the address itself, or name the site in [serving].origins and use the API."
            return 403, _foreign("pages of other sites may link here, and load nothing", cure), {}
        if self.closing and scope["path"] not in OPEN:
            return faults.of_error(Closing("the server is stopping"))
        if self._auditor is not None and self._auditor.refusing and scope["path"] not in OPEN:
            return faults.of_error(AuditUnwritable("the audit log cannot be written, and nothing is served without it"))
        length = headers.get(b"content-length", b"0")
        # Cut to 20 digits: `int` of thousands of them is slow, and refused by Python beyond 4300.
        if not length.isdigit() or int(length[:20]) > self._most:
            return 413, faults.of_status(413), {"connection": "close"}
        return None

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes, tuple[int, Any, dict[str, str]] | None]:
        """The whole body, or why it is refused; read here, so that a slow caller holds no route."""
        headers = dict(scope["headers"])
        if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
            return b"", None
        body, counted = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        # Half a form has no mark of being one: a text cut short would be taken for the whole.
                        return b"", (400, faults.of_status(400), {"connection": "close"})
                    body += message.get("body", b"")
                    # Counted too: chunks come without a length beforehand.
                    if len(body) > self._most:
                        return b"", (413, faults.of_status(413), {"connection": "close"})
                    if len(body) > SMALL_BODY:
                        self._arriving += len(body) - counted
                        counted = len(body)
                        if self._arriving > self._room:
                            busy = QueueFull("too many large bodies arrive at once", cure=_LATER)
                            status, refusal, more = faults.of_error(busy)
                            return b"", (status, refusal, {**more, "connection": "close"})
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            return b"", (408, faults.of_status(408), {"connection": "close"})
        finally:
            # What has arrived whole is the route's, which soon refuses it, or lets it wait in a bounded queue.
            self._arriving -= counted
        return bytes(body), None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what comes: the caller's leaving."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return pending.pop() if pending else await receive()

    return receiving


def _completed(headers: Collection[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with those of every reply; a page that has one of these of its own keeps it."""
    present = {name for name, _ in headers}
    return [*headers, *(header for header in _HEADERS if header[0] not in present)]


def _doubled(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Does a header that decides something stand there twice?"""
    names = [name for name, _ in headers if name in _SINGLE]
    return len(names) != len(set(names))


def _loaded_elsewhere(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Does a page of another site have this sent, and is it no link that a person follows?

    Browsers say so in headers that no page can change (Fetch Metadata, W3C); other programs do not send them.
    """
    # No browser adds a key by itself: whoever sends one may do what the key may.
    if b"authorization" in headers or headers.get(b"sec-fetch-site") not in (b"cross-site", b"same-site"):
        return False
    # Also the way back from a provider's login is such a link; a frame, which shows nothing, is none.
    followed = (headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest", b"document")) == (
        b"navigate",
        b"document",
    )
    return not (followed and method in ("GET", "HEAD"))


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def netloc(origin: str) -> str:
    """Host and port of an origin; empty where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _foreign(message: str, cure: str) -> Any:
    return faults.body(faults.sentence(message, cure), status=403, code="http.forbidden")


async def _reply(send: Send, status: int, body: Any, headers: dict[str, str]) -> None:
    content = faults.encoded(body)
    raw = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    raw += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
