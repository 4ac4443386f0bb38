"""A browser logs in with a key, and its cookie is worth what the key is worth, to pages of this server alone."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from oidc_stand_in import AUDIENCE, CLIENT, SECRET, OidcProvider
from serving_process import Running, served

from twofold.serving import login
from twofold.serving.keys import KEYS, Keys
from twofold.serving.sessions import ATTEMPTS

CHAT = "/v1/chat/completions"
QUESTION = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}


@pytest.fixture(scope="module")
def keys(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("login") / "p"))
    return Keys(directory / KEYS)


@pytest.fixture(scope="module")
def keyed(keys: Keys) -> Iterator[Running]:
    keys.add("first", scope="admin")
    with served(Path(str(keys.place)).parents[1]) as running:
        yield running


def entered(running: Running, token: str, **more: str) -> tuple[httpx.Client, httpx.Response]:
    client = running.client()
    reply = client.post("/login", data={"key": token, **more}, headers={"origin": running.url})
    return client, reply


def test_a_cookie_is_worth_its_key_until_it_is_revoked(keyed: Running, keys: Keys) -> None:
    key, token = keys.add("support")
    client, reply = entered(keyed, token, next="/ask?study=3")
    assert (reply.status_code, reply.headers["location"]) == (303, "/ask?study=3")
    (cookie,) = reply.headers.get_list("set-cookie")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={12 * 3600}"} <= attributes
    assert "secure" not in attributes
    assert token.split("-", 2)[2] not in cookie
    assert client.get("/v1/models").status_code == 200
    assert client.get("/metrics").status_code == 403
    asked = client.post(CHAT, json=QUESTION, headers={"origin": keyed.url})
    assert "4 euros" in asked.json()["choices"][0]["message"]["content"]
    keys.revoke(key.id)
    refused = client.get("/v1/models")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "serving.key")


def test_another_secret_ends_the_sessions_of_the_old_one(keyed: Running, keys: Keys) -> None:
    key, token = keys.add("support")
    client, _ = entered(keyed, token)
    assert client.get("/v1/models").status_code == 200
    keys.rotate(key.id)
    assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_with_a_cookie_only_pages_of_this_server_change_anything(
    keyed: Running, keys: Keys, headers: dict[str, str], status: int
) -> None:
    client, _ = entered(keyed, keys.add("support")[1])
    assert client.post(CHAT, json=QUESTION, headers=headers).status_code == status
    # A key is no cookie: no browser adds it by itself.
    _, token = keys.add("program")
    if "origin" not in headers:
        asked = client.post(CHAT, json=QUESTION, headers={**headers, "authorization": f"Bearer {token}"})
        assert asked.status_code == 200


def test_nobody_is_logged_in_or_out_by_another_site(keyed: Running, keys: Keys) -> None:
    _, token = keys.add("support")
    client, _ = entered(keyed, token)
    for path in ("/login", "/logout"):
        for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            refused = client.post(path, data={"key": token}, headers=headers)
            assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)
    assert client.get("/v1/models").status_code == 200


def test_a_form_of_many_fields_is_refused(keyed: Running) -> None:
    with keyed.client() as client:
        fields = {f"a{number}": "b" for number in range(2000)}
        refused = client.post("/login", data=fields, headers={"origin": keyed.url})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "serving.request")


def test_logging_out_ends_the_session_also_for_who_copied_the_cookie(keyed: Running, keys: Keys) -> None:
    client, _ = entered(keyed, keys.add("support")[1])
    copied = dict(client.cookies)
    reply = client.post("/logout", headers={"origin": keyed.url})
    assert (reply.status_code, reply.headers["location"]) == (303, "/login")
    assert not client.cookies
    with keyed.client(cookies=copied) as thief:
        assert thief.get("/v1/models").status_code == 401


def test_a_wrong_key_leads_back_to_the_page_and_many_to_a_pause(project_copy: Path) -> None:
    _, token = Keys(project_copy / KEYS).add("first")
    with served(project_copy) as running:
        for _ in range(ATTEMPTS):
            client, reply = entered(running, "tf-00000000-x", next="/models")
            assert reply.headers["location"] == "/login?fault=serving.key&next=%2Fmodels"
            assert not client.cookies
        _, reply = entered(running, token)
        assert reply.headers["location"] == "/login?fault=serving.limit&next=%2F"
        with running.client(token) as program:
            assert program.get("/v1/models").status_code == 200


def test_the_cookie_is_sent_encrypted_only_where_the_browser_came_so(keyed: Running, keys: Keys) -> None:
    _, token = keys.add("support")
    headers = {"origin": "https://docs.example", "host": "docs.example", "x-forwarded-proto": "https"}
    with keyed.client() as client:
        reply = client.post("/login", data={"key": token}, headers=headers)
    (cookie,) = reply.headers.get_list("set-cookie")
    assert cookie.startswith("twofold=")
    assert "secure" in cookie.lower()


@pytest.fixture(scope="module")
def provided(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, OidcProvider]]:
    """A server whose callers an OpenID Connect provider knows, and that provider."""
    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("oidc") / "p"))
    provider = OidcProvider()
    settings = f"""
