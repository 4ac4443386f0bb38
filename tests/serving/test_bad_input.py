"""What callers and machines do wrong, each with its status, its code, and a cure in the message."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_process import Running, served

from twofold.project import Project
from twofold.serving.keys import KEYS, Keys
from twofold.serving.limits import USE, UseLedger

CHAT, DOCUMENTS = "/v1/chat/completions", "/v1/documents"
SAUNA = {"id": "sauna", "text": "The sauna is heated to 85 degrees."}


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}], **more}


def schema(value: Any) -> dict[str, Any]:
    return asked(response_format={"type": "json_schema", "json_schema": {"schema": value}})


@pytest.fixture(scope="module")
def running(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    import shutil

    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("bad") / "p"))
    with served(directory) as server:
        with server.client() as client:
            client.post(DOCUMENTS, json=SAUNA).raise_for_status()
        yield server


LONG = [
    {"role": "user", "content": "a " * 50_000},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And parking?"},
]
CASES: list[tuple[str, str, Any, int, str, str | None, str]] = [
    (CHAT, "POST", asked(model="gpt-4o"), 404, "serving.missing", None, "rag"),
    ("/v1/embeddings", "POST", {"model": "ada", "input": "a"}, 404, "serving.missing", None, "hashing"),
    ("/v1/models/gpt-4o", "GET", None, 404, "serving.missing", None, "rag"),
    (CHAT, "POST", schema({"type": "banana"}), 400, "serving.request", "response_format", "Correct the schema"),
    (CHAT, "POST", schema({"$ref": "http://a.example/s"}), 400, "serving.request", "response_format", "$defs"),
    (CHAT, "POST", schema({"$ref": "file:///etc/passwd"}), 400, "serving.request", "response_format", "$defs"),
    (CHAT, "POST", schema({"$schema": 7}), 400, "serving.request", "response_format", "$schema"),
    (CHAT, "POST", schema({"$schema": [7]}), 400, "serving.request", "response_format", "$schema"),
    (CHAT, "POST", schema({"anyOf": [{}], "$ref": "#/anyOf/x"}), 400, "serving.request", "response_format", "$defs"),
    (CHAT, "POST", schema({"$ref": "#" + "/$defs" * 900}), 400, "serving.request", "response_format", "$defs"),
    (CHAT, "POST", schema({"pattern": "("}), 400, "serving.request", "response_format", "pattern"),
    (CHAT, "POST", schema({"pattern": "a{9999999999}"}), 400, "serving.request", "response_format", "smaller counts"),
    (CHAT, "POST", schema({"type": "string", "maxLength": 3}), 400, "serving.request", "response_format", "seed"),
    (
        "/v1/responses",
        "POST",
        {
            "model": "rag",
            "input": "What does parking cost?",
            "text": {"format": {"type": "json_schema", "schema": {"type": "string", "maxLength": 3}}},
        },
        400,
        "serving.request",
        "text.format",
        "seed",
    ),
    (CHAT, "POST", asked(top_p=0.5), 400, "serving.request", "top_p", "unsupported"),
    (CHAT, "POST", asked(logit_bias={"5": 1}), 400, "serving.request", "logit_bias", "unsupported"),
    (CHAT, "POST", asked(max_tokens=0), 400, "serving.request", "max_tokens", "Send 1 or more"),
    ("/v1/completions", "POST", {"model": "rag", "prompt": ["a"] * 16, "n": 8}, 400, "serving.request", "n", "fewer"),
    (CHAT, "POST", {"model": "rag"}, 400, "serving.request", "messages", "required"),
    ("/v1/retrieve", "POST", {"model": "rag"}, 400, "serving.request", "query", "required"),
    ("/v1/retrieve", "POST", {"query": "a", "k": 1.5}, 400, "serving.request", "k", "whole number"),
    (CHAT, "POST", asked(where=["price <"]), 400, "config.filter", None, "."),
    (f"{DOCUMENTS}/nothing", "GET", None, 404, "serving.missing", None, "GET /v1/documents"),
    (f"{DOCUMENTS}/nothing", "DELETE", None, 404, "serving.missing", None, "GET /v1/documents"),
    (DOCUMENTS, "POST", SAUNA, 409, "serving.conflict", None, "PUT"),
    (DOCUMENTS, "PUT", {**SAUNA, "version": "0" * 12}, 409, "serving.conflict", None, "GET"),
    (DOCUMENTS, "POST", {**SAUNA, "id": "../etc/passwd"}, 400, "serving.request", "id", "letters, digits"),
    (DOCUMENTS, "POST", {**SAUNA, "id": "group:staff/sauna"}, 400, "serving.request", "id", "letters, digits"),
    (DOCUMENTS, "POST", {**SAUNA, "id": "sauna\n"}, 400, "serving.request", "id", "letters, digits"),
    (DOCUMENTS, "POST", {**SAUNA, "id": "x", "metadata": {"text": "a"}}, 400, "serving.request", "metadata", "field"),
    ("/v1/feedback", "POST", {"messages": asked()["messages"], "answer": "a"}, 400, "serving.request", None, "rating"),
    ("/v1/retrieve", "POST", {"query": "1" * 100_001}, 400, "serving.too-long", None, "Shorten the question"),
    (CHAT, "POST", asked(messages=LONG), 400, "serving.too-long", None, "POST /v1/documents"),
    ("/v1/nothing", "GET", None, 404, "http.not-found", None, "/openapi.json"),
    (CHAT, "GET", None, 405, "http.method-not-allowed", None, "/openapi.json"),
]


@pytest.mark.parametrize(("path", "method", "body", "status", "code", "param", "cure"), CASES)
def test_each_is_refused_in_one_shape_with_a_cure(
    *, running: Running, path: str, method: str, body: Any, status: int, code: str, param: str | None, cure: str
) -> None:
    with running.client() as client:
        reply = client.request(method, path, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param), reply.text
    assert set(error) == {"message", "type", "code", "param"}
    assert cure in error["message"]
    assert error["message"].endswith(".")


def test_a_locked_index_is_a_409_that_says_when_to_try_again(project_copy: Path) -> None:
    with served(project_copy) as server, server.client() as client:
        with Project.open(project_copy) as project, project.writing():
            refused = client.post(DOCUMENTS, json=SAUNA)
            assert client.post(CHAT, json=asked()).status_code == 200
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "store.locked")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.post(DOCUMENTS, json=SAUNA).status_code == 201


def test_on_a_full_disk_serving_goes_on_and_readyz_says_it(project_copy: Path) -> None:
    """No file of the server may grow, as on a full disk: nothing that is acknowledged is lost, and answers go on."""
    key, token = Keys(project_copy / KEYS).add("first", scope="curate")
    said = {"messages": asked()["messages"], "answer": "a", "rating": "up"}
    with served(project_copy) as server, server.client(token) as client:
        client.post("/v1/feedback", json=said).raise_for_status()
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        for path, body in (("/v1/feedback", said), (DOCUMENTS, SAUNA)):
            refused = client.post(path, json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store.full"), refused.text
            assert "disk" in refused.json()["error"]["message"]
        assert "4 euros" in client.post(CHAT, json=asked()).raise_for_status().text
        assert client.get(f"{DOCUMENTS}/sauna").status_code == 404
        state = client.get("/readyz")
        assert (state.status_code, state.json()["ready"]) == (200, True)
        remarks = " ".join(state.json()["remarks"])
        assert "feedback cannot be written" in remarks
        assert "counted in memory" in remarks
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        client.post("/v1/feedback", json=said).raise_for_status()
        assert client.post(DOCUMENTS, json=SAUNA).status_code == 201
        assert "cannot be" not in str(client.get("/readyz").json()["remarks"])
    lines = (project_copy / "serving" / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert UseLedger(project_copy / USE).used()[f"key:{key.id}"]["requests"].total == 9
