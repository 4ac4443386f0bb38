"""Work in this process, batch after batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

from twofold.execution.contract import BatchWork, In, Out
from twofold.execution.telling import Tell, heard_by


class Local:
    """See `contract.Executor`: each batch is done when its result is taken."""

    workers = 1

    def run(
        self, work: BatchWork[In, Out], batches: Iterable[In], *, progress: Tell | None = None
    ) -> Iterator[tuple[int, Out]]:
        """Do the batches in order."""
        do = work.open()
        for place, batch in enumerate(batches):
            with heard_by(progress) if progress else nullcontext():
                result = do(batch)
            yield place, result
