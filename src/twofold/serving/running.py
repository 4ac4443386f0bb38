"""The server's process: it listens, says when it is ready, and ends without dropping an answer."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn  # noqa: TID253

from twofold.errors import ServingError
from twofold.serving.guard import Guard
from twofold.serving.wire import HEAD_BYTES, Wire

_TICK = 0.05
"""Seconds between two looks at whether the last answer has ended."""
_KEEP_ALIVE = 75
"""Seconds for which an idle connection is kept."""


def local(host: str) -> bool:
    """Does this address reach this machine only?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 chooses a free one.

    Raises:
        ServingError: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        # A restart must not wait for the connections of the one before to time out.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise ServingError(
            f"the address {host}:{port} cannot be used: {error.strerror or error}",
            cure="Choose another --port, or 0 for a free one, and an address of this machine as --host.",
        ) from error
    return listening


def inherited(descriptor: int) -> socket.socket:
    """The listening socket of the process that started this one.

    Raises:
        ServingError: there is none of that number.
    """
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise ServingError(
            f"the descriptor {descriptor} is no socket: {error.strerror or error}", cure="Leave --listening out."
        ) from error


def address(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_address(listening: socket.socket) -> str:
    """The URL by which this machine reaches a listening socket, also one that listens to every address."""
    return address(listening).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


class Server(uvicorn.Server):
    """A uvicorn server that is stopped by SIGINT, SIGTERM and SIGHUP, and then drains.

    While it drains new requests get 503; it ends when the last answer has, or after the grace. A second signal ends it
    at once.

    Args:
        guard: The application.
        grace: Seconds.
        ready: Called once requests are taken.
    """

    def __init__(self, guard: Guard, *, grace: float, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                guard,
                # Logging is the command's: uvicorn would configure it for the whole process.
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                timeout_keep_alive=_KEEP_ALIVE,
                # `drain` has waited for the answers already: what is left are idle connections, or late.
                timeout_graceful_shutdown=1,
                http=Wire,
                h11_max_incomplete_event_size=HEAD_BYTES,
                ws="none",
            )
        )
        self._guard = guard
        self._grace = grace
        self._ready = ready
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        # After the start: a script that waits for these words may send its request at once.
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals drain this server; those that handled them before do so again afterwards.

        The loop also takes the descriptor by which the command line watches signals, and would end the process.
        """
        loop = asyncio.get_running_loop()
        stopping = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])]
        # Under nohup SIGHUP is ignored, and stays so.
        heard = [number for number in stopping if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.getsignal(number) for number in heard}
        for number in heard:
            loop.add_signal_handler(number, self.drain)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)
                # The loop's removal leaves the default handler, not the one from before.
                signal.signal(number, before[number])

    def drain(self) -> None:
        """Begin no more answers, and end when the last one has; called again, end now."""
        if self._draining is None:
            self._guard.closing = True
            self._draining = asyncio.ensure_future(self._drained())
        else:
            self.force_exit = self.should_exit = True

    async def _drained(self) -> None:
        end = asyncio.get_running_loop().time() + self._grace
        # Requests are counted, not connections: idle ones stay for `_KEEP_ALIVE`.
        while self._guard.running and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_TICK)
        self.should_exit = True
