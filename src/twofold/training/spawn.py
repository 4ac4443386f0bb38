"""A training child process, seen from the parent.

The child gives its memory back when it ends, a crash in it is an error here and not the end of the parent, and torch
never enters the parent. The job is handed over as a file, progress comes back as JSON lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

from twofold import errors
from twofold.errors import TrainingError
from twofold.files import writing
from twofold.host import children
from twofold.plugins.protocols import Progress
from twofold.training import launching
from twofold.types import Json

_LEFT_OVER = ("job.json", "checkpoint.pt", "checkpoint.earlier.pt", "checkpoint.new.pt", "best.pt", "probe.json")


def spawn(
    module: str, directory: Path, handed: Json, *, memory: str, processes: int = 1, progress: Progress | None = None
) -> Json:
    """Run ``python -m module directory``, or go on from the checkpoint in `directory`; returns its ``training.json``.

    Args:
        module: Dotted name of the child.
        directory: Where the job is handed over and the result is left.
        handed: What the child reads as ``job.json``.
        memory: What to do when memory runs out.
        processes: Started together by torchrun where there is more than one; the environment may say otherwise (see
            `launching`).
        progress: Told what the child tells.

    Raises:
        NothingToLearn, DiskFull, TrainingError: as the child says; else the message holds the end of its log.
        ConfigError: see `launching.launch`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    writing.write(directory / "job.json", json.dumps(handed))
    log = directory / "train.log"
    start = launching.launch(
        module, [str(directory)], python=sys.executable, processes=processes, environment=os.environ
    )
    # lines arrive while the child runs
    environment = {**_waiting(), **launching.SETTINGS, **os.environ}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    with (
        log.open("ab") as log_file,
        children.running(
            start.module, start.arguments, stdout=subprocess.PIPE, stderr=log_file, environment=environment
        ) as child,
    ):
        assert child.stdout is not None
        tell: Progress = progress or (lambda *_: None)
        fault: Json = {}
        tell("start training", 0, 1)
        for number, line in enumerate(child.stdout):
            if number == 0:
                tell("start training", 1, 1)
            event = _event(line)
            if event is None:
                log_file.write(line)
            elif "error" in event:
                fault = event["error"]
            else:
                tell(event["stage"], event["done"], event["total"])
        status = child.wait()
    # torchrun may have started anew after an error that it survived.
    if fault and status != 0:
        kinds = {c.code: c for c in (errors.NothingToLearn, errors.DiskFull, TrainingError)}
        raise kinds.get(fault["code"], TrainingError)(fault["message"], cure=fault["cure"])
    if status != 0:
        raise _died(log, status, memory=memory)
    report: Json = json.loads((directory / "training.json").read_text(encoding="utf-8"))
    # Not before the report was read: until then a rerun goes on from these.
    for name in _LEFT_OVER:
        (directory / name).unlink(missing_ok=True)
    return report


def _event(line: bytes) -> Json | None:
    """What a child tells; None for a line of somebody else, such as the program that started it on another machine."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and ("error" in event or "stage" in event) else None


def _died(log: Path, status: int, *, memory: str) -> TrainingError:
    """The error of a child that ended without a word."""
    tail = deque(log.read_text(encoding="utf-8", errors="replace").splitlines(), maxlen=6)
    # A child killed itself, or, of several, 128 + 9 from torchrun.
    if status in (-9, 137):
        return TrainingError(
            "the training process was killed, most likely because memory ran out", cure=memory, file=log
        )
    return TrainingError(f"the training process ended with status {status}: {' | '.join(tail)}", file=log)


def _waiting() -> dict[str, str]:
    """How torch's threads wait for each other, unless somebody has set it.

    By default they spin for milliseconds, on cores that other programs could use: beside three busy programs on two
    cores a step of the embedded model took 9.3 s, with this many turns 5.1 s, and 1.6 s on idle cores either way.
    """
    return {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "1000"}
