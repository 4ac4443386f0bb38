"""Documents and feedback over HTTP, beside what else is read and written in the project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving_process import Running, served

from lazily import Lazily
from twofold.examples import feedback_logs
from twofold.project import Project

openai = Lazily("openai")
SAUNA = {"id": "sauna", "title": "On the sauna", "text": "The sauna is heated to 85 degrees."}
QUESTION = "How many degrees is the sauna heated to?"


@pytest.fixture
def running(project_copy: Path) -> Iterator[Running]:
    with served(project_copy) as server:
        yield server


def answered(client: httpx.Client, question: str = QUESTION) -> str:
    body = {"model": "rag", "messages": [{"role": "user", "content": question}]}
    return str(client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]["message"])


def test_a_document_is_answerable_in_the_next_request(running: Running, project_copy: Path) -> None:
    with running.client() as client:
        assert "85" not in answered(client)
        added = client.post("/v1/documents", json=SAUNA)
        assert added.status_code == 201, added.text
        assert "85 degrees. [1]" in answered(client)
        (model,) = client.get("/v1/models").json()["data"]
        assert model["later_index"] is True
        assert "later index" in client.get("/readyz").json()["remarks"][0]

        again = client.post("/v1/documents", json=SAUNA)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "serving.conflict")
        hotter = {**SAUNA, "text": "The sauna is heated to 95 degrees."}
        stale = client.put("/v1/documents", json={**hotter, "version": "000000000000"})
        assert stale.status_code == 409
        changed = client.put("/v1/documents", json={**hotter, "version": added.json()["version"]})
        assert changed.json()["version"] != added.json()["version"]
        assert "95 degrees" in answered(client)

        (row,) = client.get("/v1/documents").json()["data"]
        assert (row["id"], row["document"]) == ("sauna", "pushed:sauna")
        assert client.get("/v1/documents/sauna").json()["text"] == hotter["text"]
        with Project.open(project_copy) as project:  # any other command sees it as well
            assert "95" in project.ask(QUESTION)[0].text
        assert client.delete("/v1/documents/sauna").json()["deleted"] is True
        assert client.get("/v1/documents/sauna").status_code == 404
        assert client.delete("/v1/documents/sauna").status_code == 404
        assert "95" not in answered(client)


def test_reading_never_waits_for_a_writer(running: Running, project_copy: Path) -> None:
    with Project.open(project_copy) as project, project.writing(), running.client() as client:
        assert "4 euros" in answered(client, "What does parking cost?")
        refused = client.post("/v1/documents", json=SAUNA)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "store.locked")
    assert int(refused.headers["retry-after"]) >= 1
    assert not list((project_copy / "serving" / "documents").glob("*.json")), "a refused document leaves nothing"


def test_feedback_survives_a_kill_and_becomes_examples(running: Running, project_copy: Path) -> None:
    good = {
        "messages": [{"role": "user", "content": "When does the sauna open?"}],
        "answer": "I do not know.",
        "correction": "At noon.",
        "hits": [{"document": "canteen", "start": 0, "end": 27, "quote": "The canteen opens at seven."}],
    }
    with running.client() as client:
        assert client.post("/v1/feedback", json=good).json()["object"] == "feedback"
        empty = client.post("/v1/feedback", json={**good, "correction": ""})
        assert empty.status_code == 400
        running.process.kill()
    log = project_copy / "serving" / "feedback.jsonl"
    with log.open("ab") as file:
        file.write(b'{"half')  # of a writer that was killed
    with served(project_copy) as server, server.client() as client:
        assert client.post("/v1/feedback", json={**good, "rating": "down"}).status_code == 200
    mined = feedback_logs.mine(["serving/feedback.jsonl"], project_copy)
    (example,) = mined.examples
    assert (example.question, example.references, example.origin) == ("When does the sauna open?", ("At noon.",), "log")
    assert mined.counts["discarded"] == {"malformed": 1} or len(mined.discarded) >= 1


def test_passages_are_those_of_the_answer(running: Running, project_copy: Path) -> None:
    with running.client() as client:
        rows = client.post("/v1/retrieve", json={"query": "What does parking cost?", "k": 1}).json()["data"]
    with Project.open(project_copy) as project:
        hit = project.ask("What does parking cost?")[0].hits[0]
    (row,) = rows
    assert (row["document"], row["text"], row["start"], row["score"]) == (
        "parking",
        hit.chunk.text,
        hit.chunk.span.start,
        hit.score,
    )


def test_vectors_are_those_of_the_project(running: Running, project_copy: Path) -> None:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        packed = client.embeddings.create(model="hashing", input=["parking", "canteen"])
        plain = client.embeddings.create(model="hashing", input="parking", encoding_format="float")
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="ada", input="parking")
    with Project.open(project_copy) as project:
        expected = project.workspace.search.embedder.embed(["parking"])[0].tolist()
    assert packed.data[0].embedding == pytest.approx(expected)
    assert plain.data[0].embedding == pytest.approx(expected)
    assert packed.usage.prompt_tokens == 2


def test_it_drains_on_sigterm(project_copy: Path) -> None:
    slow = ("--set", "generation.generator.options.word_seconds=0.2", "--unmeasured")
    with served(project_copy, *slow) as server:
        body = {"model": "rag", "stream": True, "messages": [{"role": "user", "content": "What does parking cost?"}]}
        with server.client() as client, server.client() as other:
            other.get("/healthz")  # a connection that is kept
            with client.stream("POST", "/v1/chat/completions", json=body) as stream:
                lines = stream.iter_lines()
                next(lines)
                server.process.terminate()
                while (refused := other.post("/v1/feedback", json={})).status_code == 400:
                    pass  # the signal has not arrived yet
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "serving.closing")
                text = "".join(
                    choice["delta"].get("content", "")
                    for line in lines
                    if line.startswith("data: {")
                    for choice in json.loads(line[6:])["choices"]
                )
        assert text == "Parking costs 4 euros a day. [1]"
        assert server.process.wait(60) == 0
