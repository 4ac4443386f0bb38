"""Servers that share a schema: what one of them is given, the others know."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import serving_process

from postgres_server import PASSWORD
from twofold.audit.verifying import verify
from twofold.cli.serve import _words
from twofold.config import Config
from twofold.errors import BadKey, ConfigError, OverLimit
from twofold.indexing import stored_logs
from twofold.labelling.labels import LabelledAnswer, labels_of
from twofold.project import Project
from twofold.project.auditing import audit_folder, audit_log
from twofold.serving.bodies import FeedbackBody
from twofold.serving.feedback import FeedbackLog
from twofold.serving.identity import Credentials, Identities
from twofold.serving.keys import Identity, KeyLimits, keys_of
from twofold.serving.limits import ledger_of
from twofold.serving.sessions import ATTEMPTS
from twofold.store.kept_texts import lines_of, mirrored, server_database
from twofold.store.shared import SharedPlace

LOG = "serving/feedback.jsonl"


def test_a_key_of_one_server_opens_the_others_until_it_is_revoked(schema: SharedPlace, tmp_path: Path) -> None:
    one, other = keys_of(tmp_path, schema), keys_of(tmp_path / "elsewhere", schema)
    assert not other.required
    key, token = one.add("first", scope="curate", groups=["staff"])
    assert other.check(token) == key
    other.revoke(key.id)
    with pytest.raises(BadKey):
        one.check(token)
    assert one.required
    assert not list(tmp_path.iterdir())


def test_a_limit_counts_the_requests_of_all_servers(schema: SharedPlace, tmp_path: Path) -> None:
    one, other = ledger_of(tmp_path, schema), ledger_of(tmp_path, schema)
    limits = KeyLimits(requests=3, tokens=0)
    for ledger in (one, other, one):
        headers = ledger.admit("key:a", limits)
    assert headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(OverLimit) as caught:
        other.admit("key:a", limits)
    assert 0 < (caught.value.retry_after or 0) <= 60
    other.add("key:a", "tokens", 20)
    used = one.used()["key:a"]
    assert (used["requests"].spent, used["tokens"].total) == (4, 20)
    server_database(schema).write("UPDATE windows SET ends = clock_timestamp() WHERE kind = 'requests'", [()])
    assert one.admit("key:a", limits)["x-ratelimit-remaining-requests"] == "2", "another window begins"
    assert one.used()["key:a"]["requests"].total == 5


def test_what_cannot_be_counted_in_the_database_is_counted_in_memory(
    schema: SharedPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(tmp_path, schema)
    ledger.add("key:a", "requests", 1)
    with monkeypatch.context() as patch:
        patch.setattr("twofold.serving.limits._COUNT", "SELECT 1 / 0, ?, ?, ?, ?, ?")
        assert ledger.add("key:a", "requests", 1).spent == 2
        assert "counted in memory" in ledger.failure
    assert ledger.add("key:a", "requests", 1).spent == 3
    assert not ledger.failure


def test_a_session_of_one_server_is_known_to_the_others(schema: SharedPlace, tmp_path: Path) -> None:
    one, other = (Identities(Config(), keys_of(tmp_path, schema), shared=schema) for _ in range(2))
    key, token = one.keys.add("first")
    session = one.log_in(token, "10.0.0.1")
    shown = Credentials(session=session, proven=True)
    assert other.caller(shown, "ask").id == f"key:{key.id}"
    provided = other.sessions.add(Identity(id="oidc:ann", name="ann", scope="ask", groups=("staff",)), owner="oidc:ann")
    assert one.caller(Credentials(session=provided, proven=True), "ask").id == "oidc:ann"
    other.log_out(session)
    with pytest.raises(BadKey):
        one.caller(shown, "ask")
    for number in range(ATTEMPTS):
        with pytest.raises(BadKey):
            (one, other)[number % 2].log_in("tf-no-key", "10.0.0.2")
    with pytest.raises(OverLimit):
        one.log_in(token, "10.0.0.2")
    for identities in (one, other):
        identities.threads.shutdown()


def test_feedback_and_labels_of_all_servers_are_in_one_log_and_are_forgotten(
    schema: SharedPlace, tmp_path: Path
) -> None:
    for number in range(2):
        log = FeedbackLog(lines_of(tmp_path / str(number), LOG, schema))
        log.add(FeedbackBody(messages=[{"role": "user", "content": f"q{number}"}], answer="a", rating="up"))
    one, other = (labels_of(tmp_path / name, schema) for name in ("a", "b"))
    assert one.secret() == other.secret()
    answers = [LabelledAnswer(arm="rag", text="xyzzyplugh"), LabelledAnswer(arm="base", text="b")]
    label = one.add("pair", answers, "first", by="ann", question="q")
    assert other.all() == [label]
    copy = mirrored(tmp_path, LOG, schema).read_text()
    assert [f'"q{number}"' in copy for number in range(2)] == [True, True]
    removed = stored_logs.erase(tmp_path, "d", lambda text: "xyzzyplugh" in text or text == "q0", shared=schema)
    assert (removed["feedback"], removed["labels"]) == (1, 1)
    assert one.all() == other.all() == []
    assert "q0" not in (tmp_path / LOG).read_text()
    assert "q0" not in mirrored(tmp_path, LOG, schema).read_text()


@pytest.mark.parametrize("key", [b"", b"a key of at least some length"])
def test_the_audit_logs_of_all_servers_are_one_chain(schema: SharedPlace, tmp_path: Path, key: bytes) -> None:
    logs = [audit_log(tmp_path / str(number), schema, key) for number in range(2)]
    for number in range(6):
        entry = {
            "time": f"2026-12-01T00:00:0{number}.000+00:00",
            "what": "answer",
            "who": "local",
            "values": {"n": number},
        }
        head = logs[number % 2].append([entry, entry], config=f"config:{number // 4}")  # type: ignore[list-item]
    assert head.startswith("14:"), "its beginning and a change of the settings are lines, too"
    folder = audit_folder(tmp_path, schema)
    report = verify(folder, key=key, anchor=head)
    assert (report["ok"], report["lines"], report["head"]) == (True, 14, head)
    with pytest.raises(ConfigError, match="key"):
        audit_log(tmp_path, schema, b"another key")
    with closing(server_database(schema)) as database:
        database.write("UPDATE audit_lines SET line = set_byte(line, 120, 120) WHERE number = 5", [()])
        database.write("DELETE FROM audit_lines WHERE number IN (8, 14)", [()])
        report = verify(audit_folder(tmp_path, schema), key=key)
    assert {fault["kind"] for fault in report["faults"]} == {"altered", "missing", "truncated"}


@pytest.mark.slow
def test_two_processes_are_one_server_and_a_kill_of_one_loses_nothing_acknowledged(
    project_copy: Path, schema: SharedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_process, "start", serving_process.started)
    file = project_copy / "twofold.toml"
    section = f'database = "{schema.url}"\nname = "{schema.name}"\ndatabase_password_env = "{PASSWORD}"'
    file.write_text(f"{file.read_text()}\n[scale]\n{section}\n")
    with Project.open(project_copy) as project:
        shared = project.places.shared
        project.sync()
    keys = keys_of(project_copy, shared)
    key, token = keys.add("first", scope="curate", limits=KeyLimits(requests=1000))
    with serving_process.served(project_copy, "--processes", "2") as running:
        assert len(set(running.ready["processes"])) == 2
        given: list[str] = []
        body = {"messages": [{"role": "user", "content": "q"}], "answer": "a", "rating": "up"}
        for number in range(40):
            # A connection of its own: whichever process has time takes it.
            with running.client(token) as client:
                reply = client.post("/v1/feedback", json=body)
                assert reply.status_code == 200, reply.text
                given.append(reply.json()["id"])
            if number == 20:
                os.kill(running.ready["processes"][0], signal.SIGKILL)
                time.sleep(0.2)
        with running.client(token) as client:
            chat = {"model": "default", "messages": [{"role": "user", "content": "What does parking cost?"}]}
            assert client.post("/v1/chat/completions", json=chat).status_code == 200
            document = {"id": "sent", "text": "The gate of the depot opens at six.", "title": "Gate"}
            assert client.post("/v1/documents", json=document).status_code == 201
        late, other = keys.add("late")
        with running.client(other) as client:
            assert client.get("/v1/models").status_code == 200
        keys.revoke(late.id)
        for _ in range(4):
            with running.client(other) as client:
                assert client.get("/v1/models").status_code == 401
        assert running.end() == 0
    assert [json.loads(line)["id"] for line in lines_of(project_copy, LOG, shared).read().splitlines()] == given
    assert ledger_of(project_copy, shared).used()[f"key:{key.id}"]["requests"].total == 42


def test_several_processes_need_a_database(measured: Path) -> None:
    process = serving_process.start(["serve", "-C", str(measured), "--port", "0", "--processes", "2"])
    _, errors = process.communicate()
    assert process.wait(60) == 2
    assert "share neither sessions nor limits" in errors


def test_the_command_of_one_process_asks_for_no_others() -> None:
    assert _words(["serve", "--processes", "2", "--port", "0"]) == ["serve", "--port", "0"]
    assert _words(["serve", "--processes=2", "-C", "p"]) == ["serve", "-C", "p"]
