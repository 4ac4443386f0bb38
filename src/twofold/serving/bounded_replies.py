"""Replies over HTTP of which no more is read than one may be long: a collector of telemetry may send without an end."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

LONGEST = 2**16
"""Bytes of a reply that are read: a collector says in less what it did not take."""


class _Bounded(HTTPAdapter):
    def send(self, request: PreparedRequest, stream: bool = False, *rest: Any, **more: Any) -> Response:  # noqa: ARG002
        """As the adapter's own; what of the reply is longer is dropped, with its connection."""
        reply = super().send(request, True, *rest, **more)
        # Not unpacked: what is short on the way may be long then.
        with reply.raw as raw:
            reply.raw = BytesIO(raw.read(LONGEST, decode_content=False))
        return reply


def bounded_session() -> Session:
    """A session that reads at most `LONGEST` bytes of each reply."""
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Bounded())
    return session
