"""Answers that fail: asked again in the study and by the next one, and never the end of the matter."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from twofold.project import Project
from twofold.reports import archive
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Completion, Failure


class Endpoint(ThreadingHTTPServer):
    """A chat endpoint that refuses a third of the prompts while it is `down`, or each prompt its first `times`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.down = False
        self.times = 0
        self.seen: dict[str, int] = {}

    def refuses(self, prompt: str) -> bool:
        self.seen[prompt] = self.seen.get(prompt, 0) + 1
        third = zlib.crc32(prompt.encode()) % 3 == 0
        return third and (self.down or self.seen[prompt] <= self.times)


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = self.server.refuses(body["messages"][-1]["content"])
        said = {"choices": [{"message": {"role": "assistant", "content": "Soil."}, "finish_reason": "stop"}]}
        told = json.dumps({"error": {"message": "out of order"}} if refused else said).encode()
        self.send_response(503 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def asking(endpoint: Endpoint, fast: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    address = f"http://127.0.0.1:{endpoint.server_address[1]}/v1"
    options = {"base_url": address, "model": "fake", "retries": 0}
    settings = fast()
    settings["generation"] = {"generator": {"name": "openai", "options": options}, "batch": 8}
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": [], "latency_sample": 0}
    return settings


def failures(record: Any) -> int:
    return sum(kind["count"] for arm in record["arms"].values() for kind in arm["failures"])


def test_a_rerun_answers_what_failed_and_writes_a_new_record(
    project: Project, endpoint: Endpoint, asking: dict[str, Any]
) -> None:
    endpoint.down = True
    with Project.open(project.directory, asking) as broken:
        first = broken.study()
        again = broken.study()
    assert failures(first) > 5
    assert again["study"] == first["study"], "the same answers failed in the same way: it is the same study"
    endpoint.down = False
    with Project.open(project.directory, asking) as mended:
        second = mended.study()
        kept = [mended.catalogue.answers.get(arm["key"], include_failures=True) for arm in second["arms"].values()]
        third = mended.study()
    assert failures(second) == 0
    assert not [answer for answers in kept for answer in answers.values() if answer.failure]
    assert second["study"] != first["study"]
    assert third == second, "an identical finished study is returned"
    shown = archive.read_record(mended.records / second["study"])
    assert {arm["metrics"]["token_f1"]["failed"] for arm in shown["arms"].values()} == {0}


def test_some_answers_mended_are_a_new_record_also_where_others_fail_still(
    project: Project, endpoint: Endpoint, asking: dict[str, Any]
) -> None:
    endpoint.down = True
    with Project.open(project.directory, asking) as broken:
        first = broken.study()
    endpoint.down, endpoint.times = False, 2
    refused = sorted(prompt for prompt in endpoint.seen if zlib.crc32(prompt.encode()) % 3 == 0)
    endpoint.seen = dict.fromkeys(refused[::2], 2)
    with Project.open(project.directory, asking) as half:
        second = half.study()
    assert 0 < failures(second) < failures(first)
    assert second["study"] != first["study"]


def test_what_fails_once_is_asked_again_within_the_study(
    project: Project, endpoint: Endpoint, asking: dict[str, Any]
) -> None:
    endpoint.times = 1
    with Project.open(project.directory, asking) as flaky:
        record = flaky.study()
    assert failures(record) == 0
    assert sum(times == 2 for times in endpoint.seen.values()) > 5, "a third was refused once"


def test_a_question_that_no_arm_can_answer_is_in_the_count_and_in_the_differences(
    project: Project, fast: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EchoGenerator._complete

    def failing(self: EchoGenerator, prompt: Any) -> Completion:
        asked = prompt.messages[-1].content.rsplit("Question", 1)[-1]
        if zlib.crc32(asked.encode()) % 3 == 0:
            return Completion(text="", failure=Failure(code="generation.too-long", message="too long"))
        return whole(self, prompt)

    monkeypatch.setattr(EchoGenerator, "_complete", failing)
    settings = fast()
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": [], "latency_sample": 0, "max_failed": 0.9}
    with Project.open(project.directory, settings) as held:
        record = held.study()
        test = len(held.splits.test)
        rows = archive.read_answers(held.records / record["study"])
    both = sum(all(arm["failure"] for arm in row["arms"].values()) for row in rows)
    assert both > 5
    (pair,) = record["comparisons"]
    assert pair["estimate"]["n"] == test
    for name, arm in record["arms"].items():
        scores = [row["arms"][name]["scores"][record["metric"]] for row in rows]
        assert arm["right"] == [sum(score is not None and score >= 0.5 for score in scores), test]
    shown = [sum(row["arms"][name]["scores"][record["metric"]] or 0.0 for row in rows) for name in ("rag", "base")]
    assert pair["estimate"]["mean"] == pytest.approx((shown[0] - shown[1]) / test)
    assert f" of {test} questions " in record["verdict"]["headline"]


def test_an_arm_that_fails_too_often_is_not_acceptable(
    project: Project, endpoint: Endpoint, asking: dict[str, Any]
) -> None:
    endpoint.down = True
    with Project.open(project.directory, asking) as broken:
        record = broken.study()
    for name, arm in record["arms"].items():
        count = sum(kind["count"] for kind in arm["failures"])
        assert any(f"{count} of {record['policy']['test']} (" in reason for reason in arm["objections"]), name
        assert not arm["acceptable"]
    assert record["verdict"]["outcome"] == "none acceptable"


def test_a_plan_counts_every_call_but_the_repeats_of_failed_ones(
    project: Project, endpoint: Endpoint, asking: dict[str, Any]
) -> None:
    asking["study"]["latency_sample"] = 3
    with Project.open(project.directory, asking) as opened:
        (told,) = opened.plan().unpriced
        opened.study()
    assert told == f"plus at most {sum(endpoint.seen.values())} calls to fake, repeats of failed ones aside, not priced"
