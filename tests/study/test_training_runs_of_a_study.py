"""A study that trains each tuned arm several times: what is trained, scored, recorded, certified and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import seeded
from twofold.errors import ConfigError
from twofold.project import Project
from twofold.reports.archive import read_answers
from twofold.reports.study_page import render, render_summary
from twofold.study.verifying import verify
from twofold.testing.projects import make_project
from twofold.types import Json
from twofold.verdict.record import StudyRecord


class Killed(BaseException):
    """Ends a study as a signal would."""


@pytest.fixture(scope="module", autouse=True)
def fakes() -> Iterator[None]:
    with seeded.registered():
        yield


def answers() -> dict[str, str]:
    """Question → right answer, of the bundled set."""
    lines = (resources.files("twofold") / "demo" / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    known = {}
    for example in map(json.loads, lines):
        known[example["question"]] = example["answers"][0]
    return known


def project(folder: Path, *, study: Json | None = None, trainer: Json | None = None) -> Project:
    """The bundled project with the seeded fakes; files of a first call stay."""
    options = {"log": str(folder / "trained"), **(trainer or {})}
    settings: Json = {
        "study": {"arms": ["base", "ft", "prompt+ft"], "diagnostics": [], "metric": "answer_f1", "resamples": 400}
        | {"metrics": ["exact_match"], "latency_sample": 0, "seeds": 3, **(study or {})},
        "generation": {"generator": {"name": "seeded", "options": {"answers": answers()}}},
        "tuning": {"trainer": {"name": "seeded", "options": options}, "gate": "off", "variants": 1},
    }
    if (folder / "p").exists():
        return Project.open(folder / "p", settings)
    return make_project(folder / "p", questions=60, settings=settings)


def trained(folder: Path) -> list[int]:
    """The seeds that were trained with, in their order."""
    log = folder / "trained"
    return list(map(int, log.read_text().split())) if log.exists() else []


@dataclass(frozen=True)
class Studies:
    """One project's studies: with one seed; with three, killed at the last one and begun again."""

    folder: Path
    single: StudyRecord
    steps: dict[str, Any]
    """Of the plan with three seeds."""
    killed: list[int]
    """Seeds that were trained with before the study was killed."""
    record: StudyRecord
    seen: list[str]
    """Stages of progress after the kill."""

    @property
    def where(self) -> Path:
        """Directory of the study with three seeds."""
        return self.folder / "p" / "studies" / self.record["study"]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    folder = tmp_path_factory.mktemp("repeats")
    train = seeded.SeededTrainer.train

    def dies(self: Any, job: Any, directory: Path, *, progress: Any = None) -> Json:
        if job.seed == 2:
            raise Killed
        return train(self, job, directory, progress=progress)

    with project(folder, study={"seeds": 1}) as opened:
        single = opened.study()
    seen: list[str] = []
    with project(folder) as opened:
        steps = {step["step"]: step for step in opened.plan().steps}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(seeded.SeededTrainer, "train", dies)
            with pytest.raises(Killed):
                opened.study()
        killed = trained(folder)
        record = opened.study(progress=lambda stage, _done, _total: seen.append(stage))
    return Studies(folder=folder, single=single, steps=steps, killed=killed, record=record, seen=seen)


def test_one_seed_leaves_record_and_certificate_as_they_were(studies: Studies) -> None:
    single = studies.single
    assert "seeds" not in single["config"]["study"]
    assert "runs" not in single["arms"]["ft"]
    assert any(doubt.startswith("one training run of ft") for doubt in single["verdict"]["provisional"])
    stored = json.loads((studies.where.parent / single["study"] / "verdict.json").read_text(encoding="utf-8"))
    assert stored["facts"]["same_weights"] == {"prompt+ft": "ft"}
    assert "runs" not in stored["facts"]
    assert all("run" not in arm for arm in stored["arms"])


def test_each_seed_is_trained_once_for_all_arms_that_share_the_adapter_also_after_a_kill(studies: Studies) -> None:
    assert studies.killed == [0, 1]
    assert trained(studies.folder) == [0, 1, 2]
    assert any("run 3 of 3" in stage for stage in studies.seen)
    steps = studies.steps
    tune, shared = steps["tune ft"], steps["answer ft@1"]
    assert (tune["items"], tune["cached"]) == (3, 1)
    assert shared["cached"] == shared["items"]
    assert steps["answer ft@3"]["cached"] == 0
    # One run is the study's before there were several.
    assert studies.record["arms"]["ft@1"]["key"] == studies.single["arms"]["ft"]["key"]


