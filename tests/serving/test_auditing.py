"""What a server writes into the audit log, through real requests and with a stand-in disk."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from serving_process import served

from twofold.audit.log import FOLDER, AuditLog
from twofold.audit.texts import AuditTexts
from twofold.audit.verifying import verify
from twofold.errors import AuditUnwritable, DiskFull
from twofold.project import Project
from twofold.serving import auditing
from twofold.serving.auditing import Auditor
from twofold.serving.exchange import Exchange
from twofold.serving.identity import Caller
from twofold.serving.keys import KEYS, Keys
from twofold.settings.audit import AuditSection
from twofold.types import Answer, Example, Message

CHAT = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "audit" / "000001.jsonl").read_bytes().splitlines()]


def waited(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_logs_who_was_served_what_and_survives_a_kill(project_copy: Path) -> None:
    settings = project_copy / "twofold.toml"
    settings.write_text(settings.read_text() + "\n[audit]\nenabled = true\ntexts = true\n")
    asks, token = Keys(project_copy / KEYS).add("anna")
    curates, curating = Keys(project_copy / KEYS).add("ben", scope="curate")
    with served(project_copy) as server:
        with server.client(token) as client:
            answered = client.post("/v1/chat/completions", json=CHAT)
            found = client.post("/v1/retrieve", json={"query": "parking"})
            denied = client.post("/v1/documents", json={"id": "note", "text": "A note."})
        with server.client(curating) as client:
            added = client.post("/v1/documents", json={"id": "note", "text": "A note."})
            client.delete("/v1/documents/note")
        with server.client(token[:-4] + "0000") as client:
            unknown = client.post("/v1/chat/completions", json=CHAT)
        assert [reply.status_code for reply in (answered, found, denied, added, unknown)] == [200, 200, 403, 201, 401]
        waited(lambda: lines(project_copy)[-1]["values"].get("status") == 401)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(60)
    rows = lines(project_copy)
    served_lines = [row for row in rows if row["what"] not in ("log.begun", "command.begun")]
    assert [(row["what"], row["who"]) for row in served_lines] == [
        ("server.started", "server"),
        ("arms.served", "server"),
        ("answer", f"key:{asks.id}"),
        ("search", f"key:{asks.id}"),
        ("refused", ""),
        ("document.put", f"key:{curates.id}"),
        ("document.delete", f"key:{curates.id}"),
        ("refused", ""),
    ]
    answer, search, refused, put, _, wrong = [row["values"] for row in served_lines[2:]]
    assert answer["request"] == answered.headers["x-request-id"]
    assert answer["outcome"] == "answered"
    assert answer["documents"][0]["id"] == "parking"
    assert answer["documents"][0]["version"]
    assert answer["cited"] == ["parking"]
    assert (answer["arm"], bool(answer["index"]), bool(answer["system"])) == ("rag", True, True)
    assert search["documents"][0] == "parking"
    assert refused["claimed"] == f"key:{asks.id}"
    assert put["document"] == "note"
    assert put["version"] == added.json()["version"]
    assert wrong["address"] == "127.0.0.1"
    written = b"".join(path.read_bytes() for path in (project_copy / "audit").glob("*.jsonl"))
    assert b"What does parking cost" not in written
    assert token[12:].encode() not in written
    with AuditTexts(project_copy / FOLDER) as texts:
        assert "What does parking cost?" in texts.text(answer["texts"])
    report = verify(project_copy / FOLDER)
    assert (report["ok"], report["texts"]) == (True, 1)


def test_what_people_change_and_what_agents_find_is_logged_with_its_ids(tuned: tuple[Path, str, str]) -> None:
    directory, first, second = tuned
    settings = directory / "twofold.toml"
    settings.write_text(settings.read_text() + "\n[audit]\nenabled = true\n")
    answers = [{"arm": "rag", "text": "A private answer."}, {"arm": "base", "text": "b"}]
    search = {"name": "search", "arguments": {"query": "parking"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": search}
    accept = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
    with served(directory, "--unmeasured") as server, server.client() as client:
        liked = client.post(
            "/ask/preference", json={"question": "A private one?", "answers": answers, "choice": "same"}
        )
        said = client.post("/v1/feedback", json={"messages": CHAT["messages"], "answer": "x", "rating": "down"})
        sought = client.post("/mcp", json=call, headers=accept)
        asked_new = {"question": "Is it private?", "answer": "Yes.", "split": "train"}
        edited = client.post("/examples/edit", data=asked_new, headers={"accept": "text/html"})
        moved = client.post("/models/promote", data={"model": second, "alias": "champion", "why": "A private reason."})
        assert [reply.status_code for reply in (liked, said, sought)] == [200, 200, 200], liked.text + said.text
        assert [reply.status_code for reply in (edited, moved)] == [303, 303], edited.text
        waited(lambda: any(row["what"] == "arms.exchanged" for row in lines(directory)))
    rows = {row["what"]: row["values"] for row in lines(directory)}
    assert rows["label"]["label"] == liked.json()["id"]
    assert (rows["feedback"]["feedback"], rows["feedback"]["rating"]) == (said.json()["id"], "down")
    assert (rows["search"]["tool"], bool(rows["search"]["documents"])) == ("search", True)
    assert rows["example.edit"]["example"]
    promoted = rows["model.promote"]
    assert (promoted["alias"], promoted["before"], promoted["model"]) == ("champion", first, second)
    assert second in {arm["model"] for arm in rows["arms.exchanged"]["arms"]}
    assert b"rivate" not in b"".join(path.read_bytes() for path in (directory / "audit").glob("*.jsonl"))


@pytest.fixture
def auditor(measured: Path, tmp_path: Path) -> Any:
    """Makes auditors of a measured project whose log lies elsewhere."""
    opened: list[Any] = []
    shutil.copy(measured / "twofold.toml", tmp_path)
    project = Project.open(measured)

    def made(**settings: Any) -> Auditor:
        opened.append(Auditor(AuditSection(enabled=True, **settings), tmp_path, project.catalogue))
        return opened[-1]

    yield made
    for one in opened:
        one.close()
    project.close()


def exchange(text: str = "Four euros.") -> Exchange:
    question = Example(id="q", messages=(Message(role="user", content="What?"),), references=())
    origin = {"arm": "rag", "model": "", "key": "system:1", "later_index": False}
    caller = Caller(scope="ask", filter=None, id="key:ab12cd34", name="anna")
    return Exchange(request="r1", caller=caller, origin=origin, example=question, answer=Answer(text=text))


class Disk:
    """A disk that can be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        append = AuditLog.append

        def appending(log: AuditLog, entries: Any, *, config: str = "") -> str:
            if self.full:
                raise DiskFull("the audit log cannot be written: No space left on device")
            return append(log, entries, config=config)

        monkeypatch.setattr(AuditLog, "append", appending)
        monkeypatch.setattr(auditing, "_AGAIN", 0.02)


