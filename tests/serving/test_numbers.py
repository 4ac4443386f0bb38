"""Numbers that are looked at when they are collected: the index, what is down, what alarms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families  # noqa: TID253
from serving_process import served

from twofold.errors import PartDown, StoreError
from twofold.serving.counters import Counters
from twofold.serving.degradation import Breaker
from twofold.serving.numbers import IndexNumbers, Number, log_numbers
from twofold.types import IndexState, IndexVersion

STATE = IndexState(version=3, chunks=5, documents=2, content="content:a", fingerprint="a")


def arms_of(index: Any, *, down: tuple[Breaker, ...] = ()) -> Any:
    @contextmanager
    def using() -> Iterator[list[Any]]:
        yield [SimpleNamespace(name="rag", waiting=lambda: 4, down=lambda: down, index=index)]

    return SimpleNamespace(using=using)


def values(numbers: Iterator[Number]) -> dict[str, float]:
    return {number.name: number.value for number in numbers}


def test_the_age_is_that_of_the_present_version_and_versions_are_listed_once() -> None:
    listings = 0

    def versions() -> list[IndexVersion]:
        nonlocal listings
        listings += 1
        return [IndexVersion(version=number, at=f"2026-11-30T10:0{number}:00Z", chunks=1) for number in (1, 2, 3)]

    moment = 1796032980.0 + 60  # 2026-11-30T10:03:00Z, a minute later
    look = IndexNumbers(arms_of(lambda: STATE), versions, clock=lambda: moment)
    for _ in range(3):
        assert values(look()) == {
            "twofold_queue_length": 4,
            "twofold_index_version": 3,
            "twofold_index_documents": 2,
            "twofold_index_chunks": 5,
            "twofold_index_age_seconds": 60,
        }
    assert listings == 1


def test_of_an_index_that_is_down_nothing_is_told_but_that() -> None:
    def index() -> IndexState:
        raise PartDown("the index is down")

    down = Breaker("the index")
    down.failed("index.damaged", "gone")
    look = IndexNumbers(arms_of(index, down=(down,)), list)
    assert values(look()) == {"twofold_queue_length": 4, "twofold_part_down": 1}


def test_numbers_that_fail_are_counted_and_leave_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Number]:
        yield Number(name="twofold_a", help="A.", value=1)
        raise StoreError("the disk is gone")

    looks = [broken, lambda: log_numbers({"use": lambda: "disk full", "labels": lambda: ""})]
    text = Counters(later=lambda: 0.0, looks=looks).text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert "twofold_a" not in families
    assert {s.labels["log"]: s.value for s in families["twofold_log_failing"].samples} == {"use": 1, "labels": 0}
    assert "the disk is gone" in caplog.text


def test_a_bucket_leads_to_a_request(measured: Path) -> None:
    body = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
    with served(measured) as server, server.client() as client:
        name = client.post("/v1/chat/completions", json=body).headers["x-request-id"]
        plain = client.get("/metrics")
        reply = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "request_id" not in plain.text
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")
    for histogram in ("request", "retrieval", "generation", "first_token", "queue"):
        buckets = [line for line in reply.text.splitlines() if line.startswith(f"twofold_{histogram}_seconds_bucket")]
        assert any(f'request_id="{name}"' in line for line in buckets), histogram
    families = {family.name: family for family in text_string_to_metric_families(plain.text)}
    assert families["twofold_index_documents"].samples[0].value == 2
    outcomes = {sample.labels["outcome"]: sample.value for sample in families["twofold_answers"].samples[:3]}
    assert outcomes == {"answered": 1, "abstained": 0, "failed": 0}
