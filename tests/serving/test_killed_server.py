"""A server is killed while it writes all that it writes: what was acknowledged is there afterwards, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
from serving_process import served

from twofold.labelling.labels import LABELS, LabelLog
from twofold.serving.keys import KEYS, Keys
from twofold.serving.limits import USE, UseLedger

QUESTION = [{"role": "user", "content": "What does parking cost?"}]
ANSWERS = [{"arm": "rag", "text": "4 euros"}, {"arm": "base", "text": "I do not know."}]
ENOUGH = 6
"""Acknowledged writes of each kind before the kill."""
Send = Callable[[httpx.Client, str], httpx.Response]


def example(client: httpx.Client, name: str) -> httpx.Response:
    fields = {"file": "", "line": "0", "mark": "", "question": f"What is {name}?", "answer": name, "sources": "parking"}
    return client.post("/examples/edit", data=fields)


def replaced(client: httpx.Client, name: str) -> httpx.Response:
    # One document, of which each version takes the place of the one before.
    return client.put("/v1/documents", json={"id": "note", "text": f"The note is {name}."})


KINDS: dict[str, Send] = {
    "feedback": lambda client, name: client.post(
        "/v1/feedback", json={"messages": QUESTION, "answer": name, "rating": "up"}
    ),
    "label": lambda client, name: client.post(
        "/ask/preference", json={"question": name, "answers": ANSWERS, "choice": "first"}
    ),
    "example": example,
    "document": lambda client, name: client.post("/v1/documents", json={"id": name, "text": f"It is {name}."}),
    "version": replaced,
    "answer": lambda client, _: client.post("/v1/chat/completions", json={"model": "rag", "messages": QUESTION}),
}


def test_nothing_acknowledged_is_lost_or_there_twice(project_copy: Path) -> None:
    key, token = Keys(project_copy / KEYS).add("support", scope="curate")
    acknowledged: dict[str, list[str]] = {kind: [] for kind in KINDS}
    enough, over = threading.Event(), threading.Event()

    def send(kind: str) -> None:
        with server.client(token) as client, suppress(httpx.TransportError):
            for number in range(10_000):
                if over.is_set():
                    return
                name = f"{kind}-{number:04}"
                reply = KINDS[kind](client, name)
                # A document is refused while another is indexed by another command; nothing else may be.
                assert reply.status_code in (200, 201, 303), reply.text
                acknowledged[kind].append(name)
                if all(len(names) >= ENOUGH for names in acknowledged.values()):
                    enough.set()

    with served(project_copy) as server, ThreadPoolExecutor(len(KINDS)) as senders:
        sent = [senders.submit(send, kind) for kind in KINDS]
        assert enough.wait(90), {kind: len(names) for kind, names in acknowledged.items()}
        server.process.kill()
        over.set()
        for future in sent:
            future.result(60)
    with served(project_copy) as server, server.client(token) as client:
        assert client.get("/readyz").status_code == 200
        # The first change after the start waits for what the kill left to be completed.
        assert client.post("/v1/documents", json={"id": "last", "text": "The last."}).status_code == 201
        rows = [row["id"] for row in client.get("/v1/documents", params={"limit": 1000}).json()["data"]]
        note = client.get("/v1/documents/note").json()["text"]
    assert len(rows) == len(set(rows))
    assert set(acknowledged["document"]) <= set(rows)
    # The last that was acknowledged, or the one that was under way.
    assert note >= f"The note is {acknowledged['version'][-1]}."
    lines = (project_copy / "serving" / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    once(acknowledged["feedback"], [json.loads(line)["answer"] for line in lines])
    once(acknowledged["label"], [label.question for label in LabelLog(project_copy / LABELS).all()])
    examples = (project_copy / "data" / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    once(acknowledged["example"], [str(json.loads(line).get("answers", [""])[0]) for line in examples])
    used = UseLedger(project_copy / USE).used()[f"key:{key.id}"]
    assert used["requests"].total >= sum(map(len, acknowledged.values()))
    assert used["tokens"].total >= len(acknowledged["answer"])


def once(acknowledged: list[str], stored: list[str]) -> None:
    """Each that was acknowledged stands there once."""
    assert [stored.count(name) for name in acknowledged] == [1] * len(acknowledged)


def test_a_command_that_is_killed_while_it_makes_keys_loses_none_that_it_gave_out(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from twofold.serving.keys import Keys\n"
        "keys = Keys(Path(sys.argv[1]))\n"
        "while True: print(keys.add('a')[1], flush=True)\n"
    )
    path = tmp_path / "keys.json"
    given: list[str] = []
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        given += [child.stdout.readline().strip() for _ in range(5)]
        time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        given += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.wait(30)
        child.stdout.close()
    keys = Keys(path)
    assert len({keys.check(token).id for token in given}) == len(given) >= 15
    assert keys.add("after")
