"""`twofold diagnose` on a real project: the study stays, its report gets the ledger, changed arms are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import planted
import small_project
from price_table import PRICES
from small_project import write_documents
from twofold.cli.main import main
from twofold.errors import StudyError
from twofold.metrics.overlap import ExactMatch
from twofold.plugins import loading, protocols
from twofold.project import Project
from twofold.reports import archive
from twofold.study.diagnosing import Scope
from twofold.testing.fact_generator import FactGenerator
from twofold.types import Answer, Example

SETTINGS = """
[generation]
max_tokens = 24
[retrieval]
k = 2
retriever = {name = "hybrid", options = {lexical = 0.5}}
index = {name = "memory"}
[study]
arms = ["base", "rag"]
diagnostics = []
metric = "exact_match"
metrics = []
resamples = 400
latency_sample = 2
"""
Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module", autouse=True)
def facts() -> Iterator[None]:
    with loading.registered("generators", "facts", FactGenerator):
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of facts, some of whose passages state another answer first, with its study."""
    world = planted.world()
    planted.distractors(world)
    directory = tmp_path_factory.mktemp("diagnosed") / "facts"
    documents = [{"id": d.id, "title": d.title, "text": d.text} for d in world.documents]
    write_documents(directory, documents)
    examples = []
    for e in world.examples:
        examples.append({"id": e.id, "question": e.question, "answers": list(e.references), "doc_ids": [e.id]})
    (directory / "data" / "examples.jsonl").write_text("\n".join(map(json.dumps, examples)), encoding="utf-8")
    settings = small_project.SETTINGS.replace('name = "echo"', 'name = "facts"') + SETTINGS
    (directory / "twofold.toml").write_text(settings, encoding="utf-8")
    with Project.open(directory) as project:
        project.study()
    return directory


@pytest.fixture
def place(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "facts"))