def test_answers_go_on_while_the_disk_is_full_and_the_gap_is_counted(
    auditor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(auditing, "WAITING", 5)
    log = auditor()
    disk.full = True
    for _ in range(8):
        log.witness(exchange())
    waited(lambda: bool(log.remark))
    waited(lambda: "3 events" in log.remark)
    assert log.remark == "the audit log cannot be written: No space left on device; 3 events are lost"
    assert not log.refusing
    disk.full = False
    waited(lambda: not log.remark)
    gap = next(row for row in lines(tmp_path) if row["what"] == "log.gap")
    assert gap["values"]["lost"] == 3
    assert gap["values"]["why"].endswith("No space left on device")
    assert sum(row["what"] == "answer" for row in lines(tmp_path)) == 5
    assert verify(tmp_path / FOLDER)["remarks"][0].endswith("No space left on device")


def test_nothing_is_served_that_cannot_be_logged_where_the_settings_say_so(
    auditor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    log = auditor(on_failure="refuse")
    disk.full = True
    log.record("login")
    waited(lambda: log.refusing)
    disk.full = False
    waited(lambda: not log.refusing)
    assert lines(tmp_path)[-1]["what"] == "login"
    disk.full = True
    with pytest.raises(AuditUnwritable):
        auditor(on_failure="refuse")


def test_events_that_come_together_are_one_write(auditor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    append = AuditLog.append

    def appending(log: AuditLog, entries: Any, *, config: str = "") -> str:
        sizes.append(len(entries))
        return append(log, entries, config=config)

    monkeypatch.setattr(AuditLog, "append", appending)
    log = auditor()
    for number in range(200):
        log.witness(replace(exchange(), number=number))
    waited(lambda: len(lines(tmp_path)) == 202)
    assert len(sizes) < 20
    assert [row["values"]["choice"] for row in lines(tmp_path)[2:]] == list(range(200))


def test_a_clock_that_is_set_back_changes_no_number(tmp_path: Path, measured: Path) -> None:
    shutil.copy(measured / "twofold.toml", tmp_path)
    moments = iter([datetime(2026, 12, 1, 12, tzinfo=UTC), datetime(2026, 12, 1, 11, tzinfo=UTC)])
    with Project.open(measured) as project:
        log = Auditor(AuditSection(enabled=True), tmp_path, project.catalogue, now=lambda: next(moments))
        log.close()
    assert [(row["number"], row["what"]) for row in lines(tmp_path)] == [
        (1, "log.begun"),
        (2, "server.started"),
        (3, "log.clock"),
        (4, "server.stopped"),
    ]
