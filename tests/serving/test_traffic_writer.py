"""What of served answers is stored, and that storing it holds nobody up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from serving_process import served

from twofold.errors import ConfigError, StoreError
from twofold.serving.exchange import Exchange
from twofold.serving.identity import Caller
from twofold.serving.traffic_writer import KEY, WAITING, TrafficWriter
from twofold.settings.traffic import TrafficSection
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.traffic.log import FILE, TrafficLog
from twofold.traffic.record import TrafficRow
from twofold.types import Answer, Chunk, Citation, Example, Failure, Hit, Message, Span, Timing, Usage

MOMENT = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


def exchange(question: str = "Who is ann@mail.example?", *, name: str = "clinic", document: str = "d1") -> Exchange:
    span = Span(document=document, start=0, end=20)
    return Exchange(
        request="r1",
        caller=Caller(scope="ask", filter=None, id="key_1", name=name),
        origin={"arm": "rag", "model": "", "key": "system:1", "measured": True, "later_index": False},
        example=Example(
            id="e",
            messages=(
                Message(role="user", content="Hello, I am on +44 20 7946 0018"),
                Message(role="assistant", content="Hello"),
                Message(role="user", content=question),
            ),
            references=(),
        ),
        answer=Answer(
            text="Ann sits in room 4.",
            hits=(Hit(chunk=Chunk(id="c1", span=span, text="Ann sits in room 4."), score=1.0, rank=1),),
            citations=(Citation(number=1, span=span),),
            usage=Usage(prompt_tokens=20, completion_tokens=6),
            timing=Timing(retrieval=0.01, generation=0.2),
        ),
    )


@contextmanager
def writing(
    directory: Path, now: Callable[[], datetime] = lambda: MOMENT, **settings: object
) -> Iterator[TrafficWriter]:
    writer = TrafficWriter(TrafficSection.model_validate({"log": "full", **settings}), directory, now=now)
    try:
        yield writer
    finally:
        writer.close()


def rows(directory: Path) -> list[TrafficRow]:
    with TrafficLog(directory / FILE, readonly=True) as log:
        return list(log.rows())


def test_a_full_row_is_redacted_and_names_nobody(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        writer.witness(exchange())
    (row,) = rows(tmp_path)
    assert row["question"] == "Who is [EMAIL]?"
    assert row["turns"][0] == {"role": "user", "content": "Hello, I am on [PHONE NUMBER]"}
    assert row["answer"] == "Ann sits in room 4."
    assert row["redacted"] == {"email": 1, "phone": 1}
    assert (row["documents"], row["cited"], row["letters"], row["at"]) == (
        ["d1"],
        ["d1"],
        19,
        "2026-12-01T12:00:00.000+00:00",
    )
    everything = b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE}*"))
    for private in (b"clinic", b"key_1", b"ann@", b"7946"):
        assert private not in everything


def test_metadata_has_no_text(tmp_path: Path) -> None:
    with writing(tmp_path, log="metadata") as writer:
        writer.witness(exchange())
    (row,) = rows(tmp_path)
    assert (row["question"], row["turns"], row["answer"], row["redacted"]) == ("", [], "", {})
    assert (row["arm"], row["system"], row["prompt_tokens"], row["generation_seconds"]) == ("rag", "system:1", 20, 0.2)
    assert b"Ann sits" not in b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE}*"))


def test_a_pseudonym_is_stable_in_a_project_and_another_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for directory in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        with writing(directory) as writer:
            writer.witness(exchange())
    first, again = rows(tmp_path / "a")
    (elsewhere,) = rows(tmp_path / "b")
    assert first["caller"] == again["caller"] != elsewhere["caller"]
    assert ((tmp_path / "a" / KEY).stat().st_mode & 0o777) == 0o600
    with pytest.raises(ConfigError, match="SALT_OF_TEST"):
        TrafficWriter(TrafficSection(log="full", salt_env="SALT_OF_TEST"), tmp_path)
    monkeypatch.setenv("SALT_OF_TEST", "a secret of the operator")
    with writing(tmp_path / "a", salt_env="SALT_OF_TEST") as writer:
        writer.witness(exchange())
    assert rows(tmp_path / "a")[2]["caller"] != first["caller"]


def test_a_failure_is_a_row_with_its_code(tmp_path: Path) -> None:
    failed = Answer(text="", failure=Failure(code="generation.timeout", message="too late"))
    with writing(tmp_path) as writer:
        shown = exchange()
        writer.witness(Exchange(**{**vars(shown), "answer": failed}))
        writer.witness(Exchange(**{**vars(shown), "withheld": "not of the schema"}))
    assert [row["failed"] for row in rows(tmp_path)] == ["generation.timeout", "serving.request"]


def test_old_rows_go_by_the_clock(tmp_path: Path) -> None:
    with writing(tmp_path, now=lambda: MOMENT - timedelta(days=31)) as writer:
        writer.witness(exchange("a question of last month"))
    with writing(tmp_path, days=30) as writer:
        writer.witness(exchange("one of today"))
    assert [row["question"] for row in rows(tmp_path)] == ["one of today"]
    assert b"last month" not in b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE}*"))


def test_a_log_that_cannot_be_written_is_a_remark_and_is_caught_up(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        assert writer._log is not None
        writer._log._connection.execute("PRAGMA max_page_count = 1")
        for _ in range(40):
            writer.witness(exchange("x" * 3000))
        end = time.monotonic() + 20
        while not writer.remark:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert "traffic cannot be written" in writer.remark
        writer._log._connection.execute("PRAGMA max_page_count = 100000")
        while writer.remark:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert len(rows(tmp_path)) == 40
    assert writer.lost == 0


def test_what_is_too_much_is_counted_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.serving.traffic_writer.SECONDS", 60)
    with writing(tmp_path, log="metadata") as writer:
        begin = time.monotonic()
        for _ in range(WAITING + 7):
            writer.witness(exchange())
        assert time.monotonic() - begin < 5
        assert writer.lost == 7
        assert writer.remark == "7 answers since the start are not in the traffic log"
    assert len(rows(tmp_path)) == WAITING


def test_an_answer_with_a_document_forgotten_meanwhile_has_no_text(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        writer.witness(exchange(document="gone"))
        writer.witness(exchange())
        Forgotten(tmp_path / RECEIPTS).begin("gone", MOMENT.isoformat(), ())
    first, second = rows(tmp_path)
    assert (first["documents"], first["cited"], first["answer"], first["question"]) == ([], [], "", "")
    assert second["answer"] == "Ann sits in room 4."


def test_a_damaged_log_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 500)
    with pytest.raises(StoreError, match="not a traffic log"):
        TrafficWriter(TrafficSection(log="full"), tmp_path)


def test_a_server_stores_what_it_answers_by_the_id_of_its_reply(project_copy: Path) -> None:
    body = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost? I am bo@mail.example"}]}
    said = {"messages": body["messages"], "answer": "4 euros, write to bo@mail.example", "rating": "up"}
    with served(project_copy, "--set", "traffic.log=full", "--unmeasured") as server, server.client() as client:
        reply = client.post("/v1/chat/completions", json=body)
        client.post("/v1/feedback", json=said).raise_for_status()
        assert "twofold_traffic_lost 0" in client.get("/metrics").text
        assert not any("traffic" in remark for remark in client.get("/readyz").json()["remarks"])
        assert server.end() == 0
    (row,) = rows(project_copy)
    assert row["request"] == reply.headers["x-request-id"]
    assert row["question"] == "What does parking cost? I am [EMAIL]"
    assert row["caller"] == ""
    assert row["documents"]
    line = json.loads((project_copy / "serving" / "feedback.jsonl").read_text(encoding="utf-8"))
    assert line["answer"] == "4 euros, write to [EMAIL]"


def test_a_server_without_the_section_makes_no_file(project_copy: Path) -> None:
    with served(project_copy) as server, server.client() as client:
        client.post("/v1/chat/completions", json={"model": "rag", "messages": [{"role": "user", "content": "Hello?"}]})
        assert server.end() == 0
    assert not (project_copy / FILE).exists()
    assert not (project_copy / KEY).exists()
