"""Where nobody watches."""

from __future__ import annotations


def quiet(_stage: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""