def test_the_score_is_the_mean_of_the_runs_and_the_adapter_is_that_of_one(studies: Studies) -> None:
    record = studies.record
    ft = record["arms"]["ft"]
    runs = ft["runs"]
    assert (runs["names"], runs["seeds"]) == (["ft@1", "ft@2", "ft@3"], [0, 1, 2])
    singles = [record["arms"][name] for name in runs["names"]]
    assert [one["metrics"]["answer_f1"]["mean"] for one in singles] == pytest.approx(runs["scores"])
    assert len({one["key"] for one in singles}) == 3
    for metric in ("answer_f1", "exact_match"):
        mean = sum(one["metrics"][metric]["mean"] for one in singles) / 3
        assert ft["metrics"][metric]["mean"] == pytest.approx(mean)
    served = singles[runs["served"] - 1]
    assert ft["key"] == served["key"]
    assert ft["training"] is not None
    rows = ft["training"]["runs"]
    assert [row["carried"] for row in rows].index(True) == runs["served"] - 1
    assert ft["training"]["model"] == rows[runs["served"] - 1]["model"]
    # What it costs to tune the arm is what all of its runs take.
    assert record["metered"]["training"]["ft"]["seconds"] == pytest.approx(3.0)
    deviation = runs["deviation"]
    assert 0 < deviation["low"] < deviation["mean"] < deviation["high"]
    assert not any("training run" in doubt for doubt in record["verdict"]["provisional"])
    assert "on average" in record["verdict"]["headline"]


def test_reports_have_a_table_of_the_runs_and_no_row_of_a_single_one(studies: Studies) -> None:
    summary = render_summary(studies.record)
    table = summary[summary.index("training runs:") :]
    assert [table.count(f" ft@{number} ") for number in (1, 2, 3)] == [1, 1, 1]
    assert "ft@" not in summary[: summary.index("training runs:")]
    page = render(studies.record, read_answers(studies.where))
    assert 'id="runs"' in page
    assert page.count('<th scope="row">ft@2</th>') == 1


def test_the_certificate_is_decided_again_with_the_runs_and_a_changed_run_is_found_out(
    studies: Studies, tmp_path: Path
) -> None:
    assert verify(studies.where).faults == ()
    whole = (studies.where / "verdict.json").read_text(encoding="utf-8")
    file = tmp_path / "verdict.json"

    def faults(change: Callable[[Any], None]) -> str:
        stored = json.loads(whole)
        change(stored)
        file.write_text(json.dumps(stored), encoding="utf-8")
        return "; ".join(verify(file).faults)

    def another_score(stored: Any) -> None:
        row = next(row for row in stored["outcomes"] if row["scores"]["ft@3"]["answer_f1"] == 0)
        row["scores"]["ft@3"]["answer_f1"] = 1.0

    def another_served(stored: Any) -> None:
        stored["facts"]["runs"]["ft"]["served"] = 1 + stored["facts"]["runs"]["ft"]["served"] % 3

    def fewer(stored: Any) -> None:
        stored["facts"]["runs"] = {}

    assert "comparisons" in faults(another_score)
    assert "facts.runs.ft.served" in faults(another_served)
    assert "facts.runs: ft has 3 measured runs" in faults(fewer)


def test_a_single_run_answers_where_it_is_named_and_else_the_one_chosen_on_dev(studies: Studies) -> None:
    question = next(iter(answers()))
    with project(studies.folder) as opened:
        models = [opened.ask(question, arm=arm)[1]["model"] for arm in ("ft@3", "ft")]
    arms = studies.record["arms"]
    assert models == [arms[name]["training"]["model"] for name in ("ft@3", "ft")]  # type: ignore[index]


def test_what_cannot_be_repeated_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    project(tmp_path).close()
    for study, race, problem in (
        ({}, True, "cannot be raced"),
        ({"metric": "style"}, False, "computed from all answers together"),
        ({"arms": ["base", "ft@2"]}, False, "ft@2 is one training run"),
        ({"arms": ["base", "prompt@2"]}, False, "prompt is not trained"),
        ({"arms": ["base", "ft@0"]}, False, "a run is numbered from 1"),
    ):
        with pytest.raises(ConfigError, match=problem), project(tmp_path, study=study) as opened:
            opened.plan(race=race)
    assert trained(tmp_path) == []
    with project(tmp_path, study={"arms": ["base", "prompt"]}) as opened:
        assert any("repeats nothing: no arm is tuned" in warning for warning in opened.plan().warnings)


@pytest.mark.slow
def test_a_trainer_without_chance_repeats_nothing_and_is_said_to(tmp_path: Path) -> None:
    with project(tmp_path, trainer={"steady": True}) as opened:
        record = opened.study()
    assert len({record["arms"][name]["key"] for name in ("ft@1", "ft@2", "ft@3")}) == 1
    assert any("gave the same weights" in doubt for doubt in record["verdict"]["provisional"])
    assert verify(tmp_path / "p" / "studies" / record["study"]).faults == ()
