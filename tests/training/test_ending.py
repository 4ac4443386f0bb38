"""Real training ends with the process that asked for it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from forked import Nursery
from twofold.plugins.jobs import TrainerJob

PARENT = """
import sys
from pathlib import Path
from twofold.plugins import protocols as plugins
from twofold.plugins import loading as plugin_loading
from twofold.plugins.jobs import TrainerJob

job = TrainerJob.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
trainer = plugin_loading.make("trainers", "lora", {"epochs": 100000, "processes": int(sys.argv[3])})
trainer.train(job, Path(sys.argv[2]), progress=lambda stage, done, total: print(stage, done, flush=True))
"""


def training(place: Path) -> list[int]:
    """Processes that train in this folder."""
    found = []
    for pid in (p for p in os.listdir("/proc") if p.isdigit()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
        except OSError:
            continue
        if "twofold.training.worker.main" in command and str(place) in command:
            found.append(int(pid))
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are found in Linux's /proc")
@pytest.mark.parametrize(
    ("number", "processes"),
    [
        pytest.param(signal.SIGKILL, 1, id="kill"),
        pytest.param(signal.SIGTERM, 1, id="term", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 2, id="kill-together", marks=pytest.mark.slow),
    ],
)
def test_training_ends_with_its_parent(
    number: signal.Signals, processes: int, job: TrainerJob, tmp_path: Path, nursery: Nursery
) -> None:
    (tmp_path / "given").write_text(job.model_dump_json(), encoding="utf-8")
    place = tmp_path / "made"
    parent = nursery.start(PARENT, str(tmp_path / "given"), str(place), str(processes))
    for line in parent.stdout:
        if line.startswith("train ") and line.split()[1] not in ("0", "1"):
            break
    else:
        raise AssertionError((place / "train.log").read_text(encoding="utf-8"))
    assert len(training(place)) >= processes
    os.kill(parent.pid, number)
    began = time.monotonic()
    while training(place):
        assert time.monotonic() - began < 20
        time.sleep(0.02)
    assert parent.wait() == -number
