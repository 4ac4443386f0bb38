"""The study from end to end with a deterministic generator: record, reuse, failures, verdict."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import GenerationError, LeakFound, ProjectLocked, StudyError
from twofold.project import Project
from twofold.reports import archive
from twofold.store.lock import ProjectLock
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Failure


def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts prompts given to the generator from now on."""
    seen: list[int] = []
    whole = EchoGenerator.generate

    def counted(self: Any, prompts: Any, **more: Any) -> Any:
        seen.append(len(prompts))
        return whole(self, prompts, **more)

    monkeypatch.setattr(EchoGenerator, "generate", counted)
    return seen


def test_the_record_holds_every_answer_and_no_bare_mean(project: Project) -> None:
    with project:
        record = project.study()
        splits = project.splits
    directory = project.records / record["study"]
    assert {p.name for p in directory.iterdir()} == {"study.json", "answers.jsonl.gz", "report.html", "verdict.json"}
    assert json.loads((directory / "study.json").read_text()) == record
    rows = archive.read_answers(directory)
    assert {row["id"] for row in rows} == {e.id for e in splits.test}
    assert set(record["arms"]) == {"base", "prompt", "rag", "oracle"}
    for arm in record["arms"].values():
        for name, estimate in arm["metrics"].items():
            assert estimate["low"] <= estimate["mean"] <= estimate["high"]
            applied = estimate["n"] + estimate["failed"]
            assert applied == len(rows) or (name.startswith("citation_") and applied < len(rows))
    texts = {d.id: d.text for d in project.documents}
    for row in rows:
        for answer in row["arms"].values():
            for hit in answer["hits"]:
                assert texts[hit["document"]][hit["start"] : hit["end"]] == hit["text"]
            for citation in answer["citations"]:
                assert citation["document"] in {hit["document"] for hit in answer["hits"]}
    assert record["arms"]["rag"]["metrics"]["token_f1"]["mean"] > record["arms"]["base"]["metrics"]["token_f1"]["mean"]
    assert record["retrieval"]["recall"]["mean"] > 0.5
    assert record["verdict"]["outcome"] in {"choose", "undecided", "none acceptable"}
    for test in record["self_test"]:
        # Of a fault, less is better.
        assert not test["n"] or test["gold"] == pytest.approx(0 if test["metric"] == "hallucination" else 1), test


def test_an_identical_study_is_returned_not_repeated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with project:
        first = project.study()
        seen = calls(monkeypatch)
        again = project.study()
    assert again == first
    assert seen == []
    assert archive.names(project.records) == [first["study"]]


def test_another_metric_makes_only_scores_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, fast: Callable[..., dict[str, Any]]
) -> None:
    with project:
        first = project.study()
    seen = calls(monkeypatch)
    changed = fast()
    changed["study"]["metric"] = "contains"
    with Project.open(project.directory, changed) as other:
        second = other.study()
    assert seen == []
    assert second["metric"] == "contains"
    assert second["study"] != first["study"]
    assert second["verdict"]["looks"] == 2


def test_failures_are_counted_and_in_no_mean(project: Project, fast: Callable[..., dict[str, Any]]) -> None:
    settings = fast(fail_every=4)
    settings["study"]["arms"] = ["rag"]
    settings["study"]["diagnostics"] = []
    with Project.open(project.directory, settings) as broken:
        record = broken.study()
    estimate = record["arms"]["rag"]["metrics"]["token_f1"]
    assert estimate["failed"] > 0
    assert sum(f["count"] for f in record["arms"]["rag"]["failures"]) == estimate["failed"]
    rows = archive.read_answers(broken.records / record["study"])
    scored = [row["arms"]["rag"]["scores"]["token_f1"] for row in rows if row["arms"]["rag"]["failure"] is None]
    assert estimate["mean"] == pytest.approx(sum(scored) / len(scored))
    assert all(row["arms"]["rag"]["scores"]["token_f1"] is None for row in rows if row["arms"]["rag"]["failure"])


