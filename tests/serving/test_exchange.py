"""A server follows the project: a new study is served without dropping a request, a caller who leaves frees a place."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from serving_process import Running, served

from forked import Nursery
from twofold.project import Project
from twofold.reports import decisive
from twofold.serving.keys import KEYS, Keys
from twofold.serving.service import FEEDBACK

BODY = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
CHAT = "/v1/chat/completions"


def pieces(lines) -> list[str]:
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return [choice["delta"].get("content", "") for event in events for choice in event["choices"]]


def add_study(directory: Path, *, arm: str, number: int = 2) -> None:
    """A further study that chose this arm: the first one's record with another verdict."""
    first = next((directory / "studies").glob("0001*"))
    further = first.with_name(first.name.replace("0001", f"{number:04d}"))
    draft = directory / "draft"
    shutil.copytree(first, draft)
    record = json.loads((draft / "study.json").read_text())
    record["verdict"]["arm"] = arm
    (draft / "study.json").write_text(json.dumps(record))
    draft.rename(further)


def rollback(nursery: Nursery, directory: Path, *words: str) -> dict[str, Any]:
    command = nursery.command("rollback", "-C", str(directory), "--json", *words)
    written, errors = command.communicate()
    assert command.wait() == 0, errors
    return json.loads(written)


def chosen(client: httpx.Client) -> tuple[str, str, str]:
    """Arm and study of the default model, and why it answers."""
    model = client.get("/v1/models/default").json()
    return model["arm"], model["study"][:4], model["why"]


def waited(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def steady(server: Running, model: str) -> Iterator[list[int]]:
    """Ask a model again and again; the statuses of all answers.

    Two askers of some thirty answers a second: one that never rests takes both processors from what is tested.
    """
    statuses: list[int] = []
    stop = threading.Event()

    def ask(stream: bool) -> None:
        with server.client() as client:
            while not stop.is_set():
                reply = client.post(CHAT, json={**BODY, "model": model, "stream": stream})
                statuses.append(0 if '"error"' in reply.text else reply.status_code)
                stop.wait(0.02)

    askers = [threading.Thread(target=ask, args=(stream,)) for stream in (True, False)]
    for asker in askers:
        asker.start()
    try:
        yield statuses
    finally:
        stop.set()
        for asker in askers:
            asker.join()


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
        assert server.end() == 0
        assert "Traceback" not in server.process.stderr.read(), "who leaves is no fault of the server"


def test_a_late_answer_is_a_504(project_copy: Path) -> None:
    slow = ("--set", "generation.generator.options.word_seconds=2", "--set", "serving.seconds=0.5", "--unmeasured")
    with served(project_copy, *slow) as server, server.client() as client:
        late = client.post(CHAT, json=BODY)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "serving.deadline")
        stream = client.post(CHAT, json={**BODY, "stream": True})
        assert (stream.status_code, "serving.deadline" in stream.text) in {(504, True), (200, True)}


def test_after_a_kill_it_is_ready_again_with_all_that_it_acknowledged(project_copy: Path) -> None:
    document = {"id": "sauna", "text": "The sauna is heated to 85 degrees."}
    feedback = {"messages": BODY["messages"], "answer": "Nothing.", "rating": "down"}
    _, secret = Keys(project_copy / KEYS).add("clinic", scope="admin")
    with served(project_copy) as server, server.client(secret) as client:
        client.post("/v1/documents", json=document).raise_for_status()
        name = client.post("/v1/feedback", json=feedback).raise_for_status().json()["id"]
        server.process.kill()
    begun = time.monotonic()
    with served(project_copy) as server, server.client(secret) as client:
        # Ten seconds are promised of an idle machine; the tests share theirs (bench/serving_http.py measures it).
        assert time.monotonic() - begun < 60
        assert client.get("/v1/documents/sauna").json()["text"] == document["text"]
        (row,) = client.post("/v1/retrieve", json={"query": "sauna degrees", "k": 1}).json()["data"]
        assert row["document"] == "pushed:sauna"
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
    (line,) = (project_copy / FEEDBACK).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["id"] == name


def test_the_verdict_before_answers_after_one_command_and_the_newest_after_another(
    project_copy: Path, nursery: Nursery
) -> None:
    add_study(project_copy, arm="base")
    with (
        served(project_copy, "--unmeasured") as server,
        server.client() as client,
        steady(server, "default") as statuses,
    ):
        assert chosen(client)[:2] == ("base", "0002")
        said = rollback(nursery, project_copy, "--why", "it guesses")
        assert said == {"study": f"0001{said['study'][4:]}", "arm": "rag", "rolled_back": True}
        waited(lambda: chosen(client)[:2] == ("rag", "0001"))
        assert chosen(client)[2] == "it is the verdict of study 1, after a rollback from study 2"
        with Project.open(project_copy) as project:
            assert project.ask("What does parking cost?")[1]["arm"] == "rag"
        rollback(nursery, project_copy, "--undo")
        waited(lambda: chosen(client)[:2] == ("base", "0002"))
        decisive.roll_back(project_copy / "studies", who="me")
        waited(lambda: chosen(client)[:2] == ("rag", "0001"))
        add_study(project_copy, arm="base", number=3)  # a newer study ends a rollback
        waited(lambda: chosen(client)[:2] == ("base", "0003"))
    assert set(statuses) == {200}
    assert len(statuses) > 10
