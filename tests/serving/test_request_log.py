"""A line for each request leads from an answer to its system, prompt and passages, and holds no text of them."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

from serving_process import served

from twofold.answering.system import question
from twofold.hashing import digest
from twofold.project import Project

BODY = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
CHAT = "/v1/chat/completions"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_from_an_answer_to_its_passages_prompt_and_version(measured: Path) -> None:
    with served(measured, "--log", "json") as server:
        with server.client() as client:
            reply = client.post(CHAT, json=BODY)
            several = client.post(CHAT, json={**BODY, "n": 2, "stream": True})
            client.get("/v1/nothing")
            client.get("/healthz")
            rows = client.post("/v1/retrieve", json={"query": "parking"}).json()["data"]
        assert server.end(signal.SIGTERM) == 0
        records = lines(server.process.stderr.read())
    by_request = {record["request"]: record for record in records}
    assert len(by_request) == len(records) == 4  # not of /healthz, which machines ask every few seconds
    record = by_request[reply.headers["x-request-id"]]
    assert (record["event"], record["method"], record["route"], record["status"]) == ("request", "POST", CHAT, 200)
    assert record["at"].endswith("Z")
    assert record["seconds"] > 0
    (answer,) = record["answers"]
    assert answer["arm"] == "rag"
    assert answer["system"] == reply.json()["twofold"]["key"]
    assert answer["hits"][0]["document"] == "parking"
    assert answer["cited"] == [1]
    assert {hit["document"] for hit in answer["hits"]} <= {row["document"] for row in rows}
    with Project.open(measured) as project:
        state = project.workspace.search.index.state()
        assert (answer["index_version"], answer["index_content"]) == (state.version, state.content)
        with closing(project.open_system(arm="rag")) as system:
            assert answer["template"] == system.template.digest
    assert {one["number"] for one in by_request[several.headers["x-request-id"]]["answers"]} == {0, 1}
    assert {one["prompt"] for one in by_request[several.headers["x-request-id"]]["answers"]} == {answer["prompt"]}
    assert [record["route"] for record in records if record["status"] == 404] == ["other"]
    assert "euros" not in json.dumps(records)
    assert "parking cost" not in json.dumps(records)


def test_a_prompt_is_found_again_by_its_digest(measured: Path) -> None:
    with served(measured, "--set", 'serving.log="json"') as server:
        with server.client() as client:
            client.post(CHAT, json=BODY).raise_for_status()
        server.end()
        (record,) = lines(server.process.stderr.read())
    with Project.open(measured) as project, closing(project.open_system(arm="rag")) as system:
        (prepared,) = system.prepare([question("What does parking cost?")])
    assert prepared.prompt is not None
    assert record["answers"][0]["prompt"] == digest("prompt", prepared.prompt.messages)


def test_without_the_option_nothing_is_written(measured: Path) -> None:
    with served(measured) as server:
        with server.client() as client:
            client.post(CHAT, json=BODY).raise_for_status()
        server.end()
        assert lines(server.process.stderr.read().partition("pages for people")[0]) == []
