"""What an index may offer beyond its protocol: pieces of it that workers write apart, put in by one change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from twofold.types import Chunk


class PieceWriter(Protocol):
    """Writes pieces; it is sent to workers by value."""

    @property
    def place(self) -> str:
        """Where the pieces lie: another place has other ones."""
        ...

    def write(self, chunks: Sequence[Chunk], vectors: Any) -> str:
        """Write chunks as a piece that nobody sees yet; returns what `Assembles.assemble` needs of it, on one line."""
        ...


class Workers(Protocol):
    """What does batches of work; an `execution.contract.Executor` is one."""

    @property
    def workers(self) -> int:
        """Batches done at a time."""
        ...

    def run(self, work: Any, batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Do the batches; yields the place of each with its result, as they are done."""
        ...


@runtime_checkable
class Assembles(Protocol):
    """An index whose pieces workers write where it lies."""

    def pieces(self) -> PieceWriter:
        """What writes them."""
        ...

    def assemble(self, pieces: Sequence[str], workers: Workers | None = None) -> None:
        """Put pieces into the index, in one version; none of their documents may be in it.

        Args:
            pieces: What `PieceWriter.write` returned; none where only what makes it fast is to be built.
            workers: They build what makes a large index fast; None: this process does.

        Raises:
            StoreError: a piece is gone, or the index cannot be changed; nothing of it was.
        """
        ...
