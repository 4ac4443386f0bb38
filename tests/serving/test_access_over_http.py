"""Access control over HTTP: nobody sees another's documents, nor learns that they exist."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_process import Running, served

from small_project import write_project
from twofold.project import Project
from twofold.serving.keys import KEYS, Keys

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
        assert ann.post("/v1/documents", json={**note, "readers": None}).status_code == 400
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
        assert "85" in ann.post(CHAT, json=question).text
        assert "85" not in bob.post(CHAT, json=question).text
        shared = ann.post("/v1/documents", json={**note, "readers": ["group:staff"]}).json()
        assert bob.get(f"/v1/documents/{shared['id']}").status_code == 200
        for client, name in ((ann, row["id"]), (bob, mine.json()["id"]), (ann, shared["id"])):
            client.delete(f"/v1/documents/{name}").raise_for_status()


@pytest.mark.parametrize("count", [150, pytest.param(1500, marks=pytest.mark.slow)])
def test_nothing_leaks_whatever_is_asked(guarded: Guarded, count: int) -> None:
    """Random requests of each to each address: no reply to one holds the other's word, title or document."""
    chance = random.Random(13)
    words = [
        "code",
        "word",
        "plan",
        "zebrafish",
        "marmalade",
        "ann-plan",
        "bob-plan",
        "Plan",
        "what",
        "is",
        "of",
        "[1]",
    ]

    def question() -> str:
        return " ".join(chance.choices(words, k=chance.randint(1, 6)))

    def request(client: httpx.Client) -> httpx.Response:
        where = chance.choice([[], ["title contains Plan"], ["owner missing"], ["id in ann-plan, bob-plan"]])
        kind = chance.choice(["chat", "stream", "retrieve", "complete", "respond", "document", "documents", "model"])
        if kind == "retrieve":
            return client.post("/v1/retrieve", json={"query": question(), "k": 9, "where": where})
        if kind == "complete":
            return client.post("/v1/completions", json={"model": "rag", "prompt": question(), "where": where})
        if kind == "respond":
            return client.post("/v1/responses", json={"model": "rag", "input": question()})
        if kind == "document":
            return client.get(f"/v1/documents/{chance.choice(words)}")
        if kind == "documents":
            return client.get("/v1/documents", params={"after": chance.choice(words)})
        if kind == "model":
            return client.get(f"/v1/models/{chance.choice(words)}")
        turns = [{"role": chance.choice(["user", "assistant"]), "content": question()} for _ in range(2)]
        messages = [*turns, {"role": "user", "content": question()}]
        return client.post(CHAT, json=body(messages=messages, stream=kind == "stream", where=where))

    asked = 0
    for name, other in (("ann-curates", "bob"), ("bob-curates", "ann")):
        with guarded.client(name) as client:
            for _ in range(count):
                reply = request(client)
                sent = (reply.request.content.decode() + str(reply.request.url)).casefold()
                assert reply.status_code in (200, 400, 404), reply.text
                text = reply.text.casefold()
                for secret in (SECRETS[other], f"{other}-plan"):
                    # A word that the caller wrote may come back in an answer; what they did not write must not.
                    if secret not in sent:
                        assert secret not in text, (sent, text)
                for row in _documents(reply):
                    assert not row.startswith(other), (sent, row)
                asked += 1
    assert asked == 2 * count


def _documents(reply: httpx.Response) -> Iterator[str]:
    """Ids of documents anywhere in a reply."""
    if reply.headers["content-type"].startswith("application/json"):
        yield from _named(reply.json())
    else:
        for line in reply.text.splitlines():
            if line.startswith("data: {"):
                yield from _named(json.loads(line[6:]))


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("document"), str):
            yield value["document"]
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
