"""A forecast beside what the study measures: which predictions are compared, and where it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from twofold.advice.probes import comparing
from twofold.advice.probes.record import ForecastRecord
from twofold.cli.show import automation, outcome
from twofold.project import Project
from twofold.reports import archive
from twofold.testing.projects import make_project
from twofold.verdict.record import StudyRecord

Judged = tuple[ForecastRecord, StudyRecord, Path]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """A forecast, the study after it, and their project."""
    directory = tmp_path_factory.mktemp("judged") / "project"
    with make_project(directory) as project:
        forecast = project.probing.run(minutes=0.5, at="2026-01-01T00:00:00+00:00")
        yield forecast, project.study(), directory


def test_the_study_keeps_predictions_beside_what_it_measured(judged: Judged) -> None:
    forecast, study, _ = judged
    check = study["forecast"]
    assert check["key"] == forecast["key"]
    assert [row["what"] for row in check["rows"]] == ["base", "rag", "rag - base"]
    assert check["left_out"] == []
    rag, gain = check["rows"][1:]
    assert rag["expected"] == forecast["arms"]["rag"]["expected"]
    assert rag["measured"] == study["arms"]["rag"]["metrics"][study["metric"]]
    decides = next(e for e in study["comparisons"] if e["name"] == "rag - base")["decides"]
    assert gain["measured"] == decides
    assert all(row["inside"] for row in check["rows"])


def test_terminal_page_and_automation_show_it(judged: Judged) -> None:
    _, study, directory = judged
    text = outcome(study, directory)
    assert "forecast of 2026-01-01, 74 questions" in text
    assert automation(study, directory)["forecast"] == study["forecast"]
    page = (directory / "studies" / study["study"] / "report.html").read_text(encoding="utf-8")
    assert "Forecast against measured" in page
    # Predictions have the level of [study], measurements that of the look.
    for shown in (text, page):
        assert "expected (95 %)" in shown
        assert "measured (97 %)" in shown
    assert 'href="#forecast"' in page


def test_a_study_without_a_forecast_says_nothing_of_one(tmp_path: Path) -> None:
    with make_project(tmp_path / "p", questions=60) as project:
        study = project.study()
        page = (project.records / study["study"] / "report.html").read_text(encoding="utf-8")
    assert "forecast" not in study
    assert "Forecast against measured" not in page
    assert "forecast" not in automation(study, tmp_path)


def test_a_prediction_that_fails_is_named(judged: Judged) -> None:
    forecast, study, _ = judged
    wrong = deepcopy(forecast)
    wrong["arms"]["rag"]["expected"] |= {"low": 0.98, "mean": 0.99, "high": 1.0}
    rows = {row["what"]: row["inside"] for row in comparing.against(wrong, study)["rows"]}
    assert rows == {"base": True, "rag": False, "rag - base": True}


def test_an_arm_that_was_forecast_and_not_measured_is_named(judged: Judged) -> None:
    forecast, study, _ = judged
    without = deepcopy(study)
    del without["arms"]["rag"]
    check = comparing.against(forecast, without)
    assert [row["what"] for row in check["rows"]] == ["base"]
    assert check["left_out"] == ["rag: the study has no score of it"]


def test_a_system_that_has_changed_since_is_left_out_with_its_differences(judged: Judged) -> None:
    forecast, study, _ = judged
    changed = deepcopy(study)
    changed["arms"]["rag"]["key"] = "system:other"
    check = comparing.against(forecast, changed)
    assert [row["what"] for row in check["rows"]] == ["base"]
    assert check["left_out"][0].startswith("rag: ")


def test_what_is_trained_only_in_the_study_stands_with_the_untuned_model(judged: Judged) -> None:
    forecast, study, _ = judged
    tuned: Any = deepcopy(forecast)
    tuned["arms"]["ft"] = {**forecast["arms"]["base"], "system": ""}
    measured: Any = deepcopy(study)
    measured["arms"]["ft"] = {**study["arms"]["rag"], "key": "system:trained"}
    assert "ft" in {row["what"] for row in comparing.against(tuned, measured)["rows"]}
    measured["arms"]["base"]["key"] = "system:other"
    check = comparing.against(tuned, measured)
    assert {reason.partition(":")[0] for reason in check["left_out"]} == {"base", "ft"}
    del measured["arms"]["base"]
    assert comparing.against(tuned, measured)["left_out"] == [
        "base: the study has no score of it",
        "ft: it stands with base, which the study did not measure",
    ]


def test_only_a_forecast_in_the_same_metric_and_from_before_counts(judged: Judged) -> None:
    forecast, study, _ = judged
    other, later = deepcopy(forecast), deepcopy(forecast)
    other["metric_key"] = "metric:of-other-options"
    later["created"] = "2999-01-01T00:00:00+00:00"
    key = forecast["metric_key"]
    assert comparing.newest([other, later], study, metric=key) is None
    assert comparing.newest([other, forecast, later], study, metric=key) == forecast


def test_a_forecast_of_no_measured_arm_is_not_of_the_studys_systems(judged: Judged) -> None:
    forecast, study, _ = judged
    other = deepcopy(forecast)
    other["arms"] = {"ft+rag": forecast["arms"]["base"]}
    other["created"] = "2026-01-02T00:00:00+00:00"
    assert comparing.newest([forecast, other], study, metric=forecast["metric_key"]) == forecast


def test_forecasts_are_ordered_by_time_whatever_its_zone(judged: Judged) -> None:
    forecast, study, _ = judged
    early, late, after = deepcopy(forecast), deepcopy(forecast), deepcopy(forecast)
    study = {**study, "created": "2026-03-01T09:00:00+00:00"}
    early["created"] = "2026-03-01T09:30:00+02:00"  # 07:30 UTC, and the greatest of the texts before the study
    late["created"] = "2026-03-01T08:00:00+00:00"
    after["created"] = "2026-03-01T08:30:00-01:00"  # half past nine
    key = forecast["metric_key"]
    assert comparing.newest([late, early, after], study, metric=key) == late


def test_a_damaged_forecast_is_a_warning_of_the_study(tmp_path: Path) -> None:
    with make_project(tmp_path / "p", questions=60) as project:
        project.probing.folder.mkdir(parents=True)
        (project.probing.folder / "1.json").write_text("{", encoding="utf-8")
        study = project.study()
    assert "forecast" not in study
    assert any("no forecast is compared" in warning for warning in study["warnings"])


def test_the_record_is_read_back_whole(judged: Judged) -> None:
    _, study, directory = judged
    with Project.open(directory) as project:
        again = archive.find_record(project.records)
    assert json.dumps(again["forecast"], sort_keys=True) == json.dumps(study["forecast"], sort_keys=True)
