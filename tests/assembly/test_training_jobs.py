"""Training jobs done by workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from other_workers import OtherWorkers
from twofold.assembly.training_jobs import TrainingJob, train
from twofold.errors import TrainingError
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.prompts import Template
from twofold.settings.sections import Part

JOB = TrainerJob(rows=((),), dev=(), metric="token_f1", model="none", template=Template())


class Telling(stand_in_trainer.StandIn):
    """Tells its progress, and goes on from what it finds."""

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        progress("training", 1, 2)
        (directory / "notes").mkdir(exist_ok=True)
        (directory / "notes" / "seen.txt").write_text(" ".join(sorted(p.name for p in directory.glob("checkpoint*"))))
        return super().train(job, directory, progress=progress)


class Failing(stand_in_trainer.StandIn):
    """Fails."""

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        raise TrainingError("the loss is NaN", cure="Lower the learning rate.")


class Elsewhere(OtherWorkers):
    """Workers on a machine that has another disk: the command's directories are empty there."""

    def run(self, work: Any, batches: Any, **more: Any) -> Any:
        return super().run(
            work, [batch.__class__(**{**_fields(batch), "mark": "another"}) for batch in batches], **more
        )


def _fields(one: TrainingJob) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("name", "method", "job", "directory")}


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    return tmp_path / "trained"


def jobs(folder: Path, count: int, trainer: str = "telling") -> list[TrainingJob]:
    made = []
    for number in range(count):
        directory = folder / f"job-{number}"
        directory.mkdir()
        (directory / "checkpoint-7").write_text("half way")
        method = Part(name=trainer, options={"mark": "abc"[number]})
        made.append(TrainingJob(name=f"ft {number}", method=method, job=JOB, directory=str(directory)))
    return made


@pytest.mark.parametrize("workers", [OtherWorkers, Elsewhere])
def test_reports_and_files_arrive_wherever_a_job_ran(tmp_path: Path, workers: type[OtherWorkers]) -> None:
    told: list[tuple[str, int, int]] = []
    with loading.registered("trainers", "telling", Telling):
        todo = jobs(tmp_path, 3)
        reports = dict(train(workers(), todo, progress=lambda *note: told.append(note)))
    assert sorted(reports) == [0, 1, 2]
    assert sorted(told) == [(f"ft {number} training", 1, 2) for number in range(3)]
    for one in todo:
        names = {
            path.relative_to(one.directory).as_posix() for path in Path(one.directory).rglob("*") if path.is_file()
        }
        assert names == {"adapter_config.json", "adapter_model.safetensors", "checkpoint-7", "notes/seen.txt"}
        seen = (Path(one.directory) / "notes" / "seen.txt").read_text()
        # Only whoever sees the directory goes on from its checkpoint.
        assert seen == ("checkpoint-7" if workers is OtherWorkers else "")


def test_a_job_that_fails_is_told_as_it_is_and_its_directory_stays(tmp_path: Path) -> None:
    with loading.registered("trainers", "failing", Failing):
        todo = jobs(tmp_path, 1, "failing")
        with pytest.raises(TrainingError, match="the loss is NaN"):
            list(train(OtherWorkers(), todo, progress=lambda *_: None))
    assert (Path(todo[0].directory) / "checkpoint-7").exists()
