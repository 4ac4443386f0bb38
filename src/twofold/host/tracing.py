"""The trace that work belongs to, as the header of requests to other servers names it (W3C Trace Context).

Set by whoever records traces, in the context of what is done for one request; without traces it is empty, and nothing
is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PARENT: ContextVar[str] = ContextVar("trace_parent", default="")


def trace_parent() -> str:
    """The value of the header ``traceparent``; empty where nothing is traced."""
    return _PARENT.get()


def follow(parent: str) -> None:
    """Have all that runs from here on, in this task or thread, belong to a trace."""
    _PARENT.set(parent)


@contextmanager
def following(parent: str) -> Iterator[None]:
    """Have the block belong to a trace, and what it starts with a copy of its context."""
    token = _PARENT.set(parent)
    try:
        yield
    finally:
        _PARENT.reset(token)


def trace_headers() -> dict[str, str]:
    """Headers of a request to another server."""
    parent = _PARENT.get()
    return {"traceparent": parent} if parent else {}
