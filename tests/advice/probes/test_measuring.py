"""Probes of a real small project: what is asked of whom, what is kept, and what a second call costs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from forked import Nursery
from twofold.advice.probes import forecasts, measuring
from twofold.advice.probes.facts import probed_facts
from twofold.advice.probes.record import ForecastRecord
from twofold.errors import GenerationError, StoreError, TooFewExamples
from twofold.examples.questions import Questions
from twofold.project import Project
from twofold.testing.echo_generator import EchoGenerator
from twofold.testing.projects import FAST, make_project

CHILD = """
import json, sys
from pathlib import Path
from twofold.project import Project
with Project.open(Path(sys.argv[1]), json.loads(sys.argv[2])) as project:
    project.probing.run(minutes=0.5)
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that was probed once."""
    with make_project(tmp_path_factory.mktemp("probed") / "project") as project:
        project.probing.run(minutes=0.5, at="2026-01-01T00:00:00+00:00")
        yield project


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of prompts given to the generator from now on, a call each."""
    seen: list[int] = []
    whole = EchoGenerator.generate

    def counted(self: Any, prompts: Any, **more: Any) -> Any:
        seen.append(len(prompts))
        return whole(self, prompts, **more)

    monkeypatch.setattr(EchoGenerator, "generate", counted)
    return seen


def test_the_forecast_has_the_shares_and_the_arms_with_intervals(probed: Project) -> None:
    record = probed.probing.forecasts()[-1]
    assert record["created"] == "2026-01-01T00:00:00+00:00"
    assert set(record["probes"]) == {"p", "R", "U"}, "nothing is right without passages, so nothing can be spoilt"
    assert record["gain"] is not None
    assert record["gain"]["low"] > 0
    assert set(record["arms"]) == {"base", "rag"}
    for arm in record["arms"].values():
        score, expected = arm["score"], arm["expected"]
        assert expected["low"] <= score["low"] <= score["mean"] <= score["high"] <= expected["high"]
    assert {warning["code"] for warning in record["warnings"]} >= {"nothing-unanswerable"}


def test_no_test_question_is_asked(probed: Project) -> None:
    catalogue, splits = probed.catalogue, probed.splits
    record = probed.probing.forecasts()[-1]
    asked = set(chain.from_iterable(catalogue.answers.get(arm["system"]) for arm in record["arms"].values()))
    assert asked <= {*splits.train.digests, *splits.dev.digests}
    assert asked.isdisjoint(splits.test.digests)
    assert record["sample"]["splits"] == ["train", "dev"]


def test_the_oracle_is_asked_only_what_was_wrong_without_passages(probed: Project) -> None:
    oracle = next(
        key
        for key, made_of in probed.catalogue.systems.descriptions().items()
        if made_of.get("retrieval", {}).get("oracle")
    )
    record = probed.probing.forecasts()[-1]
    assert len(probed.catalogue.answers.get(oracle)) == record["probes"]["U"]["n"]


def test_a_second_probe_asks_nothing_and_changes_nothing(probed: Project, prompts: list[int]) -> None:
    before = probed.probing.forecasts()
    again = probed.probing.run(minutes=0.5, at="2027-01-01T00:00:00+00:00")
    assert prompts == []
    assert probed.probing.forecasts() == before
    assert again == before[-1]


def test_a_study_has_the_same_systems_as_the_probe(probed: Project) -> None:
    """So that its record can be compared with the forecast."""
    record, study = probed.probing.forecasts()[-1], probed.study()
    for name in ("base", "rag"):
        assert study["arms"][name]["key"] == record["arms"][name]["system"]


def answered(directory: Path) -> int:
    """Answers that a project has."""
    with closing(sqlite3.connect(directory / ".twofold" / "catalogue.sqlite")) as connection:
        if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'answers'").fetchall():
            return 0
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def test_a_probe_that_was_killed_goes_on_where_it_was(tmp_path: Path, probed: Project, nursery: Nursery) -> None:
    """kill -9 among the answers, rerun: the forecast is that of a probe that nobody stopped, and nothing is lost."""
    slow: Any = {**FAST, "generation": {"generator": {"name": "echo", "options": {"stall_seconds": 0.05}}, "batch": 8}}
    directory = tmp_path / "project"
    make_project(directory).close()
    child = nursery.start(CHILD, str(directory), json.dumps(slow))
    deadline = time.monotonic() + 90
    while child.poll() is None and time.monotonic() < deadline:
        if (directory / ".twofold" / "catalogue.sqlite").exists() and answered(directory) > 70:
            break
        time.sleep(0.02)
    assert child.poll() is None, "it was to be killed among its answers"
    child.kill()
    child.wait()
    first = answered(directory)
    assert not (directory / forecasts.FOLDER).exists()
    with Project.open(directory, slow) as project:
        record = project.probing.run(minutes=0.5)
    expected = probed.probing.forecasts()[-1]
    assert first > 70
    assert answered(directory) == sum(record["probes"][name]["n"] for name in ("p", "p", "U"))
    for field in ("probes", "gain", "counted", "legs", "warnings"):
        assert record[field] == expected[field]  # type: ignore[literal-required]


