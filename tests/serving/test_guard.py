"""Pages of other sites call the API only where the settings name them, with a key and never with a cookie."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from serving_process import Running, served

from twofold.project import Project
from twofold.serving import app, guard
from twofold.serving.counters import Counters
from twofold.serving.keys import KEYS, Keys
from twofold.settings.sections import ServingSection

SITE = "https://intranet.example"
ASKED = {"origin": SITE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.fixture(scope="module")
def shared(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("shared") / "p"))
    with (directory / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[serving]\norigins = ["{SITE}"]\nrequests_per_minute = 100\n')
    _, token = Keys(directory / KEYS).add("page")
    with served(directory) as running:
        yield running, token


@pytest.mark.parametrize("address", ["/healthz", "/readyz", "/v1/models", "/ask", "/static/site.css", "/v1/nothing"])
def test_head_is_answered_as_get_without_the_body(server: Running, address: str) -> None:
    with server.client() as client:
        whole, head = client.get(address), client.head(address)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert client.get("/healthz").json(), "the connection goes on"


def test_another_method_is_told_all_that_there_are(server: Running) -> None:
    with server.client() as client:
        addresses = ("/v1/documents", "/healthz", "/v1/retrieve", "/openapi.json")
        replies = [client.patch(address) for address in addresses]
        page = client.patch("/ask", headers={"accept": "text/html"})
    assert {reply.status_code for reply in [*replies, page]} == {405}
    assert [reply.headers["allow"] for reply in replies] == ["GET, HEAD, POST, PUT", "GET, HEAD", "POST", "GET, HEAD"]
    assert page.headers["allow"] == "GET, HEAD"


def test_a_named_site_calls_with_a_key(shared: tuple[Running, str]) -> None:
    running, token = shared
    with running.client(token) as client:
        before = client.options("/v1/models", headers=ASKED)
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, SITE)
        reply = client.get("/v1/models", headers={"origin": SITE})
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, SITE)
    assert "access-control-allow-credentials" not in reply.headers
    assert "x-ratelimit-remaining-requests" in reply.headers["access-control-expose-headers"].lower()


def test_its_pages_have_no_use_of_a_cookie(shared: tuple[Running, str]) -> None:
    running, token = shared
    with running.client() as client:
        assert client.post("/login", data={"key": token}, headers={"origin": SITE}).status_code == 403
        client.post("/login", data={"key": token}, headers={"origin": running.url})
        assert client.get("/v1/models").status_code == 200
        body = {"query": "parking"}
        assert client.post("/v1/retrieve", json=body, headers={"origin": SITE}).status_code == 403
        assert client.post("/v1/retrieve", json=body, headers={"origin": running.url}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://intranet.example", f"{SITE}.evil.example", "null"])
def test_other_sites_do_not(shared: tuple[Running, str], origin: str) -> None:
    running, token = shared
    with running.client(token) as client:
        refused = client.get("/v1/models", headers={"origin": origin})
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)
        assert client.options("/v1/models", headers={**ASKED, "origin": origin}).status_code == 403


def test_without_the_setting_no_site_does(server: Running) -> None:
    with server.client() as client:
        assert client.options("/v1/models", headers=ASKED).status_code == 403


@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [
        ("cross-site", "no-cors", "image", 403),
        ("cross-site", "no-cors", "script", 403),
        ("same-site", "no-cors", "style", 403),  # another port of this machine
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "navigate", "document", 200),
        ("same-origin", "cors", "empty", 200),
        ("none", "navigate", "document", 200),
    ],
)
def test_pages_of_other_sites_link_and_load_nothing(
    server: Running, site: str, mode: str, dest: str, status: int
) -> None:
    """Else any page learns by what loads, and how fast, which documents a server of this machine has."""
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    with server.client() as client:
        for path in ("/v1/models", "/documents/search?question=parking", "/ask/source?document=parking"):
            reply = client.get(path, headers=headers)
            assert (path, reply.status_code) == (path, status)
            assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        posted = client.post("/v1/retrieve", json={"query": "parking"}, headers=headers)
        assert posted.status_code == (200 if site in ("same-origin", "none") else 403)


def test_a_named_site_loads_by_the_api(shared: tuple[Running, str]) -> None:
    running, token = shared
    headers = {"origin": SITE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    with running.client(token) as client:
        assert client.get("/v1/models", headers=headers).status_code == 200
        assert client.get("/v1/models", headers={**headers, "origin": "https://evil.example"}).status_code == 403


def test_bodies_that_never_end_take_bounded_memory_and_leave_room_for_small_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "ROOM", 600_000)
    bodies: list[asyncio.Event] = []

    async def app(scope: guard.Scope, receive: guard.Receive, send: guard.Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def sent(guarded: guard.Guard, size: int, *, whole: bool) -> int:
        """Status of a request whose body has this size; 0 while the rest of it is awaited."""
        statuses: list[int] = []
        end = asyncio.Event()
        bodies.append(end)
        pieces = [b"x" * min(50_000, size - start) for start in range(0, size, 50_000)]

        async def receive() -> guard.Message:
            if pieces:
                return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces) or not whole}
            await end.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: guard.Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
        scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/", "headers": headers}
        task = asyncio.create_task(guarded(scope, receive, send))
        tasks.append(task)
        for _ in range(50):
            await asyncio.sleep(0)
        return statuses[0] if statuses else 0

    tasks: list[asyncio.Task[None]] = []

    async def statuses() -> list[int]:
        counters = Counters(later=lambda: 0.0)
        guarded = guard.Guard(app, counters=counters, most=150_000, origins=(), keyless=lambda: False)
        seen = [await sent(guarded, 140_000, whole=False) for _ in range(5)]
        seen += [await sent(guarded, 140_000, whole=True), await sent(guarded, 60_000, whole=True)]
        for end in bodies:
            end.set()
        await asyncio.gather(*tasks)
        return [*seen, await sent(guarded, 140_000, whole=True)]

    # Four that hang are taken, a fifth and a whole one find no room; a small one does, and all once those have ended.
    assert asyncio.run(statuses()) == [0, 0, 0, 0, 429, 429, 200, 200]


@pytest.mark.parametrize("origin", ["*", "https://*.example", "intranet.example", f"{SITE}/", "null"])
def test_a_site_is_named_in_full(origin: str) -> None:
    with pytest.raises(ValidationError):
        ServingSection(origins=(origin,))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example@{0}",
        "{0}@evil.example",
        "{0}#.evil.example",
        "{0}/.evil.example",
        "{0}?.evil.example",
        "local\thost",
        "{0}:99999999",
        "{0}:",
        "[::1",
        "[evil.example]",
        "é",
    ],
)
def test_what_is_no_host_is_a_400(server: Running, host: str) -> None:
    """Else one part of the server could read another host in it than the browser went to."""
    with server.client() as client:
        headers = [(b"host", host.format("localhost").encode("latin-1"))]
        refused = client.get("/healthz", headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "http.bad-request")
        assert client.get("/healthz", headers={"host": "[::1]:80"}).status_code == 200


def test_what_nobody_expected_is_a_500_in_the_shape_of_every_error(
    measured: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def replies() -> list[httpx.Response]:
        with Project.open(measured) as project:
            # Without identities each request fails by an AttributeError.
            stub: Any = SimpleNamespace(
                **{"project": project, "later": lambda: 0.0, "arms": None, "identities": None, "state": dict},
                **{"witnesses": [], "auditor": None, "numbers": []},
            )
            transport = httpx.ASGITransport(app.built(stub, local=False))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                page = await client.get("/documents", headers={"accept": "text/html"})
                return [await client.get("/v1/models"), await client.post("/v1/retrieve", json={"query": "a"}), page]

    *programs, page = asyncio.run(replies())
    for reply in programs:
        assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal")
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "AttributeError" not in reply.text
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "AttributeError" not in page.text
    assert caplog.text.count("a request failed") == 3


def test_a_body_that_breaks_off_reaches_no_route() -> None:
    """Half a form reads as a form, whose text would be stored cut short."""
    reached: list[str] = []

    async def app(scope: guard.Scope, receive: guard.Receive, send: guard.Send) -> None:
        reached.append(scope["path"])

    messages: list[guard.Message] = [
        {"type": "http.request", "body": b"text=half of", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> guard.Message:
        return messages.pop(0)

    async def send(message: guard.Message) -> None:
        pass

    guarded = guard.Guard(app, counters=Counters(later=lambda: 0.0), most=1000, origins=(), keyless=lambda: False)
    headers = [(b"host", b"localhost"), (b"content-length", b"100")]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/", "headers": headers}
    asyncio.run(guarded(scope, receive, send))
    assert (reached, messages) == ([], [])
