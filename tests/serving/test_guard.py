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

from twofold.config import ServingSection
from twofold.project import Project
from twofold.serving import app
from twofold.serving.keys import KEYS, Keys

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
            stub: Any = SimpleNamespace(project=project, later=lambda: 0.0, arms=None, identities=None, state=dict)
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
