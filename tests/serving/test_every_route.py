"""Random requests of each caller to every route that the server has: nobody is shown what others alone may read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute  # noqa: TID253
from serving_process import Running, served

from small_project import write_project
from twofold.project import Project
from twofold.serving import app
from twofold.serving.keys import KEYS, Keys

SECRETS = {"ann": "zebrafish", "bob": "marmalade"}
"""A word that only the user's own documents and examples have."""
WORDS = [
    "code", "word", "plan", "Plan", "what", "is", "of", "[1]", "rag", "base", "default", "pushed", "title", "1", "0",
    "ann-plan", "bob-plan", "ann-plan-0", "bob-plan-0", "pushed:user:ann/note", "pushed:user:bob/note", "user:bob/note",
    "0001-project", "data/examples.jsonl", "../keys.json", "serving/keys.json", "..%2f..%2fkeys.json", "site.css", "",
    "zebrafish", "marmalade", "champion", "everyone", "user:bob", "user:ann", "pair", "mark", "test", "train",
]  # fmt: skip
STUDY = """
[access]
enabled = true
study_user = "ann"
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""
DOCUMENTS = ["ann-plan", "bob-plan", "pushed:user:ann/note", "pushed:user:bob/note", "user:bob/note", "user:ann/note"]
Made = dict[str, Any]


def question(chance: random.Random) -> str:
    return " ".join(word for word in chance.choices(WORDS, k=chance.randint(1, 6)))


def where(chance: random.Random) -> list[str]:
    return chance.choice([[], ["title contains Plan"], ["owner missing"], ["id in ann-plan, bob-plan"], ["x = 1"]])


def chat(chance: random.Random) -> Made:
    turns = [{"role": chance.choice(["user", "assistant"]), "content": question(chance)} for _ in range(2)]
    messages = [*turns, {"role": "user", "content": question(chance)}]
    return {"json": {"model": "rag", "messages": messages, "stream": chance.random() < 0.5, "where": where(chance)}}


def document(chance: random.Random) -> Made:
    # Its text has nobody's secret: who writes one for a group shows it to the group.
    owner = chance.choice(["user:ann", "user:bob", "group:staff", "everyone"])
    body = {"id": chance.choice(["note", "other"]), "text": "The sauna is warm.", "readers": [owner]}
    return {"json": {**body, "version": chance.choice(["", "000000000000"])}}


def tool(chance: random.Random) -> Made:
    name = chance.choice(["search", "fetch", "ask", "sources"])
    arguments = {"search": {"query": question(chance)}, "fetch": {"document": chance.choice(WORDS)}}
    arguments["ask"] = {"question": question(chance), "where": where(chance)}
    call = {"name": name, "arguments": arguments.get(name, {})}
    method, params = chance.choice([("tools/call", call), ("tools/list", {})])
    accept = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
    return {"json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, "headers": accept}


def form(*names: str) -> Callable[[random.Random], Made]:
    """A form with these fields, of words without secrets: what is stored may be shown to whom it is for."""
    plain = [word for word in WORDS if word not in SECRETS.values()]
    return lambda chance: {"data": {name: chance.choice(plain) for name in names}}


def feedback(chance: random.Random) -> Made:
    hits = [{"document": chance.choice(["ann-plan", "bob-plan"]), "start": 0, "end": 9}]
    messages = [{"role": "user", "content": question(chance)}]
    return {"json": {"messages": messages, "answer": "a", "rating": "up", "hits": hits}}


BODIES: dict[str, Callable[[random.Random], Made]] = {
    "POST /v1/chat/completions": chat,
    "POST /v1/completions": lambda chance: {
        "json": {"model": "rag", "prompt": question(chance), "where": where(chance)},
    },
    "POST /v1/responses": lambda chance: {"json": {"model": "rag", "input": question(chance)}},
    "POST /v1/embeddings": lambda chance: {"json": {"model": "hashing", "input": question(chance)}},
    "POST /v1/retrieve": lambda chance: {"json": {"query": question(chance), "k": 9, "where": where(chance)}},
    "POST /v1/feedback": feedback,
    "POST /v1/documents": document,
    "PUT /v1/documents": document,
    "DELETE /v1/documents/{name:path}": lambda _: {},
    "POST /login": form("key", "next"),
    "POST /logout": lambda _: {},
    "POST /mcp": tool,
    "POST /local/ask": lambda chance: {"json": {"text": question(chance), "user": "bob", "groups": []}},
    "POST /ask/preference": lambda chance: {
        "json": {
            "question": question(chance),
            "answers": [{"arm": "rag", "text": "a"}, {"arm": "base", "text": "b"}],
            "choice": "first",
        }
    },
    "POST /examples/edit": form("file", "line", "mark", "question", "answer", "sources", "split", "feedback"),
    "POST /examples/remove": form("file", "line", "mark"),
    "POST /examples/label": form("kind", "study", "item", "choice", "by", "reason", "note"),
    "POST /examples/label/undo": form("label", "by"),
    "POST /models/promote": form("model", "alias", "why"),
    "POST /models/rollback": form("alias", "why"),
    "POST /watch/dismiss": form("number", "why"),
}
"""What changes something, or has a body → random values for it."""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    server: Running
    directory: Path
    clients: dict[str, httpx.Client]
    """By user and how they show who they are."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Iterator[Guarded]:
    documents = [
        {
            "id": f"{user}-plan",
            "title": f"Plan {word}",
            "text": f"The code word of the plan is {word}.",
            "readers": [f"user:{user}"],
            "owner": word,
        }
        for user, word in SECRETS.items()
    ]
    asked = [(f"{user}-plan", f"What is the code word of {user}?", word) for user, word in SECRETS.items()]
    directory = write_project(tmp_path_factory.mktemp("routes") / "p", documents, asked, copies=15, settings=STUDY)
    with Project.open(directory) as project:
        project.study()
    keys = Keys(directory / KEYS)
    with served(directory, "--arm", "rag", "--unmeasured") as server:
        clients: dict[str, httpx.Client] = {"nobody": server.client(), "stranger": server.client("tf-00000000-x")}
        for user in SECRETS:
            for scope in ("ask", "curate"):
                _, token = keys.add(user, user=user, groups=["staff"], scope=scope)
                clients[f"{user} {scope}"] = server.client(token)
            clients[f"{user} cookie"] = server.client()
            origin = {"origin": server.url}
            clients[f"{user} cookie"].post("/login", data={"key": token}, headers=origin)
            clients[f"{user} cookie"].headers.update(origin)
        yield Guarded(server=server, directory=directory, clients=clients)
        for client in clients.values():
            client.close()


