"""Caps on training, minutes and money, on a machine whose arithmetic is slow: every token read takes its time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from twofold.jobs import TrainerJob

pytest.importorskip("torch")

SLOW = """
import json, os, sys, time
from pathlib import Path
from twofold.jobs import TrainerJob
from twofold.training import fit, network, scoring
from twofold.training.options import LoraOptions

plain, folder = network.token_losses, Path(sys.argv[1])
given = json.loads((folder / "given.json").read_text())
later = time.monotonic() + given["slower_after"]

def slow(model, packs):
    each = given["seconds"] * (10 if time.monotonic() > later else 1)
    time.sleep(each * sum(len(one.ids) for one in packs))
    return plain(model, packs)

for module in (fit, network, scoring):
    module.token_losses = slow
job = TrainerJob.model_validate_json((folder / "rows.json").read_text())
finish, ends = fit._finish, []

def finishing(*given_, **more):
    ends.append(time.monotonic())
    return finish(*given_, **more)

fit._finish, began = finishing, time.monotonic()
fit.fit(job, LoraOptions.model_validate(given["options"]), folder, progress=lambda *_: None)
if os.environ["RANK"] == "0":
    (folder / "took.json").write_text(json.dumps(ends[0] - began))
"""
"""Given the folder of the job: trains there as one of WORLD_SIZE processes, and notes when the loop ended."""


def trained(
    job: TrainerJob, folder: Path, *, processes: int, seconds: float, slower_after: float = 1e9, **options: Any
) -> tuple[float, Any]:
    """Seconds until training ended, saving apart, and its report.

    Each token read takes `seconds`, and ten times as long `slower_after` seconds from the start.
    """
    folder.mkdir()
    settings = {"epochs": 5000, "batch": 12, "dtype": "f32", "threads": processes, "share_prefixes": False, **options}
    given = {"seconds": seconds, "slower_after": slower_after, "options": settings}
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "rows.json").write_text(job.model_dump_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    crew = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", SLOW, str(folder)]
    running = [
        subprocess.Popen(command, env={**os.environ, **crew, "RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(processes)
    ]
    try:
        ends = [one.communicate(timeout=120) for one in running]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [0] * processes, ends[0][1].decode()[-2000:]
    took = json.loads((folder / "took.json").read_text())
    return took, json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize(
    ("processes", "options", "stopped"),
    [
        pytest.param(1, {"euros": 0.04, "euros_an_hour": 12.0, "minutes": 5.0}, "euros", id="euros"),
        pytest.param(2, {"minutes": 0.2}, "minutes", id="minutes-two-processes"),
    ],
)
def test_a_cap_holds_though_one_step_takes_longer_than_it(
    job: TrainerJob, tmp_path: Path, processes: int, options: dict[str, Any], stopped: str
) -> None:
    """Twelve rows of some 40 tokens: a step would take one process 30 s and two 15 s, evaluations left out."""
    few = job.model_copy(update={"dev": job.dev[:1]})
    took, report = trained(few, tmp_path / "cut", processes=processes, seconds=0.06, **options)
    effort = report["effort"]
    assert report["processes"] == processes
    assert effort["stopped"] == stopped
    assert not effort["chance"]
    assert effort["limit_minutes"] == pytest.approx(0.2)
    assert took < 1.1 * max(12.0, report["setup_seconds"]) + 0.5, "a start that takes all of it leaves no step"
    assert effort["minutes_needed"] > 0.2
    if "euros" in options:
        assert report["euros"] <= 0.04 * 1.1 + 0.002


def test_a_cap_holds_on_a_machine_that_becomes_slower(job: TrainerJob, tmp_path: Path) -> None:
    few = job.model_copy(update={"dev": job.dev[:1]})
    took, report = trained(few, tmp_path / "cut", processes=1, seconds=0.004, slower_after=9.0, minutes=0.25)
    assert report["effort"]["stopped"] == "minutes"
    assert report["effort"]["steps"] >= 1
    assert took < 1.1 * 15 + 0.5


def test_a_training_whose_start_takes_all_of_its_cap_tells_the_seconds_of_its_start(
    job: TrainerJob, tmp_path: Path
) -> None:
    few = job.model_copy(update={"dev": job.dev[:1]})
    _, report = trained(few, tmp_path / "none", processes=1, seconds=0.02, minutes=0.001)
    assert report["steps"] == report["effort"]["steps"] == 0
    assert report["seconds"] >= report["setup_seconds"] > 0
    assert report["effort"]["minutes_needed"] > 0


def test_a_cap_that_leaves_time_cuts_nothing_of_two_processes(job: TrainerJob, tmp_path: Path) -> None:
    began = time.monotonic()
    _, report = trained(
        job, tmp_path / "whole", processes=2, seconds=1e-5, epochs=6, minutes=2.0, learning_rate=5e-2, patience=9
    )
    assert report["effort"]["stopped"] == "plan"
    assert report["effort"]["steps"] == report["effort"]["planned"] == 6
    assert report["effort"]["chance"]
    assert time.monotonic() - began < 90
