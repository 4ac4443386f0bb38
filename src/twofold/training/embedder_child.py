"""The child process that tunes an embedder: ``python -m twofold.training.embedder_child DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

from twofold.jobs import EmbedderJob
from twofold.plugins import Progress
from twofold.training.child import run
from twofold.training.embedder import MEMORY, EmbedderOptions
from twofold.types import Json


def main(directory: Path) -> int:
    """Tune the embedder of the job in `directory`; returns the exit status."""

    def work(given: Json, progress: Progress) -> None:
        from twofold.training.embedder_fit import fit

        job, options = EmbedderJob.model_validate(given["job"]), EmbedderOptions.model_validate(given["options"])
        fit(job, options, directory, progress=progress)

    return run(directory, work, memory=MEMORY)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
