"""How training processes are started: by whom, on how many machines, and what the templates of deploy/ say."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from twofold.errors import ConfigError
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.training import launching
from twofold.training.launching import launch

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def started(processes: int = 1, **environment: str) -> list[str]:
    start = launch("worker", ["DIR"], python="python3", processes=processes, environment=environment)
    return [start.module, *start.arguments]


def test_one_process_is_the_module_itself() -> None:
    assert started() == ["worker", "DIR"]


def test_several_are_started_by_torchrun_and_watch_the_command() -> None:
    words = started(2)
    assert words[:3] == ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert words[-4:] == ["-m", "twofold.host.children", "worker", "DIR"]


def test_the_environment_says_on_how_many_it_runs_today() -> None:
    words = started(2, TWOFOLD_TORCHRUN="--standalone --nproc-per-node=3 --max-restarts=2")
    assert words[1:4] == ["--standalone", "--nproc-per-node=3", "--max-restarts=2"]


def test_a_launcher_stands_before_torchrun() -> None:
    words = started(2, TWOFOLD_TORCHRUN="--nnodes=2", TWOFOLD_LAUNCHER="srun --label 'a b'")
    assert words[1:4] == ["srun", "--label", "a b"]
    assert words[4:] == ["python3", "-P", "-m", "torch.distributed.run", "--nnodes=2", "-m", "worker", "DIR"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TWOFOLD_TORCHRUN": "--nnodes='2"}, "TWOFOLD_TORCHRUN cannot be read"),
        ({"TWOFOLD_LAUNCHER": "srun"}, "TWOFOLD_LAUNCHER is set and TWOFOLD_TORCHRUN is not"),
    ],
)
def test_what_cannot_be_started_is_an_error_that_names_the_variable(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        started(**environment)


def test_only_a_pace_of_this_machine_and_these_options_is_stored() -> None:
    assert not launching.elsewhere({})
    assert launching.elsewhere({"TWOFOLD_TORCHRUN": "--standalone --nproc-per-node=3"})
    assert launching.elsewhere({"TWOFOLD_LAUNCHER": "srun"})


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("gpus", "expected"), [("", 1), ("8", 8)])
def test_the_template_for_slurm_says_what_torchrun_needs(tmp_path: Path, gpus: str, expected: int) -> None:
    program(tmp_path / "bin/scontrol", "printf 'node7\\nnode8\\n'")
    twofold = program(tmp_path / "bin/twofold", 'echo "$TWOFOLD_LAUNCHER|$TWOFOLD_TORCHRUN|$*"')
    environment = {
        "PATH": f"{twofold.parent}:{os.environ['PATH']}",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_JOB_ID": "31007",
        "SLURM_CPUS_PER_TASK": "16",
        **({"SLURM_GPUS_ON_NODE": gpus} if gpus else {}),
    }
    command = ["bash", str(DEPLOY / "slurm/tune.sbatch"), "my-project", "--arm", "ft"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    launcher, torchrun, arguments = done.stdout.strip().split("|")
    assert launcher.startswith("srun ")
    assert f"--nnodes=2 --nproc-per-node={expected} " in torchrun
    assert "--rdzv-endpoint=node7:29407" in torchrun
    assert arguments == "tune -C my-project --arm ft"


@pytest.mark.slow
def test_a_launcher_starts_the_processes_of_two_machines(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are this machine; the launcher writes a line of its own, as programs of clusters do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    twice = program(tmp_path / "twice", 'echo "starting"; "$@" & "$@" & wait -n && wait -n')
    options = {"epochs": 2, "batch": 4, "dtype": "f32", "evaluations": 1, "threads": 1}
    whole = loading.make("trainers", "lora", options).train(job, tmp_path / "whole")
    monkeypatch.setenv(launching.LAUNCHER, str(twice))
    rendezvous = f"--rdzv-backend=c10d --rdzv-id=test --rdzv-endpoint=localhost:{port}"
    monkeypatch.setenv(launching.TORCHRUN, f"--nnodes=2 --nproc-per-node=1 {rendezvous}")
    report = loading.make("trainers", "lora", options).train(job, tmp_path / "two")
    assert report["processes"] == 2
    assert [loss for _, loss in report["loss"]] == pytest.approx([loss for _, loss in whole["loss"]], rel=1e-4)
    assert "starting" in (tmp_path / "two" / "train.log").read_text()
