"""Answers judged by passages in a whole study: their own where the arm retrieves, else the best of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from small_project import write_project
from twofold import Project
from twofold.errors import ConfigError
from twofold.plugins import loading
from twofold.reports.archive import read_record
from twofold.reports.study_page import render_summary
from twofold.settings.sections import MetricPart
from twofold.study.judging import RightAnswers, right_answers
from twofold.testing.projects import make_project

CROPS = {
    "barley": ("Barley is sown in March.", "Sow barley at a depth of four centimetres."),
    "wheat": ("Wheat is sown in October.", "Sow wheat at a depth of three centimetres."),
    "maize": ("Maize is sown in May.", "Sow maize at a depth of five centimetres."),
    "oats": ("Oats are sown in April.", "Sow oats at a depth of two centimetres."),
}
DOCUMENTS = [{"id": name, "title": name, "text": " ".join(lines)} for name, lines in CROPS.items()]
ASKED = [(name, f"When is {name} sown, and how deep?", " ".join(lines)) for name, lines in CROPS.items()]
STUDY = """
[study]
metrics = ["hallucination", "citation_recall"]
diagnostics = []
latency_sample = 0
"""
WRONG = "Sugar beet is harvested by Johann Weber in 1987."


def project_in(directory: Path, *, arms: str, generator: str = "") -> Path:
    settings = f"{STUDY}arms = {arms}\n[generation.generator.options]\n{generator}\n"
    return write_project(directory, DOCUMENTS, ASKED, copies=14, settings=settings)


@pytest.fixture(scope="module")
def inventing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A study whose generator says the same invented sentence whatever it is asked."""
    directory = project_in(
        tmp_path_factory.mktemp("inventing"), arms='["base", "rag"]', generator=f'mode = "fixed"\nfixed = "{WRONG}"'
    )
    with Project.open(directory) as project:
        return directory, project.study()


def test_invented_answers_count_in_arms_with_passages_and_without(inventing: tuple[Path, Any]) -> None:
    _, record = inventing
    for arm in ("base", "rag"):
        assert record["arms"][arm]["metrics"]["hallucination"]["mean"] == 1.0, arm
        assert record["arms"][arm]["metrics"]["answer_rate"]["mean"] == 1.0, "reported without being asked for"


def test_an_arm_that_is_shown_no_passages_has_no_score_for_its_citations(inventing: tuple[Path, Any]) -> None:
    _, record = inventing
    assert record["arms"]["rag"]["metrics"]["citation_recall"]["mean"] == 0.0, "it could have cited"
    assert "citation_recall" not in record["arms"]["base"]["metrics"]


def test_the_record_says_by_which_passages_each_arm_was_judged(inventing: tuple[Path, Any]) -> None:
    directory, record = inventing
    assert record["arms"]["rag"]["judged_by"] == {"hallucination": "the passages shown"}
    by = record["arms"]["base"]["judged_by"]["hallucination"]
    assert by.startswith("the best 3 passages of the corpus")
    assert "index version" in by
    stored = read_record(directory / "studies" / record["study"])
    assert stored["arms"]["base"]["judged_by"] == record["arms"]["base"]["judged_by"]
    assert "hallucination of base by the best 3 passages" in render_summary(stored)
    page = (directory / "studies" / record["study"] / "report.html").read_text(encoding="utf-8")
    assert "Answers are judged by passages: hallucination of base by the best 3 passages" in page


def test_right_answers_score_0_and_those_of_other_crops_at_chance(inventing: tuple[Path, Any]) -> None:
    _, record = inventing
    row = next(row for row in record["self_test"] if row["metric"] == "hallucination")
    assert row["gold"] == 0.0
    # one of four answers dealt is the right one
    assert row["shuffled"] == pytest.approx(0.75, abs=0.15)


def test_an_arm_that_quotes_does_not_hallucinate_and_one_that_declines_has_no_score(tmp_path: Path) -> None:
    with Project.open(project_in(tmp_path, arms='["base", "rag"]')) as project:
        record = project.study()
    assert record["arms"]["rag"]["metrics"]["hallucination"]["mean"] == 0.0
    base = record["arms"]["base"]["metrics"]
    assert "hallucination" not in base, "it only abstains"
    assert base["answer_rate"]["mean"] == 0.0


def test_where_it_cannot_tell_right_from_wrong_it_is_left_out_and_the_study_says_so(tmp_path: Path) -> None:
    directory = project_in(tmp_path, arms='["base", "rag"]')
    settings = directory / "twofold.toml"
    blind = '{name = "hallucination", options = {threshold = 0.9999999}}'  # no answer is doubted so much
    settings.write_text(settings.read_text().replace('"hallucination"', blind))
    with Project.open(directory) as project:
        plan, record = project.plan(), project.study()
    assert any(w.startswith("hallucination is left out: hallucination gives shuffled") for w in record["warnings"])
    assert any(w.startswith("hallucination is left out: ") for w in plan.warnings)
    assert "hallucination" not in record["arms"]["rag"]["metrics"]
    assert record["arms"]["rag"]["metrics"][record["metric"]]["mean"] > 0
    assert [row["metric"] for row in record["self_test"] if row["metric"] == "hallucination"] == []


def test_it_cannot_decide_a_study(tmp_path: Path) -> None:
    directory = project_in(tmp_path, arms='["base"]')
    settings = directory / "twofold.toml"
    settings.write_text(settings.read_text().replace("[study]", '[study]\nmetric = "hallucination"'))
    with Project.open(directory) as project, pytest.raises(ConfigError, match="measures a fault"):
        project.study()


def test_the_projects_own_answers_move_the_threshold_and_are_spoilt_to_test_the_detector(tmp_path: Path) -> None:
    settings = {"study": {"metrics": ["hallucination"], "arms": ["base", "rag"], "diagnostics": []}}
    with make_project(tmp_path / "demo", questions=200, settings=settings) as project:
        record = project.study()
        splits = project.splits
        right = right_answers(project.workspace.search, (*splits.train, *splits.dev))
    row = next(row for row in record["self_test"] if row["metric"] == "hallucination")
    assert len(right.answers) >= 20
    assert all(answer.hits for answer in right.answers)
    assert row["planted"]["low"] > 0.5, "errors planted in answers that are quoted from the documents"
    page = (tmp_path / "demo" / "studies" / record["study"] / "report.html").read_text(encoding="utf-8")
    assert "errors planted in the project's own right answers" in page.replace("&#39;", "'")
    metric = loading.make("metrics", "hallucination", {})
    part = right.calibrated(MetricPart(name="hallucination"), metric)
    assert part.options["threshold"] >= metric.threshold, "never below the shipped one"
    stated = loading.make("metrics", "hallucination", {"threshold": 0.9})
    assert right.calibrated(MetricPart(name="hallucination"), stated).options["threshold"] == 0.9
    doubts = [metric.doubt(e, a) for e, a in zip(right.examples, right.answers, strict=True)]
    flagged = [doubt >= part.options["threshold"] for doubt in doubts if doubt is not None]
    assert sum(flagged) <= 0.1 * len(flagged)
    plain = RightAnswers(examples=right.examples[:5], answers=right.answers[:5])
    assert plain.planted(metric, level=0.95) is None, "too few to say"