def routes(directory: Path) -> list[APIRoute]:
    """Every route of the application."""
    found: list[APIRoute] = []

    def gather(many: Any) -> None:
        for one in many:
            if isinstance(one, APIRoute):
                found.append(one)
            elif "original_router" in vars(one):
                gather(one.original_router.routes)

    with Project.open(directory) as project:
        stub: Any = SimpleNamespace(
            project=project,
            later=lambda: 0.0,
            arms=None,
            identities=None,
            state=dict,
            witnesses=[],
            numbers=[],
            auditor=None,
        )
        guard = app.built(stub, local=True)
        gather(guard._app.routes)  # type: ignore[attr-defined]
    return found


def names_of(route: APIRoute) -> list[str]:
    return sorted(f"{method} {route.path}" for method in route.methods)


def test_every_route_that_takes_something_in_has_a_case(guarded: Guarded) -> None:
    every = [name for route in routes(guarded.directory) for name in names_of(route)]
    assert len(every) >= 18
    lacking = [name for name in every if not name.startswith(("GET ", "HEAD ")) and name not in BODIES]
    assert not lacking, f"write a case for {lacking} into BODIES"


@pytest.mark.parametrize("count", [400, pytest.param(4000, marks=pytest.mark.slow)])
def test_nothing_of_others_is_shown_whatever_is_asked(guarded: Guarded, count: int) -> None:
    chance = random.Random(13)
    every = [(route, name) for route in routes(guarded.directory) for name in names_of(route)]
    # Each route first with each caller, then at random.
    pairs = [(caller, case) for case in every for caller in guarded.clients]
    chance.shuffle(pairs)
    pairs += [(chance.choice(sorted(guarded.clients)), chance.choice(every)) for _ in range(max(0, count - len(pairs)))]
    statuses: dict[int, int] = {}
    for caller, (route, name) in pairs[:count]:
        reply = requested(guarded.clients[caller], route, name, chance)
        statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
        checked(caller, name, reply)
    assert sum(statuses.values()) == count
    assert {200, 401, 403, 404} <= set(statuses), statuses


def requested(client: httpx.Client, route: APIRoute, name: str, chance: random.Random) -> httpx.Response:
    method = name.partition(" ")[0]
    path = route.path
    for field in route.dependant.path_params:
        path = path.replace(f"{{{field.alias}}}", "{}").replace(f"{{{field.alias}:path}}", "{}")
        path = path.format(chance.choice(WORDS) or "x")
    params = {field.alias: value_of(field, chance) for field in route.dependant.query_params if chance.random() < 0.7}
    made = BODIES[name](chance) if name in BODIES else {}
    if route.path == "/logout":  # who is logged out asks nothing any more
        made["headers"] = {"cookie": "twofold=none"}
    html = {"accept": "text/html"} if chance.random() < 0.5 else {}
    headers = {**html, **made.pop("headers", {})}
    if chance.random() < 0.2:
        headers["hx-request"] = "true"
    return client.request(method, path, params=params, headers=headers, **made)


def value_of(field: Any, chance: random.Random) -> str:
    """A value that the parameter takes, mostly: what is refused at the door tells nothing of what is behind."""
    if chance.random() < 0.1:
        return chance.choice(WORDS)
    if "int" in str(field.field_info.annotation):
        return str(chance.randint(0, 40))
    return chance.choice(DOCUMENTS if field.alias in ("id", "document", "name") else WORDS)


def checked(caller: str, name: str, reply: httpx.Response) -> None:
    user = caller.partition(" ")[0]
    sent = (reply.request.content.decode("utf-8", "replace") + str(reply.request.url)).casefold()
    assert reply.status_code < 500, (caller, name, sent, reply.text[:500])
    text = (reply.text + str(reply.headers)).casefold()
    for owner, secret in SECRETS.items():
        # A word that the caller wrote may come back; what they did not write must not.
        if owner != user and secret not in sent:
            assert secret not in text, (caller, name, sent, text[:3000])
        if owner != user and f"{owner}-plan" not in sent:
            assert f"{owner}-plan" not in text, (caller, name, sent, text[:3000])
    if user not in SECRETS and not name.startswith(("GET /login", "GET /static", "POST /log", "GET /v1", "GET /")):
        assert reply.status_code in (303, 400, 401, 403, 404), (caller, name, reply.text[:500])
