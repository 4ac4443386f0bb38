"""What a training is foreseen to take, and what its report teaches later plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twofold.assembly import rehearsal
from twofold.host import capabilities, pace
from twofold.plugins.jobs import TrainerJob
from twofold.prompts import Template, pair, render
from twofold.settings.sections import Part
from twofold.training import reckoning
from twofold.training.options import LoraOptions
from twofold.training.schedule import followed, free_evaluations, marks
from twofold.types import Example, Message

OPTIONS = LoraOptions(epochs=2, batch=4, dtype="f32", evaluations=4, patience=9)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FILE", str(tmp_path / "paces.json"))


def general(count: int) -> tuple[Any, ...]:
    """So many rows on other things."""
    turns = [(Message(role="user", content=f"say {n}"),) for n in range(count)]
    asked = [Example(id=f"g{n}", messages=turn, references=("well",)) for n, turn in enumerate(turns)]
    return tuple(pair(render(e.messages, template=Template()), "well", e) for e in asked)


@pytest.mark.parametrize("rows", [4, 12])
def test_steps_tokens_and_evaluations_are_those_that_training_makes(job: TrainerJob, tmp_path: Path, rows: int) -> None:
    pytest.importorskip("torch")
    from twofold.training.worker.loop import fit

    few = job.model_copy(update={"rows": (job.rows[0][:rows],), "general": general(150)})
    counted = reckoning.reckon(few, OPTIONS)
    report = fit(few, OPTIONS, tmp_path, progress=lambda *_: None)
    assert counted.steps == report["steps"] == 2 * rows // 4
    assert counted.tokens == report["tokens_read"]
    count, items = free_evaluations(counted.tokens, each=counted.item, most=4, items=counted.items)
    assert (len(marks(counted.steps, count)), items) == (report["evaluations"], report["dev_items"])
    assert len(report["general_loss"]) == report["evaluations"] + 1, "before the first step too"


@pytest.mark.parametrize(("rows", "most"), [(0, 0), (10, 10), (64, 64), (65, 33), (1000, 63)])
def test_no_more_than_64_rows_on_other_things_are_followed(rows: int, most: int) -> None:
    assert len(followed(range(rows))) == most


def report(**changed: Any) -> dict[str, Any]:
    """Three steps of 100 tokens at .1 s, the fastest in .06 s a token, and one evaluation of ten items."""
    told = {"steps": 3, "tokens_read": 300, "training_seconds": 30.0, "fastest": 0.06, "cpu_share": 0.3}
    told |= {"evaluation_seconds": 20.0, "evaluations": 1, "dev_items": 3, "general_loss": [], "seconds": 62.0}
    return {**told, "setup_cpu": 4.0, **changed}


def kept(job: TrainerJob) -> dict[str, float]:
    return pace.paces(reckoning.subject(job.model, OPTIONS))


@pytest.mark.parametrize("crowded", [False, True])
def test_of_a_few_steps_the_fastest_counts_and_beside_other_work_the_processors_time(
    job: TrainerJob, monkeypatch: pytest.MonkeyPatch, crowded: bool
) -> None:
    monkeypatch.setattr(capabilities, "crowded", lambda: crowded)
    reckoning.keep_pace(job, OPTIONS, report(), seconds=70.0)
    units = 3 * reckoning.item_units(job, OPTIONS)
    share = 0.3 if crowded else 1.0
    assert kept(job)["token"] == pytest.approx(min(0.06, 0.1 * share))
    assert kept(job)["evaluation"] == pytest.approx(share * 20 / units)
    assert kept(job)["setup"] == pytest.approx(4.0 if crowded else 20.0)
    assert kept(job)["start"] == pytest.approx(8.0 * (4 / 20 if crowded else 1))
    assert bool(pace.of_busy(reckoning.subject(job.model, OPTIONS))) is crowded


def test_a_real_training_counts_as_it_was(job: TrainerJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "crowded", lambda: True)
    reckoning.keep_pace(job, OPTIONS, report(steps=30), seconds=70.0)
    assert kept(job)["token"] == pytest.approx(0.1)
    assert pace.of_busy(reckoning.subject(job.model, OPTIONS)) == set()
    resumed = report(steps=30, seconds=500.0)
    reckoning.keep_pace(job.model_copy(update={"model": "path:elsewhere"}), OPTIONS, resumed, seconds=70.0)
    assert "setup" not in pace.paces(reckoning.subject("path:elsewhere", OPTIONS)), "of a resumed run nobody knows it"


def test_beside_other_work_one_thread_shows_what_all_would_take(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(capabilities, "crowded", lambda: True)
    monkeypatch.setattr(capabilities, "cores", lambda: 4)
    model, part = f"path:{tiny}", Part(name="lora", options={"dtype": "f32"})
    rehearsal.training(part, model)
    single, usual = (LoraOptions(dtype="f32", threads=threads) for threads in (1, 0))
    alone, all_of_them = (pace.paces(reckoning.subject(model, one)) for one in (single, usual))
    assert all_of_them["token"] == pytest.approx(alone["token"] / 4)
    assert all_of_them["setup"] == pytest.approx(alone["setup"]), "starting a process uses one core"
    assert pace.of_busy(reckoning.subject(model, usual)) == set(all_of_them)
