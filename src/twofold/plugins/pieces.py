"""What an index may offer beyond its protocol: pieces of it that workers write apart, put in by one change."""

from __future__ import annotations

from collections.abc import Sequence
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


@runtime_checkable
class Assembles(Protocol):
    """An index whose pieces workers write where it lies."""

    def pieces(self) -> PieceWriter:
        """What writes them."""
        ...

    def assemble(self, pieces: Sequence[str]) -> None:
        """Put pieces into the index, in one version; none of their documents may be in it.

        Raises:
            StoreError: a piece is gone, or the index cannot be changed; nothing of it was.
        """
        ...
