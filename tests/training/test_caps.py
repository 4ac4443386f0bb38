"""Caps on training, minutes and money, on a machine whose arithmetic is slow (`slow_machine`)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_job import small_job

from forked import Nursery
from twofold.plugins.jobs import TrainerJob

pytest.importorskip("torch")


BY_TWO: dict[str, tuple[float, dict[str, Any]]] = {
    "cut": (0.06, {"minutes": 0.2}),
    "whole": (1e-5, {"epochs": 6, "minutes": 2.0, "learning_rate": 5e-2, "patience": 9}),
}
ONE_OF_TWO = """
import json, os, sys
os.environ.update(json.loads(sys.argv[1]))
from pathlib import Path
import slow_machine
for folder in sys.argv[2:]:
    slow_machine.train_folder(Path(folder))
"""
SETTINGS: dict[str, Any] = {"epochs": 1000, "batch": 12, "dtype": "f32", "threads": 1, "share_prefixes": False}


def trained(
    job: TrainerJob, folder: Path, put: Any, *, seconds: float, slow: dict[str, float] | None = None, **options: Any
) -> tuple[float, Any]:
    """Seconds until training ended, saving apart, and its report, where each token read takes `seconds`."""
    from slow_machine import SlowMachine, train

    from twofold.training.options import LoraOptions

    folder.mkdir()
    machine = SlowMachine(seconds, **slow or {})
    took = train(job, LoraOptions.model_validate(SETTINGS | options), folder, machine, put)
    return took, json.loads((folder / "training.json").read_text())


@pytest.fixture(scope="module")
def trained_by_two(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory, torch_nursery: Callable[[], Nursery]
) -> dict[str, tuple[float, Any]]:
    """The same by two processes, which train one after another what `BY_TWO` names."""
    place, job = tmp_path_factory.mktemp("crew"), small_job(tiny)
    for name, (seconds, options) in BY_TWO.items():
        (place / name).mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"seconds": seconds, "port": port, "options": SETTINGS | {"threads": 2} | options}
        (place / name / "given.json").write_text(json.dumps(settings))
        (place / name / "rows.json").write_text((few(job) if name == "cut" else job).model_dump_json())
    crew = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    folders = [str(place / name) for name in BY_TWO]
    running = [torch_nursery().start(ONE_OF_TWO, json.dumps({**crew, "RANK": str(n)}), *folders) for n in range(2)]
    errors = [process.communicate()[1] for process in running]
    assert [process.wait() for process in running] == [0, 0], errors[0][-2000:]
    return {
        name: (
            json.loads((place / name / "took.json").read_text()),
            json.loads((place / name / "training.json").read_text()),
        )
        for name in BY_TWO
    }


def few(job: TrainerJob) -> TrainerJob:
    """One dev item: an evaluation takes a small part of a step."""
    return job.model_copy(update={"dev": job.dev[:1]})


def cut_in_the_first_step(took: float, report: Any) -> None:
    effort = report["effort"]
    assert not effort["chance"]
    assert effort["limit_minutes"] == pytest.approx(0.2)
    assert took < 1.1 * 12
    assert effort["minutes_needed"] > 0.2


def test_a_cap_of_money_holds_though_one_step_takes_longer_than_it(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve rows of some 40 tokens: a step would take 90 s, evaluations left out."""
    prices = {"euros": 0.04, "euros_an_hour": 12.0, "minutes": 5.0}
    took, report = trained(few(job), tmp_path / "cut", monkeypatch.setattr, seconds=0.06, **prices)
    cut_in_the_first_step(took, report)
    assert report["effort"]["stopped"] == "euros"
    assert report["euros"] <= 0.04 * 1.1


def test_a_cap_of_minutes_holds_for_two_processes(trained_by_two: dict[str, tuple[float, Any]]) -> None:
    took, report = trained_by_two["cut"]
    cut_in_the_first_step(took, report)
    assert report["processes"] == 2
    assert report["effort"]["stopped"] == "minutes"


def test_a_cap_holds_on_a_machine_that_becomes_slower(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took, report = trained(
        few(job), tmp_path / "cut", monkeypatch.setattr, seconds=0.0015, slow={"slower_after": 9.0}, minutes=0.25
    )
    assert report["effort"]["stopped"] == "minutes"
    assert report["effort"]["steps"] >= 1
    assert took < 1.1 * 15


def test_a_cap_holds_where_answers_take_longer_to_write_than_reading_tells(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = job.model_copy(update={"dev": job.dev * 6})
    took, report = trained(
        many, tmp_path / "cut", monkeypatch.setattr, seconds=0.0025, slow={"written": 2.0}, minutes=0.5
    )
    assert took < 1.1 * 30
    assert report["effort"]["steps"] >= 1
    assert report["notes"] == ["an evaluation was cut by the limit and does not count"]
    assert report["dev"] == []


def test_the_first_evaluation_settles_how_many_items_the_limit_has_time_for(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = job.model_copy(update={"dev": job.dev * 6})
    took, report = trained(
        many, tmp_path / "cut", monkeypatch.setattr, seconds=0.006, slow={"written": 3.0}, minutes=2.0
    )
    assert took < 1.1 * 120
    assert report["evaluation_seconds"] < 0.15 * 120
    assert report["dev_items"] == 8
    assert report["evaluations"] >= 1


def test_a_first_step_that_takes_long_is_no_pace(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes 1.3 s, the first one 12 s more: ten fit into half a minute, and the plan takes 22 minutes."""
    _, report = trained(
        few(job), tmp_path / "cut", monkeypatch.setattr, seconds=0.0015, slow={"first": 12.0}, minutes=0.5
    )
    assert report["effort"]["steps"] > 5
    assert report["effort"]["minutes_needed"] < 30


def test_a_learning_rate_that_the_limit_leaves_no_time_to_probe_is_the_configured(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took, report = trained(
        few(job), tmp_path / "cut", monkeypatch.setattr, seconds=0.0015, probe=True, learning_rate=0.01, minutes=0.5
    )
    assert took < 1.1 * 30
    assert report["effort"]["steps"] > 5
    assert report["learning_rate"] == report["probe"]["chosen"] == pytest.approx(0.01)
    assert report["notes"] == ["the learning rate was not probed: the limit leaves no time for it"]


def test_a_cap_holds_while_references_of_preferences_are_read(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tuple(replace(row, rejected="no idea") for row in job.rows[0])
    took, report = trained(
        few(job).model_copy(update={"rows": (rows,)}),
        tmp_path / "cut",
        monkeypatch.setattr,
        seconds=0.06,
        objective="preference",
        minutes=0.3,
    )
    assert took < 1.1 * 18
    assert report["effort"]["steps"] == 0
    assert not report["effort"]["chance"]


def test_a_training_whose_start_takes_all_of_its_cap_tells_the_seconds_of_its_start(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, report = trained(few(job), tmp_path / "none", monkeypatch.setattr, seconds=0.02, minutes=0.001)
    assert report["steps"] == report["effort"]["steps"] == 0
    assert report["seconds"] >= report["setup_seconds"] > 0
    assert report["effort"]["minutes_needed"] > 0


def test_a_cap_that_leaves_time_cuts_nothing_of_two_processes(trained_by_two: dict[str, tuple[float, Any]]) -> None:
    _, report = trained_by_two["whole"]
    assert report["effort"]["stopped"] == "plan"
    assert report["effort"]["steps"] == report["effort"]["planned"] == 6
    assert report["effort"]["chance"]
