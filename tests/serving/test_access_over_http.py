"""Access control over HTTP: nobody sees another's documents, nor learns that they exist."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from serving_process import Running, served

from small_project import write_project
from twofold.project import Project
from twofold.serving.keys import KEYS, Keys
from twofold.serving.pushed import _owned
from twofold.types import Filter

SECRETS = {"ann": "zebrafish", "bob": "marmalade"}
"""A word that only the user's own document has."""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    server: Running
    keys: dict[str, str]

    def client(self, name: str) -> httpx.Client:
        return self.server.client(self.keys[name])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Iterator[Guarded]:
    documents = [
        {
            "id": f"{user}-plan",
            "title": f"Plan {word}",
            "text": f"The code word of the plan is {word}.",
            "readers": [f"user:{user}"],
        }
        for user, word in SECRETS.items()
    ]
    directory = tmp_path_factory.mktemp("guarded") / "p"
    questions = [("ann-plan", "What is the code word of the plan?", "zebrafish")]
    settings = '\n[access]\nenabled = true\nstudy_user = "ann"\n'
    write_project(directory, documents, questions, copies=4, settings=settings)
    with Project.open(directory) as project:
        project.sync()
    store = Keys(directory / KEYS)
    made = {
        "ann": store.add("ann", user="ann")[1],
        "bob": store.add("bob", user="bob")[1],
        "ann-curates": store.add("ann", user="ann", groups=["staff"], scope="curate")[1],
        "bob-curates": store.add("bob", user="bob", groups=["staff"], scope="curate")[1],
        "nobody": store.add("nobody")[1],
        "expired": store.add("old", user="ann", days=1e-9)[1],
    }
    with served(directory, "--arm", "rag", "--unmeasured") as server:
        yield Guarded(server=server, keys=made)


CHAT = "/v1/chat/completions"


def body(question: str = "What is the code word of the plan?", **more: Any) -> dict[str, Any]:
    return {"model": "rag", "messages": [{"role": "user", "content": question}], **more}


def test_each_gets_their_own_answer(guarded: Guarded) -> None:
    for user, word in SECRETS.items():
        with guarded.client(user) as client:
            reply = client.post(CHAT, json=body()).raise_for_status().json()
            assert word in reply["choices"][0]["message"]["content"]
            assert reply["choices"][0]["message"]["citations"][0]["document"] == f"{user}-plan"


def test_a_user_in_the_body_is_nobody(guarded: Guarded) -> None:
    """The OpenAI API has a parameter `user`, which a caller may set to any name."""
    first, other = SECRETS
    with guarded.client(first) as client:
        reply = client.post(CHAT, json=body(user=other, metadata={"user": other})).raise_for_status().text
    assert SECRETS[first] in reply
    assert SECRETS[other] not in reply


def test_no_score_tells_of_closed_documents(guarded: Guarded) -> None:
    with guarded.client("ann") as client:
        (row,) = client.post("/v1/retrieve", json={"query": "code word", "k": 9}).json()["data"]
    assert (row["document"], row["score"]) == ("ann-plan", None)


