"""Code shared by training child processes; ``python -m twofold.training.worker.main DIRECTORY`` tunes a model.

A child reads ``job.json``, trains (or resumes), and leaves its files and ``training.json``. Progress goes to standard
output as JSON lines, and so does a known error, which a full disk would not take; everything else goes to standard
error, which the parent keeps as ``train.log``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from twofold.errors import DiskFull, TrainingError, TwofoldError, refused
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress
from twofold.training.options import KINDS, MEMORY
from twofold.types import Json


def run(directory: Path, work: Callable[[Json, Progress], object], *, memory: str) -> int:
    """Do `work` with the job in `directory`; returns the exit status. A known error is the last line of the output."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not stand among the JSON lines

    def write(event: Json) -> None:
        out.write(json.dumps(event) + "\n")
        out.flush()

    def progress(stage: str, done: int, total: int) -> None:
        write({"stage": stage, "done": done, "total": total})

    try:
        work(json.loads((directory / "job.json").read_text(encoding="utf-8")), progress)
    except Exception as error:  # this is the whole process: the parent learns of a fault by what is written here
        known = _known(error, directory, memory=memory)
        if known is not None:
            write({"error": {"code": known.code, "message": known.message, "cure": known.cure}})
        with contextlib.suppress(OSError):  # the log may lie on a full disk
            traceback.print_exc()
        return 3 if known else 1
    return 0


def _known(error: Exception, directory: Path, *, memory: str) -> TwofoldError | None:
    """The error as one that a user can mend; None where nobody foresaw it."""
    if isinstance(error, TwofoldError):
        return error
    if isinstance(error, MemoryError):
        return TrainingError("out of memory", cure=memory)
    refusal = refused("training cannot write its files", error, file=directory)
    return refusal if isinstance(refusal, DiskFull) else None


def main(directory: Path) -> int:
    """Train the adapter of the job in `directory`; returns the exit status."""

    def work(handed: Json, progress: Progress) -> None:
        from twofold.training.worker.loop import fit

        job, options = (
            TrainerJob.model_validate(handed["job"]),
            KINDS[handed["method"]].model_validate(handed["options"]),
        )
        fit(job, options, directory, progress=progress)

    return run(directory, work, memory=MEMORY)


def leave(status: int) -> None:
    """End this process, of several without waiting for torch's threads.

    A process that had done all its work was now and then aborted by threads that C++ ended (torch 2.13, gloo), so that
    torchrun took the training for failed.
    """
    if "RANK" not in os.environ:
        sys.exit(status)
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])))
