"""A server follows the project: a new study is served without dropping a request, a caller who leaves frees a place."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
from serving_process import served

from twofold.project import Project

BODY = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
CHAT = "/v1/chat/completions"


def pieces(lines) -> list[str]:
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return [choice["delta"].get("content", "") for event in events for choice in event["choices"]]


def running(client: httpx.Client) -> float:
    line = next(one for one in client.get("/metrics").text.splitlines() if one.startswith("twofold_requests_running"))
    return float(line.split()[1])


def test_a_new_study_is_served_and_a_stream_under_way_ends(project_copy: Path) -> None:
    slow = ("--unmeasured", "--set", "generation.generator.options.word_seconds=0.3")
    with served(project_copy, *slow) as server, server.client() as client, server.client() as other:
        assert client.get("/v1/models").json()["data"][0]["study"].startswith("0001")
        with client.stream("POST", CHAT, json={**BODY, "stream": True}) as stream:
            lines = stream.iter_lines()
            next(lines)
            # Another list of reported metrics is no further look at the test questions: the verdict stays.
            with Project.open(project_copy, {"study": {"metrics": ["contains"]}}) as project:
                second = project.study()
            assert second["verdict"]["arm"] == "rag"
            text = "".join(pieces(lines))
        assert text == "Parking costs 4 euros a day. [1]"
        end = time.monotonic() + 60
        while not other.get("/v1/models").json()["data"][0]["study"].startswith("0002"):
            assert time.monotonic() < end, "the new study is not served"
            time.sleep(0.2)
        assert other.post(CHAT, json=BODY).json()["choices"][0]["message"]["content"] == text


def test_a_caller_who_leaves_frees_their_place(project_copy: Path) -> None:
    slow = ("--set", "generation.generator.options.word_seconds=2", "--set", "serving.queue=1", "--unmeasured")
    with served(project_copy, *slow) as server, server.client() as other:
        for stream in (True, False):
            with server.client() as client:
                client.timeout = 60 if stream else 1.0
                try:
                    with client.stream("POST", CHAT, json={**BODY, "stream": stream}) as reply:
                        lines = reply.iter_lines()
                        next(lines)  # dropping the iterator would end the stream
                        full = other.post(CHAT, json=BODY)
                        assert (full.status_code, full.json().get("error", {}).get("code")) == (429, "serving.busy"), (
                            stream,
                            reply.status_code,
                        )
                        assert int(full.headers["retry-after"]) >= 1
                        assert full.json()["error"]["type"] == "rate_limit_error"
                except httpx.ReadTimeout:
                    assert not stream, "only a whole answer is late"
            end = time.monotonic() + 30
            while running(other) > 1:  # the request for the numbers is one itself
                assert time.monotonic() < end, "the place is still taken"
                time.sleep(0.05)


def test_a_late_answer_is_a_504(project_copy: Path) -> None:
    slow = ("--set", "generation.generator.options.word_seconds=2", "--set", "serving.seconds=0.5", "--unmeasured")
    with served(project_copy, *slow) as server, server.client() as client:
        late = client.post(CHAT, json=BODY)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "serving.deadline")
        stream = client.post(CHAT, json={**BODY, "stream": True})
        assert (stream.status_code, "serving.deadline" in stream.text) in {(504, True), (200, True)}


def test_after_a_kill_it_is_ready_again_with_all_that_it_acknowledged(project_copy: Path) -> None:
    document = {"id": "sauna", "text": "The sauna is heated to 85 degrees."}
    with served(project_copy) as server, server.client() as client:
        client.post("/v1/documents", json=document).raise_for_status()
        server.process.kill()
    with served(project_copy) as server, server.client() as client:
        assert client.get("/v1/documents/sauna").json()["text"] == document["text"]
        (row,) = client.post("/v1/retrieve", json={"query": "sauna degrees", "k": 1}).json()["data"]
        assert row["document"] == "pushed:sauna"