@pytest.mark.parametrize("key", ["", "tf-00000000-x", "nonsense", "expired"])
def test_without_a_usable_key_nothing_is_answered(guarded: Guarded, key: str) -> None:
    with guarded.server.client(guarded.keys.get(key, key)) as client:
        for method, path in [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/v1/documents"), ("GET", "/metrics")]:
            refused = client.request(method, path, json=body() if method == "POST" else None)
            assert refused.status_code == 401, path
            assert refused.json()["error"]["code"] == "serving.key"
            assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == 200


def test_a_key_without_a_user_sees_nothing(guarded: Guarded) -> None:
    with guarded.client("nobody") as client:
        refused = client.post(CHAT, json=body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "access")


def test_scopes_hold(guarded: Guarded) -> None:
    with guarded.client("ann") as client:
        for method, path in [("GET", "/v1/documents"), ("DELETE", "/v1/documents/x"), ("GET", "/metrics")]:
            refused = client.request(method, path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "serving.scope")


def test_a_document_belongs_to_its_readers(guarded: Guarded) -> None:
    note = {"id": "note", "text": "The sauna is heated to 85 degrees.", "readers": ["user:ann"]}
    with guarded.client("ann-curates") as ann, guarded.client("bob-curates") as bob:
        assert ann.post("/v1/documents", json={**note, "readers": ["user:bob"]}).status_code == 400
        unnamed = ann.post("/v1/documents", json={**note, "readers": None})
        assert (unnamed.status_code, '"readers": ["group:' in unnamed.json()["error"]["message"]) == (400, True)
        row = ann.post("/v1/documents", json=note).raise_for_status().json()
        assert row["id"] == "user:ann/note"
        # The same id is free for another, and what is there is answered as what is not.
        mine = bob.post("/v1/documents", json={**note, "readers": ["user:bob"], "text": "Nothing."})
        assert mine.status_code == 201
        hidden, missing = (bob.get(f"/v1/documents/{name}") for name in ("user:ann/note", "user:ann/nothing"))
        assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content) == (404, missing.content)
        assert bob.delete("/v1/documents/user:ann/note").status_code == 404
        assert [one["id"] for one in bob.get("/v1/documents").json()["data"]] == ["user:bob/note"]
        question = body("How many degrees is the sauna heated to?")
        assert "85 degrees" in ann.post(CHAT, json=question).text
        assert "85 degrees" not in bob.post(CHAT, json=question).text
        shared = ann.post("/v1/documents", json={**note, "readers": ["group:staff"]}).json()
        assert bob.get(f"/v1/documents/{shared['id']}").status_code == 200
        for client, name in ((ann, row["id"]), (bob, mine.json()["id"]), (ann, shared["id"])):
            client.delete(f"/v1/documents/{name}").raise_for_status()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((["a+b"], "x"), (["a", "b"], "x")),
        ((["group:/eng/core"], "x"), (["group:/eng"], "core/x")),
        ((["a%2Bb"], "x"), (["a+b"], "x")),
    ],
    ids=["plus", "a group's path", "what is quoted"],
)
def test_no_two_readers_share_an_id(first: tuple[list[str], str], second: tuple[list[str], str]) -> None:
    principal = tuple(first[0] + second[0])
    names = [_owned(name, readers, Filter(principal=principal)) for readers, name in (first, second)]
    assert names[0] != names[1]


def _slower(client: httpx.Client, paths: Callable[[str], str | dict[str, Any]], hidden: str) -> int:
    """Of 300 pairs in random order: how often is a hidden document refused later than none?"""
    chance, seconds = random.Random(7), dict[str, list[float]]()
    nothing = f"{hidden[:-1]}?"  # as long
    for _ in range(300):
        for name in chance.sample([hidden, nothing], 2):
            call = paths(name)
            begun = time.perf_counter()
            if isinstance(call, str):
                assert client.get(call).status_code == 404
            else:
                assert "there is no document" in client.post("/mcp", json=call).text
            seconds.setdefault(name, []).append(time.perf_counter() - begun)
    return sum(large > none for large, none in zip(seconds[hidden], seconds[nothing], strict=True))


def _fetched(name: str) -> dict[str, Any]:
    params = {"name": "fetch", "arguments": {"document": name}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


WAYS: dict[str, Callable[[str], str | dict[str, Any]]] = {
    "the API": lambda name: f"/v1/documents/{quote(name)}",
    "the page of a document": lambda name: f"/documents/view?id={quote('pushed:' + name)}",
    "the words of a citation": lambda name: f"/ask/source?document={quote('pushed:' + name)}&start=0&end=9",
    "an agent": lambda name: _fetched(f"pushed:{name}"),
}


@pytest.fixture(scope="module")
def large(guarded: Guarded) -> Iterator[str]:
    """The id of a large document of readers whose name is no user's or group's, so that its id alone refuses nobody."""
    body = {"id": "large", "text": "The pool is closed. " * 150_000, "readers": ["ann"]}
    with guarded.client("ann-curates") as ann:
        name = ann.post("/v1/documents", json=body).raise_for_status().json()["id"]
        yield name
        ann.delete(f"/v1/documents/{quote(name)}").raise_for_status()


@pytest.mark.parametrize("way", WAYS)
def test_what_others_have_takes_no_longer_to_refuse_than_what_nobody_has(
    guarded: Guarded, large: str, way: str
) -> None:
    with guarded.client("bob-curates") as bob:
        bob.headers["accept"] = "application/json, text/event-stream"
        slower = _slower(bob, WAYS[way], large)
    # By chance 150 of 300; reading the document before refusing it makes them 300, and a coin falls so in 1 of 10^9.
    assert 97 <= slower <= 203, slower


def test_who_has_no_key_learns_only_whether_it_is_ready(guarded: Guarded) -> None:
    with guarded.server.client() as stranger, guarded.client("ann") as ann:
        assert stranger.get("/readyz").json() == {"ready": True}
        assert "remarks" in ann.get("/readyz").json()
