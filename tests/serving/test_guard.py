"""Pages of other sites call the API only where the settings name them, with a key and never with a cookie."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from serving_process import Running, served

from twofold.config import ServingSection
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
