"""Short trainings of a real small project by a trainer that takes no time: nested, resumed, never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import stand_in_trainer
from twofold.advice.probes import trainings
from twofold.assembly import rehearsal
from twofold.config import Config
from twofold.errors import TrainingError
from twofold.host import capabilities, pace
from twofold.plugins import loading, protocols
from twofold.plugins.jobs import TrainerJob
from twofold.project import Project
from twofold.testing.projects import make_project
from twofold.training.options import FitOptions

ARMS: dict[str, Any] = {"arms": ["base", "rag", "ft"], "diagnostics": [], "resamples": 400, "latency_sample": 0}


class Instant:
    """Notes the examples that it is given, and may break down."""

    version: ClassVar[int] = 1
    seen: ClassVar[list[set[str]]] = []
    breaks_at: ClassVar[int] = 99

    class Options(FitOptions):
        method: ClassVar[str] = "instant"

    def __init__(self, options: Any) -> None:
        self.options = options

    def provenance(self, model: str) -> dict[str, str]:
        return {"weights": "none"}

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        if len(self.seen) == self.breaks_at:
            raise TrainingError("the child was killed", cure="Try again.")
        self.seen.append({pair.example for pair in job.rows[0]})
        stand_in_trainer.write_adapter(directory, float(len(self.seen)))
        return stand_in_trainer.report(job, len(self.seen))


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Instant]]:
    """The trainer ``instant``, whose pace on this machine is known."""
    monkeypatch.setattr(Instant, "seen", [])
    monkeypatch.setattr(Instant, "breaks_at", 99)
    monkeypatch.setattr(pace, "paces", lambda subject: {"token": 0.001})
    with loading.registered("trainers", "instant", Instant):
        yield Instant


def tuned(directory: Path, **settings: Any) -> Project:
    tuning = {"trainer": {"name": "instant", "options": {}}, "gate": "enforce"}
    return make_project(directory, settings={"study": ARMS, "tuning": tuning, **settings})


def test_three_nested_subsets_are_trained_and_scored_on_dev(tmp_path: Path, trainer: type[Instant]) -> None:
    with tuned(tmp_path / "p") as project:
        record = project.probing.run(minutes=0.1, tuning_minutes=100)
        assert project.models.registry.records() == [], "a short training makes no model that anybody would use"
        train, dev = len(project.splits.train), len(project.splits.dev)
        assert not (project.derived / "probes").exists()
    small, half, whole = trainer.seen
    assert small < half < whole
    assert [len(small), len(half), len(whole)] == [train // 4, train // 2, train]
    tuning = record["tuning"]
    assert tuning is not None
    assert [point["rows"] for point in tuning["points"]] == [train // 4, train // 2, train]
    assert (tuning["arm"], tuning["rows"], tuning["dev"]) == ("ft", train, dev)
    assert record["arms"]["ft"]["score"] == tuning["whole"]
    assert tuning["twice"]["low"] <= 0 <= tuning["twice"]["high"]


def test_fewer_minutes_train_on_fewer_examples(tmp_path: Path, trainer: type[Instant]) -> None:
    with tuned(tmp_path / "p") as project:
        everything = project.probing.run(minutes=0.1, tuning_minutes=100)["tuning"]
        few = project.probing.run(minutes=0.1, tuning_minutes=0.1)["tuning"]
    assert everything is not None
    assert few is not None
    assert few["points"][-1]["rows"] < everything["points"][-1]["rows"]
    widths = [curve["whole"]["high"] - curve["whole"]["low"] for curve in (few, everything)]
    assert widths[0] > widths[1], "the further away, the less is known"


def test_no_time_and_too_little_time_are_said(tmp_path: Path, trainer: type[Instant]) -> None:
    with tuned(tmp_path / "p") as project:
        for minutes, reason in ((0.0, "no time was allowed"), (0.001, "(`--tuning-minutes 1` allows them)")):
            record = project.probing.run(minutes=0.1, tuning_minutes=minutes)
            assert record["tuning"] is None
            messages = {warning["code"]: warning["message"] for warning in record["warnings"]}
            assert reason in messages["tuning-not-probed"]
    assert trainer.seen == []


@pytest.mark.parametrize(("crowded", "expected"), [(False, 1), (True, 0)])
def test_the_pace_of_a_busy_machine_is_measured_again_once_it_is_idle(
    crowded: bool, expected: int, tmp_path: Path, trainer: type[Instant], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"token": 100.0}
    measured: list[str] = []

    def rehearse(method: Any, model: str, *, progress: Any = None) -> None:
        measured.append(method.name)
        paces["token"] = 0.001

    monkeypatch.setattr(pace, "paces", lambda subject: dict(paces))
    monkeypatch.setattr(pace, "of_busy", lambda subject: {"token"} if paces["token"] > 1 else set())
    monkeypatch.setattr(capabilities, "crowded", lambda: crowded)
    monkeypatch.setattr(rehearsal, "training", rehearse)
    with tuned(tmp_path / "p") as project:
        record = project.probing.run(minutes=0.1, tuning_minutes=100)
    assert len(measured) == expected
    assert (record["tuning"] is None) == crowded, "too slow for the minutes, unless it is measured alone"


def test_a_training_that_breaks_down_leaves_the_rest_of_the_forecast_and_goes_on_later(
    tmp_path: Path, trainer: type[Instant]
) -> None:
    trainer.breaks_at = 2
    with tuned(tmp_path / "p") as project:
        record = project.probing.run(minutes=0.1, tuning_minutes=100)
        assert record["tuning"] is None
        assert record["gain"] is not None
        assert any("the child was killed (Try again.)" in warning["message"] for warning in record["warnings"])
        assert (project.derived / "probes").is_dir(), "what was trained stays until all three are scored"
        trainer.breaks_at = 99
        assert project.probing.run(minutes=0.1, tuning_minutes=100)["tuning"] is not None
        assert len(trainer.seen) == 3, "the two that were finished are not trained again"
        project.probing.run(minutes=0.1, tuning_minutes=100)
        assert len(trainer.seen) == 3
        assert len(project.probing.forecasts()) == 2


def test_a_document_that_is_forgotten_is_in_no_unfinished_training(tmp_path: Path, trainer: type[Instant]) -> None:
    trainer.breaks_at = 1
    with tuned(tmp_path / "p") as project:
        project.probing.run(minutes=0.1, tuning_minutes=100)
        assert (project.derived / "probes").is_dir()
        with project.writing():
            project.versions.forget(project.documents[0].id)
        assert not (project.derived / "probes").exists()


def test_a_study_without_tuned_arms_trains_nothing(tmp_path: Path, trainer: type[Instant]) -> None:
    with tuned(tmp_path / "p", study={**ARMS, "arms": ["base", "rag"]}) as project:
        record = project.probing.run(minutes=0.1)
    assert record["tuning"] is None
    assert "tuning-not-probed" not in {warning["code"] for warning in record["warnings"]}
    assert trainer.seen == []


@pytest.mark.parametrize(
    ("arms", "must_cite", "expected"),
    [
        (["base", "rag", "ft", "ft+rag"], False, "ft"),
        (["base", "rag", "ft", "ft+rag"], True, "ft+rag"),
        (["base", "rag", "ft"], True, "ft"),
    ],
)
def test_where_answers_must_cite_the_curve_is_of_an_arm_that_could_be_chosen(
    arms: list[str], must_cite: bool, expected: str
) -> None:
    config = Config.model_validate({"project": {"name": "p"}, "study": {"arms": arms, "must_cite": must_cite}})
    arm = trainings.tuned_arm(config)
    assert arm is not None
    assert arm.name == expected


class Elsewhere(Instant):
    """A trainer that is no loop of this machine."""

    class Options(protocols.Options):  # type: ignore[assignment]
        epochs: float = 1.0
        max_length: int = 0
        replay: float = 0.0


def test_a_trainer_elsewhere_is_no_case_for_short_trainings(tmp_path: Path) -> None:
    tuning = {"trainer": {"name": "elsewhere", "options": {}}, "gate": "off"}
    with (
        loading.registered("trainers", "elsewhere", Elsewhere),
        make_project(tmp_path / "p", settings={"study": ARMS, "tuning": tuning}) as project,
    ):
        record = project.probing.run(minutes=0.1, tuning_minutes=100)
    assert any("trains elsewhere" in warning["message"] for warning in record["warnings"])


def test_too_few_examples_for_three_subsets_are_counted(tmp_path: Path) -> None:
    few = {"examples": {"train": 0.1, "dev": 0.2, "test": 0.7}}
    with make_project(tmp_path / "few", questions=60, settings={"study": ARMS, **few}) as project:
        record = project.probing.run(minutes=0.1)
    assert any("need 16 train examples" in warning["message"] for warning in record["warnings"])
