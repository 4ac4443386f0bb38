"""Work in this process, batch after batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twofold.execution.contract import In, Out, Work


class Local:
    """See `contract.Executor`: each batch is done when its result is taken."""

    workers = 1

    def run(self, work: Work[In, Out], batches: Iterable[In]) -> Iterator[tuple[int, Out]]:
        """Do the batches in order."""
        do = work.open()
        for place, batch in enumerate(batches):
            yield place, do(batch)

    def close(self) -> None:
        """Nothing to end."""
