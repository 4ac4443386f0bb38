"""Projects stored by earlier versions open, answer, show and repeat their study as they did."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from twofold.errors import IndexMismatch, StudyError
from twofold.metrics import overlap
from twofold.plugins import loading
from twofold.project import Project
from twofold.reports import archive
from twofold.reports.study_page import render_summary
from twofold.retrieval.analysis import ANALYSIS

SAMPLES = Path(__file__).parent / "samples"
EARLIEST = "stored_project_0"
"""Of the first day on which a study ran: catalogue of version 1, index of format 1, neither looks nor certificate."""
FIRST = "stored_project"
"""Before the packages moved: forty bundled questions, hashing embedder, echo generator, a stand-in's adapter."""
SECOND = "stored_project_2"
"""Written by `store_project.py`: the same, with a document that is forgotten and an alias that points to the model."""


def opened(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Unpack a stored project; the metrics are those of its day, for later scores are another look."""
    with tarfile.open(SAMPLES / f"{name}.tar.xz") as stored_files:
        stored_files.extractall(directory, filter="data")
    monkeypatch.setenv("TRAINED", str(directory / "trained"))
    versions = expected(directory / name).get("versions", {"overlap": 7, "answer_f1": 8})
    monkeypatch.setattr(overlap._Overlap, "version", versions["overlap"])
    monkeypatch.setattr(overlap.AnswerF1, "version", versions["answer_f1"])
    monkeypatch.setattr(overlap.RougeL, "version", versions.get("rouge_l", 1))
    return directory / name


def expected(directory: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((directory / "expected.json").read_text(encoding="utf-8"))
    return described


@pytest.fixture(autouse=True)
def trainer() -> Iterator[None]:
    with loading.registered("trainers", "one", stand_in_trainer.StandIn):
        yield


@pytest.fixture(params=[FIRST, SECOND])
def stored(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = opened(request.param, tmp_path, monkeypatch)
    described = directory / ".twofold" / "index" / "index.json"
    settings = json.loads(described.read_text(encoding="utf-8"))
    # The English words of these indexes have the same terms in every analysis since.
    described.write_text(json.dumps({**settings, "analysis": ANALYSIS}), encoding="utf-8")
    return directory


def test_an_index_of_an_earlier_analysis_is_made_again_and_answers_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened(FIRST, tmp_path, monkeypatch)
    before = expected(directory)
    with Project.open(directory) as project, pytest.raises(IndexMismatch, match="made with analysis 5"):
        project.ask(before["question"], arm="rag")
    with Project.open(directory) as project:
        project.sync(rebuild=True)
        answer, provenance = project.ask(before["question"], arm="rag")
    assert (answer.text, provenance["key"]) == (before["rag"]["text"], before["rag"]["key"])


@pytest.mark.parametrize("arm", ["rag", "ft+rag"])
def test_questions_are_answered_as_before(stored: Path, arm: str) -> None:
    before = expected(stored)
    with Project.open(stored) as project:
        answer, provenance = project.ask(before["question"], arm=arm)
    assert answer.text == before[arm]["text"]
    assert len(answer.citations) == before[arm]["citations"]
    assert (provenance["key"], provenance["measured"]) == (before[arm]["key"], True)
    assert provenance["model"] == before[arm]["model"]


def test_a_sync_finds_nothing_to_do(stored: Path) -> None:
    with Project.open(stored) as project:
        report = project.sync()
    assert (report["added"], report["changed"], report["deleted"]) == (0, 0, 0)


def test_the_study_repeated_computes_nothing_and_says_the_same(stored: Path, tmp_path: Path) -> None:
    looks = (stored / "studies" / "looks.jsonl").read_text(encoding="utf-8")
    with Project.open(stored) as project:
        record = project.study()
    assert record["verdict"]["sentence"] == expected(stored)["verdict"]
    assert not (tmp_path / "trained").exists(), "an adapter was trained again"
    assert (stored / "studies" / "looks.jsonl").read_text(encoding="utf-8") == looks, "it was counted as another look"


def test_the_stored_study_is_shown_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = opened(SECOND, tmp_path, monkeypatch)
    with Project.open(directory) as project:
        assert render_summary(archive.find_record(project.records, "")) == expected(directory)["summary"]


def test_aliases_and_what_was_forgotten_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = opened(SECOND, tmp_path, monkeypatch)
    tuned = expected(directory)["ft+rag"]["model"]
    with Project.open(directory) as project:
        registry = project.models.registry
        assert (registry.find("champion")["id"], registry.history("champion")) == (tuned, [tuned])
        assert project.workspace.catalogue.models.alias_moves()[0]["why"] == "it won"
        assert project.models.card("champion")
        project.sync()
        assert "secret" not in {document.id for document in project.documents}
        assert "secret" not in project.workspace.search.index.documents()


def test_the_earliest_project_is_shown_answers_and_is_studied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened(EARLIEST, tmp_path, monkeypatch)
    before = expected(directory)
    with Project.open(directory) as project:
        record = archive.find_record(project.records, "")
        assert record["verdict"]["sentence"] == before["verdict"]
        # A minus was a hyphen then; words and numbers are the same.
        assert before["verdict"].endswith(render_summary(record).partition("\n")[0].replace("−", "-"))
        with pytest.raises(IndexMismatch, match="made with format 1, and 4 is needed now"):
            project.ask(before["question"], arm="rag")
        project.sync(rebuild=True)
        answer, _ = project.ask(before["question"], arm="rag")
        assert answer.text == before["rag"]["text"]
        assert len(project.study()["arms"]) == 2
        assert len(archive.names(project.records)) == 2
    assert (directory / ".twofold" / "catalogue.before-upgrade.sqlite").is_file()


def test_an_index_of_a_later_format_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened(SECOND, tmp_path, monkeypatch)
    described = directory / ".twofold" / "index" / "index.json"
    settings = json.loads(described.read_text(encoding="utf-8"))
    described.write_text(json.dumps({**settings, "format": 99}), encoding="utf-8")
    with Project.open(directory) as project, pytest.raises(IndexMismatch, match="format 99, and 4") as caught:
        project.ask(expected(directory)["question"], arm="rag")
    assert "--rebuild" in caught.value.cure


def test_a_study_of_a_later_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = opened(SECOND, tmp_path, monkeypatch)
    path = next((directory / "studies").glob("*/study.json"))
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**stored, "format": 99}), encoding="utf-8")
    with pytest.raises(StudyError, match="newer Twofold") as caught:
        archive.read_record(path.parent)
    assert "Upgrade" in caught.value.cure
