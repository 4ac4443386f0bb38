"""Limits of a key hold, across restarts, several servers, wrong clocks and full disks, and end with their window."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_process import Running, served

from twofold.cli.main import main
from twofold.errors import OverLimit, StoreError
from twofold.serving.keys import KEYS, KeyLimits, Keys
from twofold.serving.limits import PERIODS, USE, Instant, UseLedger

DAY = PERIODS["tokens"]


class Clock:
    """A machine's clocks; a jump moves the time of day alone."""

    clock, wall, boot = 5000.0, 2e9, "first"

    def __call__(self) -> Instant:
        return Instant(clock=self.clock, boot=self.boot, wall=self.wall)

    def wait(self, seconds: float) -> None:
        self.clock += seconds
        self.wall += seconds

    def restart(self, seconds: float, *, jump: float = 0.0) -> None:
        self.boot, self.clock = self.boot + "+", 1.0
        self.wall += seconds + jump


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> UseLedger:
    return UseLedger(tmp_path / "serving" / "use.sqlite", now=clock)


def refusal(ledger: UseLedger, limits: KeyLimits, caller: str = "key:a") -> OverLimit:
    with pytest.raises(OverLimit) as raised:
        ledger.admit(caller, limits)
    return raised.value


def test_requests_of_a_minute(ledger: UseLedger, clock: Clock) -> None:
    limits = KeyLimits(requests=3)
    left = [ledger.admit("key:a", limits)["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    clock.wait(20)
    error = refusal(ledger, limits)
    assert error.retry_after == pytest.approx(40)
    assert error.headers["x-ratelimit-limit-requests"] == "3"
    assert error.headers["x-ratelimit-reset-requests"] == "40.000s"
    ledger.admit("key:b", limits)
    clock.wait(40)
    ledger.admit("key:a", limits)


def test_tokens_of_a_day(ledger: UseLedger, clock: Clock) -> None:
    limits = KeyLimits(tokens=100)
    assert ledger.admit("key:a", limits)["x-ratelimit-remaining-tokens"] == "100"
    ledger.add("key:a", "tokens", 99)
    assert ledger.admit("key:a", limits)["x-ratelimit-remaining-tokens"] == "1"
    ledger.add("key:a", "tokens", 30)
    assert refusal(ledger, limits).retry_after == pytest.approx(DAY)
    clock.wait(DAY - 1)
    refusal(ledger, limits)
    clock.wait(1)
    ledger.admit("key:a", limits)
    assert ledger.used()["key:a"]["tokens"].total == 129


def test_without_a_limit_use_is_counted_all_the_same(ledger: UseLedger) -> None:
    for _ in range(3):
        assert ledger.admit("key:a", KeyLimits()) == {}
    assert ledger.used()["key:a"]["requests"].total == 3


@pytest.mark.parametrize("jump", [-10 * DAY, 10 * DAY], ids=["backwards", "forwards"])
def test_a_jump_of_the_clock_neither_locks_out_nor_gives_a_budget(ledger: UseLedger, clock: Clock, jump: float) -> None:
    limits = KeyLimits(tokens=100)
    ledger.add("key:a", "tokens", 100)
    clock.wall += jump
    refusal(ledger, limits)
    clock.wait(DAY)
    ledger.admit("key:a", limits)


@pytest.mark.parametrize(
    ("seconds", "jump", "admitted"),
    [(100.0, 0.0, False), (DAY, 0.0, True), (100.0, -10 * DAY, False)],
    ids=["soon", "the next day", "with a clock set back"],
)
def test_a_restart_of_the_machine_counts_its_time(
    ledger: UseLedger, clock: Clock, seconds: float, jump: float, admitted: bool
) -> None:
    ledger.add("key:a", "tokens", 100)
    clock.restart(seconds, jump=jump)
    again = UseLedger(ledger._path, now=clock)
    if admitted:
        again.admit("key:a", KeyLimits(tokens=100))
    else:
        refusal(again, KeyLimits(tokens=100))
        clock.wait(DAY)
        again.admit("key:a", KeyLimits(tokens=100))


def test_two_servers_count_together(ledger: UseLedger, clock: Clock) -> None:
    other = UseLedger(ledger._path, now=clock)
    for one in (ledger, other) * 5:
        one.admit("key:a", KeyLimits(requests=10))
    refusal(ledger, KeyLimits(requests=10))
    refusal(other, KeyLimits(requests=10))


def test_where_the_disk_refuses_counting_goes_on_and_is_written_down_later(
    ledger: UseLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = KeyLimits(requests=5)
    ledger.admit("key:a", limits)
    real = ledger._stored

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(ledger, "_stored", full)
    for _ in range(4):
        ledger.admit("key:a", limits)
    refusal(ledger, limits)
    assert "disk is full" in ledger.failure
    monkeypatch.setattr(ledger, "_stored", real)
    refusal(ledger, limits)
    assert ledger.failure == ""
    assert ledger.used()["key:a"]["requests"].total == 7


def test_a_damaged_file_stops_nobody_and_is_said(ledger: UseLedger) -> None:
    ledger._path.parent.mkdir()
    ledger._path.write_bytes(b"no database" * 100)
    ledger.admit("key:a", KeyLimits(requests=1))
    refusal(ledger, KeyLimits(requests=1))
    assert "not a database" in ledger.failure
    with pytest.raises(StoreError, match="not a database"):
        ledger.used()


# ------------------------------------------------------------ over HTTP

QUESTION = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def limited(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Keys]]:
    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("limited") / "p"))
    with (directory / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write("\n[serving]\nrequests_per_minute = 2\n")
    keys = Keys(directory / KEYS)
    keys.add("first", scope="admin", limits=KeyLimits(requests=0))
    with served(directory) as running:
        yield running, keys


def test_a_limit_is_told_as_openai_does(limited: tuple[Running, Keys]) -> None:
    running, keys = limited
    with running.client(keys.add("small")[1]) as client:
        for left in ("1", "0"):
            reply = client.post(CHAT, json=QUESTION)
            assert (reply.status_code, reply.headers["x-ratelimit-remaining-requests"]) == (200, left)
        refused = client.post(CHAT, json=QUESTION)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "serving.limit")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    with running.client(keys.add("large", limits=KeyLimits(requests=0))[1]) as client:
        assert [client.get("/v1/models").status_code for _ in range(4)] == [200] * 4


