"""`twofold compare` and `twofold verify` as CI calls them: two real studies by their paths, exit codes and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.project import Project
from twofold.testing.projects import FAST, make_project

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two studies of one project: with the echo that quotes, and with one that repeats the question."""
    directory = tmp_path_factory.mktemp("compared") / "project"
    settings: Any = {"study": {"arms": ["base", "rag"], "diagnostics": [], "metrics": [], "resamples": 200}}
    with make_project(directory, questions=60, settings=settings) as project:
        first = project.records / project.study()["study"]
        overrides = project.overrides
    generator = {"name": "echo", "options": {"mode": "echo"}}
    worse: Any = {**overrides, "generation": {**FAST["generation"], "generator": generator}}
    with Project.open(directory, worse) as project:
        second = project.records / project.study()["study"]
    return str(first), str(second)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(words))
        return (code, *capsys.readouterr())

    return run


def test_what_became_worse_is_listed_with_both_answers_and_what_differs(studies: tuple[str, str], call: Call) -> None:
    code, out, _ = call("compare", *studies, "--arm", "rag")
    assert code == 0
    assert "arm rag (named by --arm)" in out
    assert ": worse" in out
    assert "\n    - " in out
    assert "\n    + " in out
    assert "config generation.generator.options.mode: quote → echo" in out
    assert "byte for byte" not in out
    assert "both records are the same byte for byte" in call("compare", studies[0], studies[0])[1]


@pytest.mark.parametrize(
    ("order", "margin", "expected", "outcome"),
    [
        ((0, 1), "0.02", 1, "worse"),
        ((1, 0), "0.02", 0, "not worse"),
        ((0, 1), "1.0", 0, "not worse"),
        ((0, 0), "0", 0, "not worse"),
    ],
)
def test_exit_codes_say_what_the_interval_shows(
    studies: tuple[str, str], call: Call, *, order: tuple[int, int], margin: str, expected: int, outcome: str
) -> None:
    pair = [studies[place] for place in order]
    code, out, _ = call("compare", *pair, "--arm", "rag", "--fail-if-worse", margin, "--json")
    body = json.loads(out)
    assert (code, body["fail_if_worse"]["outcome"]) == (expected, outcome)
    assert body["difference"]["low"] <= body["difference"]["mean"] <= body["difference"]["high"]


def test_questions_that_cannot_tell_have_a_code_of_their_own(
    studies: tuple[str, str], call: Call, tmp_path: Path
) -> None:
    # The same answers by another system: nothing became worse, and a margin of 0 cannot be shown.
    again = tmp_path / "0009-again"
    shutil.copytree(studies[0], again)
    record = json.loads((again / "study.json").read_text(encoding="utf-8"))
    record["arms"]["rag"]["key"] = "system:another"
    (again / "study.json").write_text(json.dumps({**record, "study": "0009-again"}), encoding="utf-8")
    code, out, _ = call("compare", studies[0], str(again), "--arm", "rag", "--fail-if-worse", "0")
    assert code == 4
    assert "cannot tell" in out


def test_studies_that_cannot_be_compared_are_refused_with_a_cure(studies: tuple[str, str], call: Call) -> None:
    code, _, err = call("compare", *studies, "--arm", "ft")
    assert code == 3
    assert "measured no arm 'ft'" in err
    assert "help: Name one of" in err


def test_a_study_is_verified_by_its_path_and_a_changed_one_is_not(
    studies: tuple[str, str], call: Call, tmp_path: Path
) -> None:
    code, out, _ = call("verify", studies[0])
    assert code == 0, out
    assert out.startswith("verified: study 0001-project")
    path = tmp_path / "verdict.json"
    text = (Path(studies[0]) / "verdict.json").read_text(encoding="utf-8")
    path.write_text(text.replace('"margin": 0.02', '"margin": 0.03'), encoding="utf-8")
    code, out, _ = call("verify", str(path), "--json")
    assert code == 1
    assert json.loads(out)["faults"]
    assert call("verify", str(tmp_path / "none.json"))[0] == 3