@pytest.fixture
def call(place: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(["diagnose", *words, "--json", "-C", str(place)])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return run


def test_every_wrong_answer_has_one_cause_and_the_study_stays_as_it_was(call: Call, place: Path) -> None:
    study = next((place / "studies").glob("0001-*"))
    before = {name: (study / name).read_bytes() for name in ("study.json", "answers.jsonl.gz")}
    code, value, err = call("--arm", "rag")
    assert code == 0
    assert "rag: 7 wrong answers (of 15) take at most" in err
    rag = value["arms"]["rag"]
    wrong = [row for row in archive.read_answers(study) if row["arms"]["rag"]["scores"]["exact_match"] < 0.5]
    assert [row["id"] for row in rag["rows"]] == [row["id"] for row in wrong]
    assert {row["cause"] for row in rag["rows"]} == {"ignored"}
    assert {name: (study / name).read_bytes() for name in before} == before
    report = (study / "report.html").read_text(encoding="utf-8")
    assert value["report"] == str(study / "report.html")
    assert "Next best fix of rag" in report
    assert "Decided by: gold passage put first" in report
    again = call("--arm", "rag")[1]
    assert again["arms"]["rag"]["rows"] == rag["rows"]
    # Another arm joins what was diagnosed before.
    assert set(call("--arm", "base")[1]["arms"]) == {"base"}
    stored = archive.read_diagnosis(study)
    assert stored is not None
    assert set(stored["arms"]) == {"rag", "base"}
    assert {row["cause"] for row in stored["arms"]["base"]["rows"]} == {"not-known"}


class Judge:
    """Stands in for a judge at an endpoint: exact match, every call of which is counted."""

    version: ClassVar[int] = 1
    calls: ClassVar[list[str]] = []

    class Options(protocols.Options):
        """The address makes it one that is paid."""

        base_url: str = "http://127.0.0.1:9/v1"

    def __init__(self, options: Options) -> None:
        self._metric = ExactMatch(ExactMatch.Options())

    def score(self, example: Example, answer: Answer) -> float | None:
        self.calls.append(answer.text)
        return self._metric.score(example, answer)


def test_a_paid_judge_is_asked_nothing_twice_and_nothing_for_a_plan(place: Path) -> None:
    with loading.registered("metrics", "judge", Judge), Project.open(place, {"study": {"metric": "judge"}}) as project:
        record = project.study()
        Judge.calls.clear()
        [plan] = project.diagnosis.plan(Scope(arms=("rag",)))
        assert plan.wrong
        assert Judge.calls == [], "the study has the scores, and a plan pays for none"
        first = project.diagnosis.run(Scope(arms=("rag",)))["arms"]["rag"]
        count = len(Judge.calls)
        # The references of wrong answers, and re-runs; never the answers that the study paid for.
        assert 0 < count <= plan.wrong + first["reruns"]
        assert len(set(Judge.calls)) > plan.wrong
        again = project.diagnosis.run(Scope(arms=("rag",)))["arms"]["rag"]
        assert len(Judge.calls) == count
        assert again["rows"] == first["rows"]
    assert len(first["rows"]) == sum(
        1
        for row in archive.read_answers(place / "studies" / record["study"])
        if row["arms"]["rag"]["scores"]["judge"] < 0.5
    )


def test_an_answer_counts_as_the_study_scored_it(place: Path) -> None:
    study = next((place / "studies").glob("0001-*"))
    record, rows = archive.read_record(study), archive.read_answers(study)
    right = next(row for row in rows if row["arms"]["rag"]["scores"]["exact_match"] == 1)
    right["arms"]["rag"]["scores"]["exact_match"] = 0.0
    shutil.rmtree(study)
    archive.write_record(study, record, rows)
    with Project.open(place) as project:
        diagnosed = project.diagnosis.run(Scope(arms=("rag",), fixes=False))["arms"]["rag"]["rows"]
    assert right["id"] in {row["id"] for row in diagnosed}


def test_levers_are_priced_by_the_table_of_prices(call: Call, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "prices.csv").write_text(PRICES, encoding="utf-8")
    levers = call("--arm", "rag", "--set", "costs.serving=hosted")[1]["arms"]["rag"]["levers"]
    assert levers
    assert all(lever["currency"] == "EUR" and lever["price"] is not None for lever in levers)
    # The model runs on this machine: the price of a hosted model's tokens says nothing of it.
    assert {lever["price"] for lever in call("--arm", "rag")[1]["arms"]["rag"]["levers"]} == {None}


def test_the_plan_runs_nothing(call: Call, place: Path) -> None:
    code, value, _ = call("--plan")
    assert code == 0
    assert value[0]["arm"] == "rag"
    assert 0 < value[0]["diagnosed"] < value[0]["reruns"]
    assert archive.read_diagnosis(next((place / "studies").glob("0001-*"))) is None


def test_a_plan_embeds_no_query_and_is_an_upper_bound(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def paid(*_: Any, **__: Any) -> Any:
        raise AssertionError("a plan searches for nothing")

    with Project.open(place) as project:
        [free] = project.diagnosis.plan(Scope(arms=("rag",)))
        monkeypatch.setattr(project.workspace.search.embedder, "embed", paid)
        assert project.diagnosis.plan(Scope(arms=("rag",))) == [free]
        monkeypatch.undo()
        assert project.diagnosis.run(Scope(arms=("rag",), fixes=False))["arms"]["rag"]["reruns"] <= free.reruns


def test_for_people_the_ledger_adds_up_beside_cures_and_levers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-C", str(place), "--limit", "3", "-q"]) == 0
    text = capsys.readouterr().out
    assert "3 diagnosed" in text
    assert "100 % [" in text
    assert "next best fix: gain in exact match" in text
    assert "wrong answers were not diagnosed: raise --limit" in text


def test_an_arm_that_changed_since_is_refused(call: Call, place: Path) -> None:
    code, value, _ = call("--arm", "rag", "--set", "retrieval.k=1")
    assert code == 3
    assert "the arm rag is not the one that study 0001-project measured" in value["error"]["message"]
    assert "Run `twofold study` again" in value["error"]["cure"]


def test_the_limit_of_a_first_look_is_named_as_what_differs(call: Call, place: Path) -> None:
    code, value, _ = call("--arm", "rag", "--set", "retrieval.k=1", "--set", "examples.limit=500")
    assert code == 3
    assert "give --set examples.limit=0." in value["error"]["cure"]


def test_unknown_arms_and_metrics_are_named_with_a_cure(call: Call, place: Path) -> None:
    code, value, _ = call("--arm", "ft")
    assert code == 2
    assert value["error"]["cure"].startswith("Name one of its arms: base, rag")
    code, value, _ = call("--set", "study.metric=contains")
    assert code == 3
    assert "decided by exact_match" in value["error"]["message"]


def test_contradictory_answers_are_named_and_their_reference_is_at_fault(place: Path) -> None:
    rows = archive.read_answers(next((place / "studies").glob("0001-*")))
    right = next(row for row in rows if row["arms"]["rag"]["scores"]["exact_match"] == 1)
    with Project.open(place):
        path = place / "data" / "examples.jsonl"
        line = {"id": "twin", "question": right["question"], "answers": ["Elsewhere"], "doc_ids": right["sources"]}
        path.write_text(path.read_text(encoding="utf-8").rstrip() + "\n" + json.dumps({**line, "split": "test"}))
    with Project.open(place) as project:
        project.study()
        record = project.diagnosis.run(Scope(arms=("rag",)))
    assert any("1 pair of examples that ask the same want different answers" in note for note in record["notes"])
    twin = next(row for row in record["arms"]["rag"]["rows"] if row["id"] == "twin")
    assert (twin["cause"], twin["trials"]) == ("reference", [])
    assert twin["detail"] == f"example {right['id']} asks the same and wants this answer"


def test_a_metric_that_calls_no_answer_right_is_named(place: Path) -> None:
    with Project.open(place, {"study": {"metric": "rouge_l"}}) as project:
        project.study()
        record = project.diagnosis.run(Scope(arms=("rag",), fixes=False))
    assert any("rouge_l does not say from which score an answer is right" in note for note in record["notes"])
    rows = archive.read_answers(next((place / "studies").glob("0002-*")))
    assert record["arms"]["rag"]["wrong"] == sum(row["arms"]["rag"]["scores"]["rouge_l"] == 0 for row in rows)


def test_a_forgotten_document_leaves_the_diagnosis_too(call: Call, place: Path) -> None:
    rows = call("--arm", "rag")[1]["arms"]["rag"]["rows"]
    study = next((place / "studies").glob("0001-*"))
    document = rows[0]["id"]  # of the example and of its document
    archive.redact(study, document, ())
    diagnosis = archive.read_diagnosis(study)
    assert diagnosis is not None
    assert document not in {row["id"] for row in diagnosis["arms"]["rag"]["rows"]}
    assert diagnosis["arms"]["rag"]["ledger"][0]["count"] == len(rows)


def test_a_document_that_only_a_rerun_showed_leaves_the_report_too(call: Call, place: Path) -> None:
    call("--arm", "rag")
    study = next((place / "studies").glob("0001-*"))
    diagnosis = archive.read_diagnosis(study)
    assert diagnosis is not None
    row = diagnosis["arms"]["rag"]["rows"][0]
    trial = row["trials"][0]
    trial["text"], trial["passages"] = "words of a secret", [{"document": "secret", "start": 0, "end": 5}]
    archive.write_diagnosis(study, diagnosis)
    assert "words of a secret" in (study / "report.html").read_text(encoding="utf-8")
    answers = archive.read_answers(study)
    assert archive.redact(study, "secret", ()) == 0, "no answer of the study showed it"
    assert archive.read_answers(study) == answers
    for name in ("diagnosis.json", "report.html"):
        assert "words of a secret" not in (study / name).read_text(encoding="utf-8"), name


def test_remarks_on_an_arm_stay_while_another_is_diagnosed(call: Call, place: Path) -> None:
    call("--arm", "rag", "--limit", "1")
    notes = call("--arm", "base", "--no-fixes")[1]["notes"]
    assert any(note.startswith("rag: ") and note.endswith("raise --limit") for note in notes)


@pytest.mark.parametrize(
    "damaged", ['{"format": 1', "[]", "null", "{}", '{"format": 1}', '{"format": "x", "arms": {}}']
)
def test_a_damaged_diagnosis_is_named_and_the_command_that_its_cure_names_mends_it(
    call: Call, place: Path, damaged: str
) -> None:
    (study,) = (place / "studies").glob("0001-*")
    (study / "diagnosis.json").write_text(damaged, encoding="utf-8")
    with pytest.raises(StudyError, match="diagnosis cannot be read") as caught:
        archive.read_diagnosis(study)
    assert caught.value.cure == "Run `twofold diagnose` again."
    assert call("--arm", "base", "--limit", "1")[0] == 0
    mended = archive.read_diagnosis(study)
    assert mended is not None
    assert set(mended["arms"]) == {"base"}


def test_a_metric_with_other_options_than_the_study_had_is_refused(call: Call, place: Path) -> None:
    path = next((place / "studies").glob("0001-*")) / "study.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["config"]["study"]["metric"] = {"name": "exact_match", "options": {"strict": True}}
    path.write_text(json.dumps(record), encoding="utf-8")
    code, value, _ = call("--plan")
    assert code == 3
    assert "decided by exact_match with other options" in value["error"]["message"]
