"""HTTP on the wire, with limits of time and size for callers who send or read without end.

By h11, which refuses a head of more than a set size and most of what proxies could read in two ways. Refused here are
lines that go on in the next one, lines that end without a carriage return, and headers after a body.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: TID253

from twofold.serving import faults

HEAD_BYTES = 64 * 1024
"""Most bytes of a request's line and headers."""
HEAD_SECONDS = 20.0
"""Time in which they must arrive."""
READ_SECONDS = 60.0
"""Time for which a caller may read nothing of a reply that does not fit into the connection's buffers."""
_END = re.compile(rb"\n\r?\n")
# h11 joins a folded line with the one before, where a proxy may see a header of its own: two bodies, two requests.
_TWO_WAYS = re.compile(rb"\n[ \t]|(?<!\r)\n")


class Requests(h11.Connection):
    """A connection's requests, without headers after a body.

    Nobody reads those, and h11 ends them at two bare line feeds, where a proxy may see one long header: what follows
    would be another request for one of the two only.
    """

    def next_event(self) -> Any:
        """The next event.

        Raises:
            RemoteProtocolError: headers follow a body.
        """
        event = super().next_event()
        if isinstance(event, h11.EndOfMessage) and list(event.headers):
            raise h11.RemoteProtocolError("headers after a body are not taken")
        return event


class Wire(H11Protocol):
    """A connection that is closed when its caller sends no whole request, or reads no reply, in time."""

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.conn = Requests(h11.SERVER, self.config.h11_max_incomplete_event_size or HEAD_BYTES)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for timer in (self._late, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        super().data_received(data)
        # Uvicorn itself bounds only the pause between two requests, and ends that with the first byte.
        if self._unfinished:
            self._expect()
        elif self._late is not None:
            self._late.cancel()
            self._late = None

    def handle_events(self) -> None:
        """Look at the next head, also at one that came together with the request before, and answer it."""
        if self.conn.their_state is h11.IDLE:
            waiting, _ = self.conn.trailing_data
            end = _END.search(waiting)
            if end and _TWO_WAYS.search(waiting, 0, end.end()):
                self.send_400_response("a line can be read in two ways")
                return
        super().handle_events()

    def _get_upgrade(self) -> None:
        # HTTP lets a server pass it over. Uvicorn would tell the operator to install a library, at each such request.
        return None

    def pause_writing(self) -> None:
        """Begin to wait for the caller to read."""
        super().pause_writing()
        # `abort`: `close` would wait for the buffer that nobody reads.
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Wait no longer."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is no HTTP, in the shape of every other error."""
        # What is broken may be the rest of a request that was refused by its head, and answered.
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        content = faults.encoded(faults.of_status(400))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        events = (h11.Response(status_code=400, headers=headers), h11.Data(data=content), h11.EndOfMessage())
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        # A head may have begun its route already, whose reply would come second, and fail.
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def _expect(self) -> None:
        # Begun once: a byte now and then must not put the end off.
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def _close(self) -> None:
        self._late = None
        if self._unfinished:
            self.transport.close()

    @property
    def _unfinished(self) -> bool:
        """Is the head not whole yet, or the body of a request that is answered already?

        The body of any other request is waited for by `guard`.
        """
        theirs, ours = self.conn.their_state, self.conn.our_state
        return theirs is h11.IDLE or (theirs is h11.SEND_BODY and ours is h11.DONE)
