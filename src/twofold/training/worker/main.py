"""Code shared by training child processes; ``python -m twofold.training.worker.main DIRECTORY`` tunes a model.

A child reads ``job.json``, trains (or resumes), and leaves its files and ``training.json``. Progress goes to standard
output as JSON lines, everything else to standard error, which the parent keeps as ``train.log``.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from twofold.errors import TrainingError, TwofoldError
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress
from twofold.training.options import KINDS, MEMORY
from twofold.types import Json


def run(directory: Path, work: Callable[[Json, Progress], object], *, memory: str) -> int:
    """Do `work` with the job in `directory`; returns the exit status. A known error is left in ``error.json``."""
    out = sys.stdout
    sys.stdout = sys.stderr

    def progress(stage: str, done: int, total: int) -> None:
        out.write(json.dumps({"stage": stage, "done": done, "total": total}) + "\n")
        out.flush()

    handed = json.loads((directory / "job.json").read_text(encoding="utf-8"))
    try:
        work(handed, progress)
    except TwofoldError as error:
        _tell(directory, error)
        return 3
    except MemoryError:
        _tell(directory, TrainingError("out of memory", cure=memory))
        return 3
    except Exception:
        traceback.print_exc()
        return 1
    return 0


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


def _tell(directory: Path, error: TwofoldError) -> None:
    traceback.print_exc()
    fault = {"code": error.code, "message": error.message, "cure": error.cure}
    (directory / "error.json").write_text(json.dumps(fault), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
