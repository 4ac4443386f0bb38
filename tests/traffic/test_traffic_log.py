from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic_rows import row
from twofold.errors import ProjectLocked, StoreError
from twofold.text.quoting import Quoted
from twofold.traffic.log import FILE, TrafficLog

BEGIN = datetime(2026, 12, 1, tzinfo=UTC)


def at(hours: float) -> str:
    return (BEGIN + timedelta(hours=hours)).isoformat(timespec="milliseconds")


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{FILE}*")))


def test_the_log_is_its_owners_alone(tmp_path: Path) -> None:
    with TrafficLog(tmp_path / FILE) as log:
        log.append([row()])
        files = sorted(tmp_path.glob(f"{FILE}*"))
        assert [path.name for path in files] == [FILE, f"{FILE}-shm", f"{FILE}-wal"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@settings(max_examples=20)
@given(st.lists(st.text(), max_size=5))
def test_what_was_stored_is_read_again(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    with TrafficLog(tmp_path_factory.mktemp("log") / FILE) as log:
        rows = [row(request=str(number), question=text) for number, text in enumerate(texts)]
        log.append(rows)
        assert list(log.rows()) == rows


def test_rows_are_read_by_time_while_the_server_writes(tmp_path: Path) -> None:
    with TrafficLog(tmp_path / FILE) as log, TrafficLog(tmp_path / FILE, readonly=True) as reader:
        log.append([row(request=str(hour), at=at(hour)) for hour in range(2500)])
        reading = reader.rows(at(1000), before=at(2400))
        assert next(reading)["request"] == "1000"
        log.append([row(request="later", at=at(3000))])
        assert [one["request"] for one in reading] == [str(hour) for hour in range(1001, 2400)]
        assert [one["request"] for one in reader.rows(at(2499))] == ["2499", "later"]
        with pytest.raises(StoreError):
            reader.append([row()])


def test_a_deleted_text_is_in_no_byte_of_the_file_or_of_the_log_beside_it(tmp_path: Path) -> None:
    secret = "canary-7f3a"
    with TrafficLog(tmp_path / FILE) as log:
        for hour in range(200):
            texts = {"question": f"{secret} old {hour} " + "x" * 3000} if hour < 100 else {"question": f"new {hour}"}
            log.append([row(at=at(hour), **texts)])
        assert secret.encode() in on_disk(tmp_path)
        size = len(on_disk(tmp_path))
        assert log.prune(before=at(100)) == 100
        assert secret.encode() not in on_disk(tmp_path)
        assert len(on_disk(tmp_path)) < size / 4
        assert log.summary()["rows"] == 100
        assert log.prune(before=at(100)) == 0


def test_a_log_that_is_too_large_loses_its_oldest_rows(tmp_path: Path) -> None:
    with TrafficLog(tmp_path / FILE) as log:
        log.append([row(request=str(number), answer="y" * 2000) for number in range(1000)])
        assert log.prune(most_bytes=1 << 20) > 600
        rows = [one["request"] for one in log.rows()]
        # a row of 2,400 bytes takes a page of 4,096
        assert 150 < len(rows) < 260
        assert rows == [str(number) for number in range(1000 - len(rows), 1000)]
        assert log.summary()["bytes"] <= 1 << 20
        assert log.prune(most_bytes=1 << 20) == 0


def test_rows_that_show_or_quote_a_document_lose_their_texts(tmp_path: Path) -> None:
    sentence = "The travel allowance is eighty-one euros a night in all cities abroad"
    with TrafficLog(tmp_path / FILE) as log:
        log.append(
            [
                row(request="shown", documents=["a", "b"], cited=["a"], question="How much?", answer="81 euros"),
                row(request="quoted", question="q", turns=[{"role": "assistant", "content": f"Well: {sentence}."}]),
                row(request="other", documents=["b"], question="When?", answer="On Monday"),
            ]
        )
        quoted = Quoted.of([f"Allowances. {sentence}. See below."])
        assert log.forget("a", quoted.within) == 2
        shown, turns, other = log.rows()
        assert (shown["documents"], shown["cited"], shown["question"], shown["answer"]) == (["b"], [], "", "")
        assert shown["letters"] == 12
        assert turns["turns"] == []
        assert other["answer"] == "On Monday"
        assert b"eighty" not in on_disk(tmp_path)
        assert b"81 euros" not in on_disk(tmp_path)
        assert log.forget("a", quoted.within) == 0


def test_who_reads_for_long_is_named_when_a_deleted_text_cannot_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.traffic.log._PATIENCE_MS", 50)
    with TrafficLog(tmp_path / FILE) as log:
        log.append([row(question="canary")])
        reader = sqlite3.connect(tmp_path / FILE)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM traffic").fetchall()
        with pytest.raises(ProjectLocked, match="somebody reads it"):
            log.prune(before=at(1))
        reader.close()
        log.append([row(at=at(2))])
        assert log.prune(before=at(3)) == 1
        assert b"canary" not in on_disk(tmp_path)


def test_a_process_that_is_killed_loses_no_row_that_was_stored(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from traffic_rows import row; from twofold.traffic.log import TrafficLog\n"
        "log = TrafficLog(Path(sys.argv[1]))\n"
        "for number in range(10_000):\n"
        "    log.append([row(request=str(number))]); print(number, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / FILE)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "50":
            process.send_signal(signal.SIGKILL)
            break
    said = [50, *(int(line) for line in process.stdout if line.endswith("\n"))]
    process.wait()
    with TrafficLog(tmp_path / FILE) as log:
        assert len(list(log.rows())) >= said[-1] + 1


def test_several_threads_write(tmp_path: Path) -> None:
    with TrafficLog(tmp_path / FILE) as log:
        threads = [threading.Thread(target=log.append, args=([row(), row()],)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert log.summary()["rows"] == 16


def test_what_is_no_log_is_refused_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no traffic log"):
        TrafficLog(tmp_path / FILE, readonly=True)
    (tmp_path / FILE).write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="not a traffic log") as raised:
        TrafficLog(tmp_path / FILE)
    assert "Move the file away" in raised.value.cure
    later = sqlite3.connect(tmp_path / "later.sqlite")
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(StoreError, match="version 99"):
        TrafficLog(tmp_path / "later.sqlite")


def test_a_full_disk_stores_no_half(tmp_path: Path) -> None:
    with TrafficLog(tmp_path / FILE) as log:
        log.append([row(request="before")])
        log._connection.execute("PRAGMA max_page_count = 12")
        with pytest.raises(StoreError, match="full"):
            log.append([row(request=str(number), answer="z" * 5000) for number in range(50)])
        assert [one["request"] for one in log.rows()] == ["before"]
        log._connection.execute("PRAGMA max_page_count = 100000")
        log.append([row(request="after")])
        assert [one["request"] for one in log.rows()] == ["before", "after"]


def test_a_summary_tells_no_text(tmp_path: Path) -> None:
    with TrafficLog(tmp_path / FILE) as log:
        assert log.summary()["rows"] == 0
        log.append([row(question="[EMAIL]?", redacted={"email": 2}), row(redacted={"email": 1, "phone": 1}, at=at(1))])
        summary = log.summary()
        assert (summary["rows"], summary["texts"], summary["first"], summary["last"]) == (2, 1, at(0), at(1))
        assert summary["redacted"] == {"email": 3, "phone": 1}
        assert "[EMAIL]" not in json.dumps(summary)
