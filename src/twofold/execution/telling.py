"""Progress of work, told from wherever it runs to the command that waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str, int, int], None]
"""Gets stage, items done, and items in all."""


def _nobody(_stage: str, _done: int, _total: int) -> None:
    """Nobody listens."""


_listener: list[Tell] = [_nobody]


def tell(stage: str, done: int, total: int) -> None:
    """Tell how far a batch of work is; work calls this, whoever does it."""
    _listener[-1](stage, done, total)


@contextmanager
def heard_by(listener: Tell) -> Iterator[None]:
    """While the block runs, `listener` gets what `tell` is called with in this process."""
    _listener.append(listener)
    try:
        yield
    finally:
        _listener.pop()
