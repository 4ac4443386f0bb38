"""A forecast in the advice: facts with levels where its intervals settle something, shown, weighed and outdated."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from twofold.advice.probes.facts import probed_facts
from twofold.advice.probes.record import ForecastRecord
from twofold.advice.probes.wording import lines
from twofold.advice.weights import MEASURED
from twofold.cli.main import main
from twofold.project import Project
from twofold.testing.projects import FAST, make_project

NOW = "2026-01-02T00:00:00+00:00"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose settings stand in its file, probed once."""
    place = tmp_path_factory.mktemp("advised") / "project"
    make_project(place).close()
    with Project.open(place, FAST) as project:
        project.probing.run(minutes=0.5, at="2026-01-01T00:00:00+00:00")
    return place


@pytest.fixture
def forecast(directory: Path) -> ForecastRecord:
    """The forecast of that project."""
    with Project.open(directory, FAST) as project:
        return project.probing.forecasts()[-1]


def levels(forecast: ForecastRecord) -> dict[str, str]:
    return {fact.criterion: fact.level for fact in probed_facts(forecast) if fact.criterion}


def test_levels_are_those_that_the_weights_know(forecast: ForecastRecord) -> None:
    assert levels(forecast) == {"closedbook": "lacks", "retrieval": "gains"}
    for criterion, level in levels(forecast).items():
        assert level in MEASURED[criterion]


def test_an_interval_on_both_sides_settles_nothing(forecast: ForecastRecord) -> None:
    open_ended = deepcopy(forecast)
    open_ended["differences"]["rag - base"]["score"] |= {"low": -0.1, "high": 0.3}
    open_ended["probes"]["p"] |= {"low": 0.85, "mean": 0.92, "high": 0.97}
    assert levels(open_ended) == {"closedbook": "", "retrieval": ""}
    known = deepcopy(forecast)
    known["differences"]["rag - base"]["score"] |= {"low": -0.1, "high": 0.01}
    known["probes"]["p"] |= {"low": 0.93, "mean": 0.96, "high": 0.99}
    assert levels(known) == {"closedbook": "answers", "retrieval": "little"}


def test_a_tuning_curve_is_compared_with_the_untuned_model(forecast: ForecastRecord) -> None:
    tuned: Any = deepcopy(forecast)
    score = {"n": 20, "failed": 0}
    tuned["tuning"] = {
        "arm": "ft",
        "rows": 60,
        "dev": 20,
        "epochs": 1.0,
        "points": [{"rows": 15, "score": {**score, "mean": 0.1, "low": 0.0, "high": 0.3}, "steps": 3, "seconds": 1.0}],
        "whole": {**score, "mean": 0.6, "low": 0.4, "high": 0.8},
        "twice": {**score, "mean": 0.05, "low": -0.02, "high": 0.2},
        "form": "a line",
        "trainer": "recipe:1",
    }
    assert levels(tuned)["tuning"] == "gains", "from .40 on, and the model alone has at most .16"
    assert any("twice as many training examples" in fact.text for fact in probed_facts(tuned))
    text = "\n".join(lines(tuned))
    assert "gain of twice as many: .05 [−.02, .20]" in text
    assert "predicted, all of the train split" in text


def test_the_lines_have_every_share_with_its_interval(forecast: ForecastRecord) -> None:
    text = "\n".join(lines(forecast))
    for share in ("(p)", "(R)", "(U)", "(1 − p) * R * U − p * D", "base", "rag"):
        assert share in text
    assert text.count("[") >= 8
    assert "warning: the documents answer every one of" in text


def test_facts_reach_the_ranking_and_an_outdated_forecast_does_not(directory: Path) -> None:
    with Project.open(directory, FAST) as project:
        advice = project.advice.advise(at=NOW, store=False)
    shown = {fact["criterion"]: fact["level"] for fact in advice["facts"]}
    assert shown["retrieval"] == "gains"
    rag = next(way for way in advice["ranking"] if way["way"] == "rag")
    assert any(reason["criterion"] == "retrieval" and reason["points"] > 0 for reason in rag["reasons"])
    changed = {**FAST, "generation": {"max_tokens": 11, **FAST["generation"]}}
    with Project.open(directory, changed) as project:
        later = project.advice.advise(at=NOW, store=False)
    assert "retrieval" not in {fact["criterion"] for fact in later["facts"]}
    assert any("probe again" in fact["text"] for fact in later["facts"])


def test_the_command_probes_shows_and_advises(
    directory: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = []
    for value in (
        'generation.generator.name="echo"',
        'retrieval.embedder.name="hashing"',
        "retrieval.retriever.options.lexical=0.5",
        'study.arms=["base","rag"]',
    ):
        settings += ["--set", value]
    command = ["advise", "--probe", "--minutes", "0.2", "-C", str(directory), *settings]
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["forecast"]["gain"]["low"] > 0
    assert "retrieval" in {fact["criterion"] for fact in record["facts"]}
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.index("Probed on ") < out.index("The ways, best first")
    assert main(["advise", "--probe", "-C", str(tmp_path)]) == 2
    assert "no twofold.toml" in capsys.readouterr().err


def test_settings_that_were_tried_and_taken_back_leave_the_forecast_in_force(tmp_path: Path) -> None:
    place = tmp_path / "project"
    make_project(place, questions=60).close()
    others = FAST | {"retrieval": {**FAST["retrieval"], "k": 1}}
    with Project.open(place, FAST) as project:
        first = project.probing.run(minutes=0.5, at="2026-01-01T00:00:00+00:00")
    with Project.open(place, others) as project:
        second = project.probing.run(minutes=0.5, at="2026-01-02T00:00:00+00:00")
    with Project.open(place, FAST) as project:
        assert project.probing.run(minutes=0.5, at="2026-01-03T00:00:00+00:00") == first != second
        texts = [fact.text for fact in project.advice.facts()]
        assert not any("probe again" in text for text in texts)
        assert any(text.startswith("retrieval is predicted") for text in texts)
        check = project.study()["forecast"]
    assert (check["key"], check["left_out"]) == (first["key"], [])
    assert [row["what"] for row in check["rows"]] == ["base", "rag", "rag - base"]


def test_an_older_forecast_that_cannot_be_compared_any_more_outdates_no_newer_one(directory: Path) -> None:
    with Project.open(directory, FAST) as project:
        newest = project.probing.forecasts()[-1]
        arms = {**newest["arms"], "rag-long": newest["arms"]["rag"]}  # no arm of these settings has that name
        older: Any = {**newest, "arms": arms, "key": "forecast:older", "created": "2025-12-01T00:00:00+00:00"}
        path = directory / "advice" / "forecasts" / "older.json"
        path.write_text(json.dumps(older), encoding="utf-8")
        try:
            assert [stored["key"] for stored in project.probing.forecasts()] == ["forecast:older", newest["key"]]
            texts = [fact.text for fact in project.advice.facts()]
        finally:
            path.unlink()
    assert not any("probe again" in text for text in texts)
    assert any(text.startswith("retrieval is predicted") for text in texts)
