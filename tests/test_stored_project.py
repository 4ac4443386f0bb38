"""A project stored by the version before the packages moved opens, answers and repeats its study as it did."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from twofold.errors import IndexMismatch
from twofold.metrics import overlap
from twofold.plugins import loading
from twofold.project import Project
from twofold.retrieval.analysis import ANALYSIS

STORED = Path(__file__).parent / "samples" / "stored_project.tar.xz"
"""Forty bundled questions, hashing embedder, echo generator, arms base, rag and ft+rag with a stand-in's adapter."""


@pytest.fixture
def as_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    # Scores of a later version are another look at the same questions: the metrics are those of that day.
    monkeypatch.setattr(overlap._Overlap, "version", 7)
    monkeypatch.setattr(overlap.AnswerF1, "version", 8)
    with loading.registered("trainers", "one", stand_in_trainer.StandIn):
        yield tmp_path / "stored_project"


@pytest.fixture
def stored(as_stored: Path) -> Path:
    described = as_stored / ".twofold" / "index" / "index.json"
    settings = json.loads(described.read_text(encoding="utf-8"))
    # The English words of this index have the same terms in every analysis since.
    described.write_text(json.dumps({**settings, "analysis": ANALYSIS}), encoding="utf-8")
    return as_stored


def test_an_index_of_an_earlier_analysis_is_made_again_and_answers_as_before(as_stored: Path) -> None:
    expected: Any = json.loads((as_stored / "expected.json").read_text(encoding="utf-8"))
    with Project.open(as_stored) as project, pytest.raises(IndexMismatch, match="made with analysis 5"):
        project.ask(expected["question"], arm="rag")
    with Project.open(as_stored) as project:
        project.sync(rebuild=True)
        answer, provenance = project.ask(expected["question"], arm="rag")
    assert (answer.text, provenance["key"]) == (expected["rag"]["text"], expected["rag"]["key"])


@pytest.mark.parametrize("arm", ["rag", "ft+rag"])
def test_questions_are_answered_as_before(stored: Path, arm: str) -> None:
    expected: Any = json.loads((stored / "expected.json").read_text(encoding="utf-8"))
    with Project.open(stored) as project:
        answer, provenance = project.ask(expected["question"], arm=arm)
    assert answer.text == expected[arm]["text"]
    assert len(answer.citations) == expected[arm]["citations"]
    assert (provenance["key"], provenance["measured"]) == (expected[arm]["key"], True)
    assert provenance["model"] == expected[arm]["model"]


def test_a_sync_finds_nothing_to_do(stored: Path) -> None:
    with Project.open(stored) as project:
        report = project.sync()
    assert (report["added"], report["changed"], report["deleted"]) == (0, 0, 0)


def test_the_study_repeated_computes_nothing_and_says_the_same(stored: Path, tmp_path: Path) -> None:
    expected: Any = json.loads((stored / "expected.json").read_text(encoding="utf-8"))
    with Project.open(stored) as project:
        record = project.study()
    assert record["verdict"]["sentence"] == expected["verdict"]
    assert not (tmp_path / "trained").exists(), "an adapter was trained again"