def test_who_leaves_a_stream_early_has_used_what_was_read(limited: tuple[Running, Keys]) -> None:
    running, keys = limited
    key, token = keys.add("leaving", limits=KeyLimits(requests=0, tokens=10_000))
    with running.client(token) as client:
        with client.stream("POST", CHAT, json={**QUESTION, "stream": True}) as reply:
            next(reply.iter_lines())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if used(keys, key.id)["tokens"]:
                break
            time.sleep(0.02)
    assert used(keys, key.id)["tokens"] > 20


def test_embedded_texts_are_tokens(limited: tuple[Running, Keys]) -> None:
    running, keys = limited
    key, token = keys.add("embedding", limits=KeyLimits(tokens=3))
    with running.client(token) as client:
        assert client.post("/v1/embeddings", json={"model": "hashing", "input": "a b c d"}).status_code == 200
        assert client.get("/v1/models").status_code == 429
    assert used(keys, key.id)["tokens"] >= 4


def test_a_search_that_asks_a_model_is_charged_and_another_is_a_request(
    limited: tuple[Running, Keys], project_copy: Path
) -> None:
    query = {"query": "What does parking cost?"}
    running, keys = limited
    key, token = keys.add("searching")
    with running.client(token) as client:
        assert [client.post("/v1/retrieve", json=query).status_code for _ in range(3)] == [200, 200, 429]
    assert used(keys, key.id) == {"requests": 3, "tokens": 0}
    with (project_copy / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[retrieval.rewriters]]\nname = "multi_query"\n')
    keys = Keys(project_copy / KEYS)
    key, token = keys.add("rewritten")
    with served(project_copy, "--unmeasured") as running, running.client(token) as client:
        client.post("/v1/retrieve", json=query).raise_for_status()
    assert used(keys, key.id)["tokens"] > 10


def used(keys: Keys, name: str) -> dict[str, int]:
    windows = UseLedger(Path(str(keys.place)).parents[1] / USE).used().get(f"key:{name}", {})
    return {"tokens": 0} | {kind: window.spent for kind, window in windows.items()}


def test_a_budget_outlives_a_killed_server(project_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, token = Keys(project_copy / KEYS).add("small", limits=KeyLimits(tokens=10))
    with served(project_copy) as running:
        with running.client(token) as client:
            spent = client.post(CHAT, json=QUESTION).json()["usage"]["total_tokens"]
            assert client.post(CHAT, json=QUESTION).status_code == 429
        running.end(signal.SIGKILL)
    with served(project_copy) as running, running.client(token) as client:
        refused = client.post(CHAT, json=QUESTION)
    assert refused.status_code == 429
    assert "10 tokens a day are used up" in refused.json()["error"]["message"]
    capsys.readouterr()
    assert main(["keys", "list", "-C", str(project_copy), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["keys"]
    assert row["used"] == {"requests": 3, "requests_this_minute": 3, "tokens": spent, "tokens_today": spent}
    assert row["tokens_per_day"] == 10
