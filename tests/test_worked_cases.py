"""The worked cases: each folder of `examples/` makes a sound project, and its page tells what it shows."""

from __future__ import annotations

import json
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from twofold.advice import answers_file, scaffold
from twofold.config import FILE
from twofold.costs import prices
from twofold.models import hub
from twofold.project import Project
from twofold.types import Answer, Failure

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PAGES = ROOT / "docs" / "cases"
CASES = sorted(path.parent.name for path in EXAMPLES.glob("*/run"))
LARGEST = 300_000
"""Bytes of a case's data, its licence apart."""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Case → its project, made as `run` makes it, with the settings of the case as overrides."""
    place = tmp_path_factory.mktemp("cases")
    for name in CASES:
        scaffold.create(place / name, EXAMPLES / name / "data")
        shutil.copy(EXAMPLES / name / "prices.csv", place / name)
    return {name: place / name for name in CASES}


@cache
def settings(name: str) -> dict[str, Any]:
    return tomllib.loads((EXAMPLES / name / "settings.toml").read_text("utf-8"))


def test_there_are_cases() -> None:
    assert {"clinical-notes", "shop-catalogue", "support-tickets"} <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_case_has_no_error_is_advised_on_and_can_be_planned(name: str, projects: dict[str, Path]) -> None:
    with Project.open(projects[name], settings(name)) as project:
        assert [problem for problem in project.check() if problem.severity == "error"] == []
    # A plan renders and counts every prompt: sixty examples show that it can be made.
    few = {**settings(name), "examples": {**settings(name).get("examples", {}), "limit": 60}}
    with Project.open(projects[name], few) as project:
        answers = answers_file.read(EXAMPLES / name / "answers.json")
        advice = project.advice.advise(answers, at="2026-11-30T00:00:00+00:00", store=False)
        assert advice["first"]
        assert not advice["contradictions"]
        plan = project.plan()
        assert "base" in plan.arms
        assert plan.minutes > 0


@pytest.mark.parametrize("name", CASES)
def test_a_case_names_source_licence_prices_and_page(name: str) -> None:
    folder = EXAMPLES / name
    source = (folder / "SOURCE.md").read_text("utf-8")
    # Whoever takes the folder has the licence's text and knows what was changed.
    assert "commit" in source
    assert "Licence" in source
    assert len((folder / "LICENSE").read_text("utf-8")) > 500
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "LICENSE"]
    assert sum(path.stat().st_size for path in files if "__pycache__" not in path.parts) <= LARGEST
    table = prices.parsed((folder / "prices.csv").read_text("utf-8"), name="prices.csv", today=date(2026, 12, 1))
    assert table.amounts["machine"] is not None
    command = f"examples/{name}/run"
    assert command in (folder / "README.md").read_text("utf-8")
    page = (PAGES / f"{name}.md").read_text("utf-8")
    assert command in page
    # No number without its interval: what was measured stands with both ends.
    assert re.search(r"\[−?\d*\.\d+, −?\d*\.\d+\]", page)
    assert f"]({name}.md)" in (PAGES / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", CASES)
def test_run_explains_itself_and_refuses_what_it_does_not_know(name: str) -> None:
    run = EXAMPLES / name / "run"
    shown = subprocess.run([run, "--help"], capture_output=True, text=True, check=True)
    assert f"examples/{name}/run [--quick]" in shown.stdout
    refused = subprocess.run([run, "--fast"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--fast" in refused.stderr


def test_settings_are_laid_over_the_project_key_by_key_and_a_first_look_stays_short(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(
        "[study]\nmargin = 0.02 # mine\nshots = 4\nlatency_sample = 16\n[tuning.trainer.options]\nepochs = 1.5\n"
    )
    over = tmp_path / "settings.toml"
    over.write_text(
        "[study]\nshots = 2\nlatency_sample = 0\n[tuning.trainer.options]\nepochs = 9\n[costs]\nvolume = 5\n"
    )
    script = f'source {EXAMPLES}/lib.sh; project={tmp_path}; quick=$1; case_settings "{over}"; exit 0'
    case = tmp_path / "case"
    case.write_text(script)
    for quick, epochs in (("1", 1.5), ("", 9)):
        environment = {**os.environ, "CASE_PYTHON": sys.executable}
        subprocess.run(["bash", case, quick], check=True, env=environment)
        text = (tmp_path / FILE).read_text()
        laid = tomllib.loads(text)
        # A case that times no single answer is not slower as a first look.
        assert laid["study"] == {"margin": 0.02, "shots": 2, "latency_sample": 0}
        assert "# mine" in text
        assert laid["costs"] == {"volume": 5}
        assert laid["tuning"]["trainer"]["options"]["epochs"] == epochs


def test_each_week_of_the_shop_holds_its_right_answers_and_changes_no_training_example(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    shutil.copytree(projects["shop-catalogue"], project)
    case = runpy.run_path(str(EXAMPLES / "shop-catalogue" / "weeks.py"))
    trained = (project / "data" / "train.jsonl").read_bytes()
    first = case["answers_of"](1)
    changed = []
    for week in (1, 2, 3):
        case["put"](project, week)
        with Project.open(project) as opened:
            texts = {document.id: document.text for document in opened.documents}
            tests = [example for example in opened.examples if example.file.endswith("test.jsonl")]
        assert all(e.references[0] in texts[e.sources[0]] for e in tests)
        changed.append(sum(e.references[0] != first[e.id] for e in tests))
        assert (project / "data" / "train.jsonl").read_bytes() == trained
    assert changed[0] == 0
    assert min(changed[1:]) > len(tests) // 2


def test_a_failed_answer_is_in_no_share_of_what_the_shop_recalls(projects: dict[str, Path]) -> None:
    case = runpy.run_path(str(EXAMPLES / "shop-catalogue" / "weeks.py"))
    with Project.open(projects["shop-catalogue"]) as project:
        questions = [project.examples[0]] * 3
    right = case["answers_of"](1)
    text = right[questions[0].id]
    failed = Answer(text="", raw="", failure=Failure(code="generation.timeout", message="too late"))
    marks = case["marks"](questions, [Answer(text=text, raw=text), Answer(text="no", raw="no"), failed], right)
    assert marks[:2] == [1.0, 0.0]
    assert math.isnan(marks[2])


STUB = """#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case $1 in *weather_station.py) exit 2 ;; esac
if [ "${3:-}" = "${FAILS:-}" ]; then exit 2; fi
if [ "${3:-}" = init ]; then mkdir -p "$4" && : >"$4/twofold.toml"; fi
sleep 0.2
"""


def steps(tmp_path: Path, name: str, *options: str, fails: str = "") -> tuple[int, str, str]:
    """Exit code, errors, and the commands of a case whose Python does nothing."""
    stub, calls = tmp_path / "python", tmp_path / "calls"
    stub.write_text(STUB)
    stub.chmod(0o755)
    calls.write_text("")
    environment = {**os.environ, "CASE_PYTHON": str(stub), "CALLS": str(calls), "FAILS": fails}
    command = [EXAMPLES / name / "run", "--directory", tmp_path / "case", *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return ran.returncode, ran.stderr, calls.read_text()


def test_without_its_weather_station_the_farm_adviser_is_not_measured(tmp_path: Path) -> None:
    code, _, commands = steps(tmp_path, "farm-adviser")
    assert code == 2
    assert " check " in commands
    assert " study " not in commands


def test_a_project_that_was_interrupted_before_its_settings_gets_them(tmp_path: Path) -> None:
    code, _, commands = steps(tmp_path, "clinical-notes", fails="init")
    assert (code, "settings.toml" in commands) == (2, False)
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "twofold.toml").touch()
    _, errors, commands = steps(tmp_path, "clinical-notes", fails="advise")
    assert "clinical-notes/settings.toml" in commands
    assert "settings: examples/clinical-notes/settings.toml is laid over" in errors
    assert "resumed" not in errors
    _, errors, commands = steps(tmp_path, "clinical-notes", "--quick", fails="advise")
    assert "settings.toml" not in commands
    assert "--quick counts when a project is made" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "case", "python"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_quick_run_ends_with_a_choice(name: str, tmp_path: Path) -> None:
    if not all(row["pulled"] for row in hub.listing() if not row["optional"]):
        pytest.skip("the embedded models are not in the cache: twofold models pull")
    environment = {**os.environ, "CASE_PYTHON": sys.executable}
    command = [EXAMPLES / name / "run", "--quick", "--directory", tmp_path / "case"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "\nchoose:\n" in ran.stdout
    records = list((tmp_path / "case" / "studies").glob("*/study.json"))
    assert json.loads(records[0].read_text("utf-8"))["verdict"]["sentence"]
    assert list((tmp_path / "case" / "studies").glob("*/diagnosis.json"))
