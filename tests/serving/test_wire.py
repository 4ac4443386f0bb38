"""Callers who send without end, or read nothing, hold no connection; what can be read in two ways is refused."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn  # noqa: TID253

from twofold.serving import wire
from twofold.serving.counters import Counters
from twofold.serving.guard import Guard
from twofold.serving.wire import HEAD_BYTES, Wire

Connect = Callable[[], socket.socket]
LARGE = b"a" * (64 * 1024 * 1024)
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = LARGE if scope["path"] == "/large" else b"fine"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def connect() -> Iterator[Connect]:
    """A connection to a server in this process, whose limits of time are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "HEAD_SECONDS", 0.3)
        patch.setattr(wire, "READ_SECONDS", 0.3)
        guard = Guard(app, counters=Counters(later=lambda: 0), most=1000, origins=(), keyless=lambda: False)
        config = uvicorn.Config(
            guard, http=Wire, log_config=None, lifespan="off", ws="none", h11_max_incomplete_event_size=HEAD_BYTES
        )
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield lambda: socket.create_connection(address, timeout=10)
        server.should_exit = True
        thread.join()
        listening.close()


def reply(connect: Connect, data: bytes) -> tuple[bytes, bool]:
    """What comes back until the connection is closed or nothing more comes, and was it closed?"""
    received = b""
    with connect() as connection:
        connection.sendall(data)
        connection.settimeout(0.15)
        try:
            while piece := connection.recv(65536):
                received += piece
        except TimeoutError:
            return received, False
        return received, True


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", HEAD + b"X: a"], ids=["nothing", "a line", "a header"])
def test_a_head_that_does_not_come_ends_the_connection(connect: Connect, begun: bytes) -> None:
    with connect() as connection:
        connection.sendall(begun)
        assert connection.recv(1) == b""


def test_a_second_head_on_the_same_connection_has_no_more_time(connect: Connect) -> None:
    with connect() as connection:
        connection.sendall(HEAD + b"\r\n")
        assert b"fine" in connection.recv(65536)
        connection.sendall(HEAD)
        begun = time.monotonic()
        while connection.recv(65536):
            pass
        assert time.monotonic() - begun < 5


def test_a_head_that_trickles_ends_too(connect: Connect) -> None:
    begun = time.monotonic()
    with connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(HEAD)
        while time.monotonic() - begun < 5:
            connection.sendall(b"X: a\r\n")
            time.sleep(0.02)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "flood", [b"GET /" + b"a" * 10_000_000, HEAD + b"X: a\r\n" * 2_000_000], ids=["url", "headers"]
)
def test_a_head_without_end_is_refused_after_64_kib(connect: Connect, flood: bytes) -> None:
    with connect() as connection, pytest.raises(OSError, match=r"(?i)reset|pipe|abort"):
        connection.sendall(flood)


def test_who_reads_nothing_is_left(connect: Connect) -> None:
    with connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.8)
        received = 0
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 20):
                received += len(piece)
        assert received < len(LARGE)
    with connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = 0
        while piece := connection.recv(1 << 20):
            received += len(piece)
        assert received > len(LARGE)


def chunked(*headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [b"POST / HTTP/" + version, b"Host: localhost", b"Transfer-Encoding: chunked", *headers]
    return b"\r\n".join([*lines, b"", b"0", b"", HEAD, b""])


@pytest.mark.parametrize(
    "data",
    [
        chunked(b"Content-Length: 5"),
        chunked(b"Transfer-Encoding: identity"),
        chunked(version=b"1.0"),
        HEAD.replace(b"GET", b"POST") + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD.replace(b"GET", b"POST") + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD.replace(b"GET", b"POST") + b"Content-Length : 3\r\n\r\nabc",
        HEAD.replace(b"GET", b"POST") + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Host: evil.example\r\n\r\n",
        HEAD + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        HEAD + b"Origin: http://localhost\r\nOrigin: http://evil.example\r\n\r\n",
        HEAD + b"X: a\0b\r\n\r\n",
        HEAD + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X: a\r\n\tContent-Length: 50\r\n\r\n",
        HEAD + b"Authorization: Bearer\r\n a\r\n\r\n",
        HEAD + b"X: a\n\r\n",
        HEAD.replace(b"\r\n", b"\n") + b"\n",
        HEAD + b"X: a\r\n\n",
        chunked().replace(b"0\r\n", b"0\r\nX: a\n\n"),
        chunked().replace(b"0\r\n", b"0\r\nContent-Length: 5\r\n"),
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda data: data[:60].decode("latin-1") + str(len(data)),
)
def test_what_proxies_could_read_otherwise_is_a_400_and_ends_the_connection(connect: Connect, data: bytes) -> None:
    received, closed = reply(connect, data)
    head, _, body = received.partition(b"\r\n\r\n")
    assert (head[:13], closed) == (b"HTTP/1.1 400 ", True)
    assert received.count(b"HTTP/1.1 ") == 1, "nothing that follows is taken for a request"
    assert json.loads(body)["error"]["code"] == "http.bad-request"


def test_a_head_that_came_with_the_request_before_is_looked_at_too(connect: Connect) -> None:
    received, closed = reply(
        connect, HEAD + b"\r\n" + HEAD + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n" + HEAD + b"\r\n"
    )
    assert [received.count(status) for status in (b"HTTP/1.1 200 ", b"HTTP/1.1 400 ")] == [1, 1]
    assert closed


def test_a_body_that_goes_on_after_its_refusal_ends_too(connect: Connect) -> None:
    begun = time.monotonic()
    with connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(
            HEAD.replace(b"GET", b"POST") + b"Origin: http://evil.example\r\nContent-Length: 900\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")
        while time.monotonic() - begun < 5:
            connection.sendall(b"a")
            time.sleep(0.02)
    assert time.monotonic() - begun < 5


def test_a_body_that_breaks_after_its_refusal_ends_the_connection_and_logs_no_fault(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with connect() as connection:
        head = b"Origin: http://evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(HEAD.replace(b"GET", b"POST") + head + b"1\r\na\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")
        connection.sendall(b"no number\r\n")
        assert connection.recv(65536) == b""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_request_that_breaks_before_its_route_begins_logs_no_fault(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Head and broken body come together: the route is begun when the connection is closed already."""
    head = b"Origin: http://evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    for body in (b"no number\r\n", b"0\r\nX: a\r\n\r\n"):
        received, closed = reply(connect, HEAD.replace(b"GET", b"POST") + head + body)
        assert (received[:13], received.count(b"HTTP/1.1 "), closed) == (b"HTTP/1.1 400 ", 1, True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_another_protocol_is_passed_over_and_nobody_is_told_to_install_it(
    connect: Connect, caplog: pytest.LogCaptureFixture, protocol: bytes
) -> None:
    received, closed = reply(connect, HEAD + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n")
    assert (received[:13], received[-4:], closed) == (b"HTTP/1.1 200 ", b"fine", False)
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_what_is_unusual_and_clear_is_answered(connect: Connect) -> None:
    for data in (b"GET /healthz HTTP/1.0\r\n\r\n", chunked()):
        assert reply(connect, data)[0].startswith(b"HTTP/1.1 200 ")
