"""What flows and executors agree on: work that any process can open, and batches that any worker can do again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from twofold.execution.telling import Tell

In = TypeVar("In")
Out = TypeVar("Out")


Taken_contra = TypeVar("Taken_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class BatchWork(Protocol[Taken_contra, Result_co]):
    """What workers do. It is sent to them by value: settings and paths, no open file, model or connection.

    Doing a batch twice must give the same and change nothing: a worker that dies is replaced, and its batch done again.
    """

    @property
    def label(self) -> str:
        """What it is, for logs and errors: ``answer rag``."""

    def open(self) -> Callable[[Taken_contra], Result_co]:
        """Open what a worker needs, once in each; returns what does a batch.

        Raises:
            TwofoldError: this machine lacks something; it reaches the command that asked.
        """


class Executor(Protocol):
    """Does batches of work, here or elsewhere."""

    @property
    def workers(self) -> int:
        """Batches done at a time."""

    def run(
        self, work: BatchWork[In, Out], batches: Iterable[In], *, progress: Tell | None = None
    ) -> Iterator[tuple[int, Out]]:
        """Do the batches; yields the place of each with its result, as they are done.

        The batches are taken one by one as workers come free, and nobody runs far ahead of who takes the results, so
        that neither side fills its memory.

        Args:
            work: What to do.
            batches: What it is done to.
            progress: Gets what the work tells (`telling.tell`); for batches that take minutes.

        Raises:
            TwofoldError: what the work raised for a batch.
            ClusterError: the cluster cannot be reached, or lost a batch for good.
        """