[serving.oidc]
issuer = "{provider.issuer}"
audience = "{AUDIENCE}"
client_id = "{CLIENT}"
client_secret_env = "TWOFOLD_TEST_SECRET"
scope_claim = "scope"
scopes = {{ "read" = "ask", "all" = "admin" }}
"""
    with (directory / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write(settings)
    provider.claims = {"scope": "read"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_TEST_SECRET", SECRET)
        with served(directory) as running:
            yield running, provider
    provider.close()


def test_a_providers_token_is_worth_its_scope(provided: tuple[Running, OidcProvider]) -> None:
    running, provider = provided
    expected = {"read": (200, 403), "all": (200, 200), "none": (403, 403)}
    for scope, statuses in expected.items():
        with running.client(provider.token(scope=scope)) as client:
            assert (client.get("/v1/models").status_code, client.get("/metrics").status_code) == statuses, scope
    with running.client(provider.token(scope="all", exp=1)) as client:
        refused = client.get("/v1/models")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "serving.key")
    with running.client() as client:
        assert client.get("/v1/models").status_code == 401


def walked(running: Running, next: str = "/ask") -> tuple[httpx.Client, httpx.Response, httpx.Response]:
    """A browser on its way to the provider and back: the client, and the replies before the return and of it."""
    client = running.client()
    away = client.get("/login/oidc", params={"next": next})
    there = client.get(away.headers["location"])
    return client, away, there


def test_a_browser_logs_in_by_the_provider(provided: tuple[Running, OidcProvider]) -> None:
    running, _ = provided
    client, away, there = walked(running, "/ask?a=1&b=2")
    query = parse_qs(urlsplit(away.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [f"{running.url}/login/oidc/return"]
    (cookie,) = away.headers.get_list("set-cookie")
    assert {"httponly", "samesite=lax", "path=/login/oidc"} <= {part.strip().lower() for part in cookie.split(";")}
    back = client.get(there.headers["location"])
    assert back.status_code == 200
    assert 'content="0;url=/ask?a=1&amp;b=2"' in back.text
    assert "samesite=strict" in back.headers["set-cookie"].lower()
    assert client.get("/v1/models").status_code == 200
    assert client.get("/metrics").status_code == 403
    # The state is good for one login.
    again = client.get(there.headers["location"])
    assert again.headers["location"].startswith("/login?fault=login")


def test_a_login_that_another_began_is_refused(provided: tuple[Running, OidcProvider]) -> None:
    running, _ = provided
    _, _, there = walked(running)
    with running.client() as victim:
        refused = victim.get(there.headers["location"])
        assert refused.headers["location"] == "/login?fault=login&next=%2F"
        page = victim.get(refused.headers["location"]).text
        assert "The login failed." in page
        assert "key is unknown" not in page
        assert not victim.cookies


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"aud": "other"}, {"azp": "other"}, {"iss": "http://127.0.0.1:1"}, {"scope": "none"}],
    ids=str,
)
def test_a_token_that_is_not_of_the_login_is_refused(
    provided: tuple[Running, OidcProvider], claims: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, provider = provided
    monkeypatch.setattr(provider, "claims", {**provider.claims, **claims})
    client, _, there = walked(running)
    refused = client.get(there.headers["location"])
    assert refused.status_code == 303
    assert refused.headers["location"].startswith(("/login?fault=login", "/login?fault=serving.scope"))
    assert client.get("/v1/models").status_code == 401


def test_an_answer_of_another_provider_is_refused(provided: tuple[Running, OidcProvider]) -> None:
    running, provider = provided
    client, _, there = walked(running)
    mixed = there.headers["location"].replace(quote(provider.issuer, safe=""), quote("https://evil.example", safe=""))
    assert mixed != there.headers["location"]
    assert client.get(mixed).headers["location"].startswith("/login?fault=login")


def test_a_login_without_a_host_to_come_back_to_is_refused(provided: tuple[Running, OidcProvider]) -> None:
    running, _ = provided
    with socket.create_connection(("127.0.0.1", urlsplit(running.url).port), timeout=10) as connection:
        connection.sendall(b"GET /login/oidc HTTP/1.0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_without_a_provider_there_is_no_such_login(keyed: Running) -> None:
    with keyed.client() as client:
        assert client.get("/login/oidc").status_code == 404
        assert client.get("/login/oidc/return").status_code == 303


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/ask", "/ask"),
        ("/documents?q=a%20b", "/documents?q=a%20b"),
        ("", "/"),
        ("ask", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: a=b", "/"),
        ("/\t/evil.example", "/"),
        ("/ü", "/%C3%BC"),
    ],
)
def test_a_login_goes_on_to_addresses_of_this_server_alone(address: str, expected: str) -> None:
    assert login.local(address) == expected
