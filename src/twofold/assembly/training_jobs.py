"""Training jobs done by workers (`[scale]`), each in a child process of the worker, as the command itself would.

Where a worker sees the project's folder it trains in the artifact's working directory, so that a run that was killed
goes on from its checkpoint; else in a folder of its own, whose files come back with the report.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from twofold.execution.contract import Executor
from twofold.execution.telling import tell
from twofold.files import writing
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress, Trainer
from twofold.settings.sections import Part
from twofold.types import Json

_MARK = ".seen-from-elsewhere"
"""A file by which a worker knows that a directory is the command's, and not one of the same name on its own disk."""


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A run of a trainer, ready to begin."""

    name: str
    """What it is, for the progress."""
    method: Part
    """The trainer and its options."""
    job: TrainerJob
    """What it learns."""
    directory: str
    """Absolute working directory of the artifact."""
    mark: str = ""
    """Content of the directory's mark."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a job."""

    report: Json
    """The trainer's."""
    files: dict[str, bytes]
    """Files by their path, of a worker that does not see the directory; empty where they are in place."""


@dataclass(frozen=True, kw_only=True)
class TrainingWork:
    """The work of running training jobs; see `execution.contract.BatchWork`."""

    label: str = "train"
    """For logs and errors."""

    def open(self) -> Callable[[TrainingJob], Trained]:
        """Nothing is opened: each job starts a process of its own."""
        return _trained


def train(executor: Executor, jobs: Sequence[TrainingJob], *, progress: Progress) -> Iterator[tuple[int, Json]]:
    """Run the jobs side by side; yields the place of each and its report, as they end, its files in its directory.

    Args:
        executor: Who runs them.
        jobs: Each with a directory of its own.
        progress: Shows them.

    Raises:
        TrainingError: a job failed.
    """
    marked = []
    for job in jobs:
        mark = uuid.uuid4().hex
        writing.write(Path(job.directory) / _MARK, mark)
        marked.append(replace(job, mark=mark))
    for place, trained in executor.run(TrainingWork(), marked, progress=progress):
        directory = Path(jobs[place].directory)
        for name, content in trained.files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            writing.write(directory / name, content)
        (directory / _MARK).unlink()
        yield place, trained.report


def _trained(training: TrainingJob) -> Trained:
    trainer: Trainer = loading.make("trainers", training.method.name, training.method.options)

    def progress(stage: str, done: int, total: int) -> None:
        tell(f"{training.name} {stage}".strip(), done, total)

    directory = Path(training.directory)
    if _read(directory / _MARK) == training.mark:
        return Trained(report=trainer.train(training.job, directory, progress=progress), files={})
    with tempfile.TemporaryDirectory() as scratch:
        report = trainer.train(training.job, Path(scratch), progress=progress)
        paths = [path for path in Path(scratch).rglob("*") if path.is_file()]
        return Trained(report=report, files={path.relative_to(scratch).as_posix(): path.read_bytes() for path in paths})


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