def test_a_small_budget_asks_the_first_of_the_questions_that_a_large_one_asks(probed: Project) -> None:
    pool, names = measuring.drawn(probed.workspace.search, probed.splits)
    assert names == ("train", "dev")
    assert measuring._affordable(60.0, 12, 500, minutes=1) == 12
    assert measuring._affordable(12.0, 12, 500, minutes=1) == 60
    assert measuring._affordable(12.0, 12, 40, minutes=1) == 40
    assert measuring._affordable(0.0, 12, 500, minutes=1) == measuring.MOST
    again, _ = measuring.drawn(probed.workspace.search, probed.splits)
    assert Questions.of(again).digests == pool.digests


def test_without_train_and_dev_there_is_nothing_to_probe_with(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", settings={"examples": {"train": 0.0, "dev": 0.0, "test": 1.0}})
    with project, pytest.raises(TooFewExamples, match="train and dev"):
        project.probing.run(minutes=0.1)


def test_a_generator_that_fails_always_ends_the_probe(tmp_path: Path) -> None:
    broken = {"generation": {"generator": {"name": "echo", "options": {"fail_every": 1}}}}
    with make_project(tmp_path / "p", settings=broken) as project:
        with pytest.raises(GenerationError, match="failed on purpose"):
            project.probing.run(minutes=0.1)
        assert project.probing.forecasts() == []


def test_answers_that_fail_are_counted_and_left_out(tmp_path: Path) -> None:
    shaky = {"generation": {"generator": {"name": "echo", "options": {"fail_every": 5}}}}
    with make_project(tmp_path / "p", settings=shaky) as project:
        record = project.probing.run(minutes=0.1)
    assert record["sample"]["failed"] > 0
    assert record["probes"]["p"]["n"] < record["sample"]["questions"]


def test_a_project_without_documents_has_a_closed_book_forecast(tmp_path: Path) -> None:
    closed = {"study": {"arms": ["base", "prompt"], "diagnostics": []}, "documents": {"paths": []}}
    with make_project(tmp_path / "p", settings=closed) as project:
        record = project.probing.run(minutes=0.1)
    assert set(record["arms"]) == {"base"}
    assert (record["gain"], record["counted"], record["k"]) == (None, None, 0)
    assert messages(record) == {}, "where there is nothing to read, nothing is left out"


def test_a_metric_that_calls_no_answer_right_has_scores_and_no_shares_of_right_answers(tmp_path: Path) -> None:
    graded: Any = {"study": {"arms": ["base", "rag"], "diagnostics": [], "metric": "rouge_l"}}
    with make_project(tmp_path / "p", questions=60, settings=graded) as project:
        record = project.probing.run(minutes=0.1)
    assert set(record["probes"]) == {"R"}
    assert (record["gain"], record["counted"]) == (None, None)
    assert set(record["arms"]) == {"base", "rag"}
    assert record["arms"]["rag"]["means"].startswith("answers of the sample")
    assert "no-right-answer" in messages(record)
    assert "base-already-answers" not in messages(record), "a score above 0 is no right answer"
    assert "closedbook" not in {fact.criterion for fact in probed_facts(record)}


def messages(record: ForecastRecord) -> dict[str, str]:
    """Code of each warning → its words."""
    return {warning["code"]: warning["message"] for warning in record["warnings"]}


def test_arms_that_are_to_read_and_have_no_document_are_named(tmp_path: Path) -> None:
    none: Any = {"study": {"arms": ["base", "rag"], "diagnostics": []}, "documents": {"paths": []}}
    with make_project(tmp_path / "p", questions=60, settings=none) as project:
        record = project.probing.run(minutes=0.1)
    assert "name files in [documents].paths" in messages(record)["retrieval-not-probed"]


def test_an_index_that_no_arm_of_the_study_reads_is_not_probed(tmp_path: Path) -> None:
    closed: Any = {"study": {"arms": ["base"], "diagnostics": []}}
    with make_project(tmp_path / "p", questions=60, settings=closed) as project:
        project.sync()
        record = project.probing.run(minutes=0.1)
    assert set(record["arms"]) == {"base"}
    assert 'add "rag" to it' in messages(record)["retrieval-not-probed"]


def test_a_damaged_forecast_is_named(tmp_path: Path) -> None:
    folder = tmp_path / forecasts.FOLDER
    folder.mkdir(parents=True)
    for text in ("{", "[]", "{}", '{"format": 1, "created": "yesterday"}'):
        (folder / "1.json").write_text(text, encoding="utf-8")
        with pytest.raises(StoreError, match="cannot be read"):
            forecasts.stored(folder)
    (folder / "1.json").write_text(json.dumps({"format": 99}), encoding="utf-8")
    with pytest.raises(StoreError, match="newer"):
        forecasts.stored(folder)
