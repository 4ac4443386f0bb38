"""What changes beside a server: other commands that write, documents that go, rights that end while answers run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from serving_process import served

from forked import Nursery
from small_project import write_project
from twofold.project import Project
from twofold.reports import archive
from twofold.serving.keys import KEYS, Keys

CHAT = "/v1/chat/completions"
QUESTION = "What does parking cost?"
BODY = {"model": "rag", "messages": [{"role": "user", "content": QUESTION}]}
SLOW = "generation.generator.options.word_seconds=0.2"
WRITER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, TESTS)
import stand_in_trainer
from twofold.plugins import loading
from twofold.project import Project

command, directory = sys.argv[1], Path(sys.argv[2])
os.environ["TRAINED"] = str(directory / "trained")

def waits(kind, name, method):
    found = loading.find(kind, name)
    def run(self, *values, **options):
        (directory / "in-the-middle").touch()
        while not (directory / "go-on").exists():
            time.sleep(0.01)
        return getattr(found, method)(self, *values, **options)
    return loading.registered(kind, name, type(found.__name__, (found,), {method: run}))

with stand_in_trainer.known():
    if command == "sync":
        with waits("embedders", "hashing", "embed"), Project.open(directory) as project:
            assert project.sync(rebuild=True)["index"]
    elif command == "study":
        other = {"generation": {"max_tokens": 60}}
        with waits("generators", "echo", "generate"), Project.open(directory, other) as project:
            assert project.study()["verdict"]
    else:
        other = {"tuning": {"trainer": {"options": {"mark": "c"}}}}
        with waits("trainers", "one", "train"), Project.open(directory, other) as project:
            assert project.tune(arm="ft+rag").id
"""


@pytest.mark.parametrize("command", ["sync", "study", "tune"])
def test_reading_waits_for_no_writer(stored_project: Path, nursery: Nursery, command: str) -> None:
    asked = "what can help guide early season irrigation decisions?"
    body = {"model": "champion", "messages": [{"role": "user", "content": asked}]}
    with served(stored_project) as server, server.client() as client:
        script = WRITER.replace("TESTS", repr(str(Path(__file__).parents[1])))
        writer = nursery.start(script, command, str(stored_project))
        try:
            end = time.monotonic() + 60
            while not (stored_project / "in-the-middle").exists():
                assert writer.poll() is None, writer.communicate()[1]
                assert time.monotonic() < end
                time.sleep(0.02)
            assert client.post(CHAT, json=body).json()["choices"][0]["message"]["citations"]
            assert client.post("/v1/retrieve", json={"query": asked}).json()["data"]
            assert client.get("/readyz").status_code == 200
            locked = client.post("/v1/documents", json={"id": "a", "text": "b"})
            assert (locked.status_code, locked.json()["error"]["code"]) == (409, "store.locked")
            assert locked.headers["retry-after"]
            with Project.open(stored_project) as project:
                assert project.ask(asked, model="champion")[0].citations
                assert archive.find_record(project.records)["verdict"]["outcome"] == "undecided"
            assert writer.poll() is None
        finally:
            (stored_project / "go-on").touch()
            failure = writer.communicate()[1]
        assert writer.wait() == 0, failure
        assert client.post(CHAT, json=body).status_code == 200


def test_a_document_that_goes_while_an_answer_runs_ends_nothing(project_copy: Path) -> None:
    running = served(project_copy, "--unmeasured", "--set", SLOW)
    with running as server, server.client() as client, server.client() as other:
        other.post("/v1/documents", json={"id": "sauna", "text": "The sauna is heated to 85 degrees."})
        asked = {**BODY, "messages": [{"role": "user", "content": "How hot is the sauna?"}], "stream": True}
        with client.stream("POST", CHAT, json=asked) as stream:
            lines = stream.iter_lines()
            first = next(lines)
            other.delete("/v1/documents/sauna").raise_for_status()
            other.post("/v1/documents", json={"id": "steam", "text": "Steam is for free."}).raise_for_status()
            events = [json.loads(line[6:]) for line in [first, *lines] if line.startswith("data: {")]
        (cited,) = events[-1]["choices"][0]["delta"]["citations"]
        # As the passage was when it was searched for; the document has no version any more.
        assert (cited["document"], cited["version"], cited["age"]) == ("pushed:sauna", "", None)
        rows = other.post("/v1/retrieve", json={"query": "sauna degrees"}).json()["data"]
        assert "pushed:sauna" not in [row["document"] for row in rows]


def test_what_is_taken_from_a_reader_while_an_answer_runs_is_not_in_the_next(tmp_path: Path, own_cache: Path) -> None:
    documents = [{"id": "plan", "title": "Plan", "text": "The plan is open.", "readers": ["group:staff"]}]
    settings = '\n[access]\nenabled = true\nstudy_groups = ["staff"]\n'
    directory = write_project(
        tmp_path / "p", documents, [("plan", "What is the plan?", "open")], copies=4, settings=settings
    )
    with Project.open(directory) as project:
        project.sync()
    keys = Keys(directory / KEYS)
    board = keys.add("bea", groups=["staff", "board"], scope="curate")[1]
    staff = keys.add("ann", groups=["staff"])[1]
    code = {"id": "group:staff/code", "text": "The code word is zebrafish.", "readers": ["group:staff"]}
    asked = {**BODY, "messages": [{"role": "user", "content": "What is the code word?"}]}
    running = served(directory, "--arm", "rag", "--unmeasured", "--set", SLOW)
    with running as server, server.client(staff) as client, server.client(board) as other:
        other.post("/v1/documents", json={**code, "id": "code"}).raise_for_status()
        (row,) = [row for row in other.get("/v1/documents").json()["data"] if row["id"].endswith("code")]
        with client.stream("POST", CHAT, json={**asked, "stream": True}) as stream:
            lines = stream.iter_lines()
            first = next(lines)
            other.delete(f"/v1/documents/{row['id']}").raise_for_status()
            text = "".join([first, *lines])
        assert "zebrafish" in text
        again = client.post(CHAT, json=asked).json()
        assert "zebrafish" not in json.dumps(again)