class _Overloaded(BaseHTTPRequestHandler):
    """An endpoint that refuses every prompt."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        said = b'{"error": {"message": "no worker is free on this node"}}'
        self.send_response(503)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        pass


def endpoint(address: str, fast: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    options = {"model": "acme-large", "base_url": address, "retries": 0}
    return {**fast(), "generation": {"generator": {"name": "openai", "options": options}, "batch": 8}}


def test_a_study_in_which_every_answer_failed_says_why_and_where_and_leaves_no_record(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Overloaded) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        with (
            Project.open(project.directory, endpoint(address, fast)) as one,
            pytest.raises(GenerationError, match="no worker is free on this node") as raised,
        ):
            one.study()
        server.shutdown()
    assert address in raised.value.message
    assert "base 46 of 46, prompt 46 of 46, rag 46 of 46" in raised.value.message
    assert archive.names(one.records) == []


def test_an_endpoint_that_cannot_be_reached_ends_the_study_after_the_first_arm(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    seen = []
    with (
        Project.open(project.directory, endpoint(address, fast)) as one,
        pytest.raises(GenerationError, match="refused") as raised,
    ):
        one.study(progress=lambda stage, *_: seen.append(stage))
    assert address in raised.value.message
    assert "correct base_url" in raised.value.cure
    assert {stage.split()[-1] for stage in seen if stage.startswith("answer ")} == {"base"}


def test_the_plan_tells_what_is_cached(project: Project) -> None:
    with project:
        before = project.plan()
        project.study()
        after = project.plan()
    steps = {step["step"]: step for step in after.steps}
    assert all(step["cached"] == 0 for step in before.steps)
    assert steps["answer rag"]["cached"] == steps["answer rag"]["items"] > 0
    assert after.minutes < before.minutes
    assert 0 < after.prospect.least < 1


def test_a_second_writer_is_refused(project: Project) -> None:
    with project:
        project.sync()
        with ProjectLock(project.derived / "lock"), pytest.raises(ProjectLocked):
            project.study()


def test_leaks_are_dropped_or_refused(project: Project, fast: Callable[..., dict[str, Any]]) -> None:
    with project:
        test = project.splits.test[0]
        train = project.splits.train
    path = project.directory / "data" / "examples.jsonl"
    leak = {"id": "leak", "question": test.question, "answers": list(test.references), "doc_ids": [train[0].sources[0]]}
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(leak) + "\n")
    with Project.open(project.directory, fast()) as leaky:
        splits = leaky.splits
        sides = {e.id: e.split for part in (splits.train, splits.dev, splits.test) for e in part}
        assert not ({"leak", test.id} <= set(sides) and sides["leak"] != "test" and sides[test.id] == "test")
    strict = fast()
    strict["examples"] = {"on_leak": "error"}
    with Project.open(project.directory, strict) as refusing, pytest.raises(LeakFound):
        _ = refusing.splits


def test_showing_what_is_not_there_says_what_is(project: Project) -> None:
    with project, pytest.raises(StudyError) as caught:
        archive.find_record(project.records)
    assert "twofold study" in caught.value.cure


def test_ask_uses_the_same_system_as_the_study(project: Project) -> None:
    with project:
        record = project.study()
        question = project.splits.test[0]
        answer, told = project.ask(question.question, arm="rag")
        rows = archive.read_answers(project.records / record["study"])
    measured = next(row for row in rows if row["id"] == question.id)["arms"]["rag"]
    assert (told["arm"], told["key"], told["measured"]) == ("rag", record["arms"]["rag"]["key"], True)
    assert answer.text == measured["text"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "0001-x"
    directory.mkdir()
    (directory / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(StudyError, match=r"study\.json"):
        archive.read_record(directory)


def test_answers_repaired_after_a_failure_lead_to_a_new_record(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed while the generator was down is made again, and the verdict is reached anew."""
    whole = EchoGenerator.generate

    def down(self: Any, prompts: Any, **more: Any) -> Any:
        made = whole(self, prompts, **more)
        lost = Failure(code="generation.connection", message="refused")
        return [replace(one, text="", failure=lost) if n % 3 == 0 else one for n, one in enumerate(made)]

    with monkeypatch.context() as outage:
        outage.setattr(EchoGenerator, "generate", down)
        with project:
            broken = project.study()
    with Project.open(project.directory, project.config.model_dump(mode="json")) as up:
        repaired = up.study()
        assert up.study()["study"] == repaired["study"], "nothing failed and nothing changed since"
    assert broken["arms"]["base"]["failures"]
    assert not repaired["arms"]["base"]["failures"]
    assert repaired["study"] != broken["study"]
    assert repaired["arms"]["base"]["metrics"]["token_f1"]["n"] > broken["arms"]["base"]["metrics"]["token_f1"]["n"]


def test_a_study_by_shared_words_counts_no_right_answers_and_gives_no_f1_of_declining_where_nothing_was_to_be_declined(
    tmp_path: Path, folder: Path, fast: Callable[..., dict[str, Any]]
) -> None:
    Project.create(tmp_path / "project", folder).close()
    settings = fast()
    settings["study"] |= {"arms": ["base", "rag"], "metric": "rouge_l", "metrics": ["abstention_f1", "token_f1"]}
    with Project.open(tmp_path / "project", settings) as project:
        record = project.study()
    assert record["right_from"] is None
    assert not any("right" in arm for arm in record["arms"].values())
    assert "ROUGE-L does not tell whether answers are good enough" in record["verdict"]["headline"]
    asked = archive.read_answers(tmp_path / "project" / "studies" / record["study"])
    assert all(row["answerable"] for row in asked)
    assert not any("abstention_f1" in arm["metrics"] for arm in record["arms"].values())
    assert any("no unanswerable question is in the test set" in one for one in record["verdict"]["provisional"])
