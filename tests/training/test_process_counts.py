"""A training run goes on whatever the number of processes it had, and whichever of them dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import TrainingError
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.training import launching

OPTIONS: dict[str, Any] = {
    "epochs": 5,
    "batch": 4,
    "dtype": "f32",
    "checkpoint_seconds": 0,
    "patience": 9,
    "evaluations": 2,
    "learning_rate": 5e-3,
    "threads": 1,
}
# Sums of gradients are rounded otherwise where other processes add them up, and Adam makes much of small differences:
# at ten times this learning rate losses of spread weights were .7 % apart after fifteen steps.
TOLERANCE = 1e-3


def on(processes: int, *, restarts: int = 0) -> str:
    """torchrun's arguments for so many processes of this machine."""
    return f"--standalone --nproc-per-node={processes} --max-restarts={restarts}"


def of_run(directory: Path) -> list[int]:
    """The processes of the run in `directory`: what writes its log."""
    mine = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/2") == str(directory / "train.log"):
                mine.append(pid)
    return mine


def rank_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = line.partition(b"=")
            if name == b"RANK":
                return value.decode()
    return ""


def logged(directory: Path) -> list[tuple[int, float, float]]:
    """Step, loss and learning rate of every step."""
    lines = map(json.loads, (directory / "training.log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"], line["rate"]) for line in lines if "rate" in line]


def at_step(number: int, act: Callable[[], None]) -> Callable[[str, int, int], None]:
    waiting = [number]

    def progress(stage: str, done: int, _total: int) -> None:
        if stage == "train" and waiting == [done]:
            waiting.clear()
            act()

    return progress


def same_steps(mine: list[tuple[int, float, float]], whole: list[tuple[int, float, float]]) -> None:
    assert [(step, rate) for step, _, rate in mine] == [(step, rate) for step, _, rate in whole]
    assert [loss for _, loss, _ in mine] == pytest.approx([loss for _, loss, _ in whole], rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True], ids=["whole", "spread"])
@pytest.mark.parametrize("counts", [(2, 1), (2, 3), (1, 2), (3, 2)])
def test_a_run_resumes_on_another_number_of_processes(
    counts: tuple[int, int], shard: bool, job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = counts
    # The option is part of keys and stays; the environment says on how many it runs today.
    trainer = loading.make("trainers", "lora", {**OPTIONS, **({"processes": 2, "shard": True} if shard else {})})
    cut = tmp_path / "cut"

    def kill_all() -> None:
        for pid in of_run(cut):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setenv(launching.TORCHRUN, on(before))
    with pytest.raises(TrainingError, match="killed"):
        trainer.train(job, cut, progress=at_step(6, kill_all))
    monkeypatch.setenv(launching.TORCHRUN, on(after))
    steps: list[int] = []
    report = trainer.train(job, cut, progress=lambda s, d, t: steps.append(d) if s == "train" else None)
    assert steps[0] >= 5
    assert report["processes"] == after
    assert any(f"on {after} processes, after {before}" in note for note in report["notes"])
    monkeypatch.setenv(launching.TORCHRUN, on(1))
    whole = loading.make("trainers", "lora", OPTIONS).train(job, tmp_path / "whole")
    same_steps(logged(cut), logged(tmp_path / "whole"))
    assert report["dev"] == whole["dev"]


@pytest.mark.slow
def test_where_a_process_dies_all_go_on_from_the_last_checkpoint(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = loading.make("trainers", "lora", OPTIONS)
    directory = tmp_path / "elastic"

    def kill_second() -> None:
        for pid in of_run(directory):
            if rank_of(pid) == "1":
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setenv(launching.TORCHRUN, on(2, restarts=1))
    report = trainer.train(job, directory, progress=at_step(6, kill_second))
    monkeypatch.delenv(launching.TORCHRUN)
    whole = trainer.train(job, tmp_path / "whole")
    same_steps(logged(directory), logged(tmp_path / "whole"))
    assert report["steps"] == whole["steps"]
    assert report["dev"] == whole["dev"]
