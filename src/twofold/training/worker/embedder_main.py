"""The child process that tunes an embedder: ``python -m twofold.training.worker.embedder_main DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

from twofold.plugins.jobs import EmbedderJob
from twofold.plugins.protocols import Progress
from twofold.training.embedder import MEMORY, EmbedderOptions
from twofold.training.worker.main import run
from twofold.types import Json


def main(directory: Path) -> int:
    """Tune the embedder of the job in `directory`; returns the exit status."""

    def work(handed: Json, progress: Progress) -> None:
        from twofold.training.worker.embedder_loop import fit

        job, options = EmbedderJob.model_validate(handed["job"]), EmbedderOptions.model_validate(handed["options"])
        fit(job, options, directory, progress=progress)

    return run(directory, work, memory=MEMORY)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
