"""What twice the training data would gain: read from the newest learning curve of the arm, or said not to be known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twofold.advice.probes import forecasts
from twofold.advice.probes.measuring import Decider
from twofold.advice.probes.record import TuningCurve
from twofold.diagnosis.levers import TokenPrices
from twofold.project import Project
from twofold.study import diagnosing, more_data
from twofold.testing.projects import make_project

TWICE = {"mean": 0.04, "low": -0.01, "high": 0.09, "n": 30, "failed": 0}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with make_project(tmp_path_factory.mktemp("more") / "project", questions=60) as project:
        yield project


@pytest.fixture(autouse=True)
def folder(project: Project) -> Iterator[Path]:
    folder = project.directory / forecasts.FOLDER
    folder.mkdir(parents=True)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def write_forecast(folder: Path, project: Project, created: str, **changed: Any) -> None:
    points = [{"rows": rows, "score": TWICE, "steps": 4, "seconds": 1.0} for rows in (5, 10, 20)]
    rows = len(project.splits.train)
    curve = {"arm": "ft", "rows": rows, "dev": 30, "points": points, "whole": TWICE, "twice": TWICE, **changed}
    record = {"format": 1, "key": created, "created": created, "tuning": curve}
    record["metric_key"] = Decider.of(project.config, project.splits).key
    (folder / f"{created[:4]}.json").write_text(json.dumps(record), encoding="utf-8")


def curve_of(project: Project, arm: str = "ft") -> tuple[TuningCurve | None, str]:
    return more_data.curve_of(project.directory, project.config, project.splits, arm=project.config.arm(arm))


def test_the_newest_curve_of_the_arm_is_a_lever_with_its_interval(project: Project, folder: Path) -> None:
    write_forecast(folder, project, "2026-01-01T00:00:00+00:00")
    write_forecast(folder, project, "2027-01-01T00:00:00+00:00", twice={**TWICE, "mean": 0.05})
    curve, why = curve_of(project)
    assert (curve is not None, why) == (True, "")
    assert curve is not None
    row = more_data.lever(curve, price=TokenPrices(read=1.0, written=2.0, currency="EUR"))
    assert (row["lever"], row["gain"]) == ("twice the data", {"mean": 0.05, "low": -0.01, "high": 0.09})
    assert (row["price"], row["currency"]) == (0.0, "EUR")
    assert more_data.lever(curve, price=None)["price"] is None
    assert ".050 [" in row["action"]
    assert "short trainings on 5, 10, 20" in row["action"]
    assert row["effort"].startswith(f"{len(project.splits.train)} examples to be labelled")


def test_an_arm_that_learns_from_no_example_has_no_such_lever(project: Project) -> None:
    assert curve_of(project, "rag") == (None, "")


def test_what_was_never_measured_is_said_with_the_command_that_does(project: Project) -> None:
    curve, why = curve_of(project)
    assert curve is None
    assert why.startswith("not measured: `twofold advise --probe`")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"arm": "ft+rag"}, 'measured of ft+rag only: `twofold advise --probe --set \'study.arms=["base", "ft"]\'`'),
        ({"rows": 7}, "measured when there were 7 train examples"),
    ],
)
def test_a_curve_of_another_arm_or_of_other_examples_is_not_taken(
    project: Project, folder: Path, changed: dict[str, Any], words: str
) -> None:
    write_forecast(folder, project, "2026-01-01T00:00:00+00:00", **changed)
    curve, why = curve_of(project)
    assert curve is None
    assert why.startswith(words)


def test_a_damaged_forecast_is_a_remark(project: Project, folder: Path) -> None:
    (folder / "1.json").write_text("{", encoding="utf-8")
    curve, why = curve_of(project)
    assert curve is None
    assert "the forecast cannot be read" in why


def test_a_curve_in_another_metric_than_the_study_decided_by_is_no_lever_and_is_named(project: Project) -> None:
    study: Any = SimpleNamespace(record={"metric": "contains"}, splits=project.splits)
    diagnosed: Any = {"levers": []}
    remarks = partial(diagnosing._more_data, project.directory, project.config, study, diagnosed, price=None)
    [line] = remarks(arm=project.config.arm("ft"))
    assert "the study decided by contains" in line
    assert "set [study].metric to contains" in line
    assert (remarks(arm=project.config.arm("rag")), diagnosed["levers"]) == ([], [])
