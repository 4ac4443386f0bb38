"""A proxy before an object store that refuses requests, loses answers, or answers listings of a while ago."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = Callable[[str, str], tuple[int, str] | None]
"""Method and path → the status and S3's code of the answer in place of the store's; None lets a request through."""


@dataclass
class FaultyStore:
    """The running proxy."""

    endpoint: str
    fault: Fault = field(default=lambda method, path: None)
    lose_answers: bool = False
    """Requests that write reach the store, and their answers do not come back."""
    late: bool = False
    """Listings are those of the moment at which this was set."""
    listings: dict[str, tuple[int, list[tuple[str, str]], bytes]] = field(default_factory=dict)


@contextmanager
def before(endpoint: str) -> Iterator[FaultyStore]:
    """Start a proxy before the store at this address."""
    host = urlsplit(endpoint).netloc

    class Proxied(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if refused := store.fault(self.command, self.path):
                text = f"<Error><Code>{refused[1]}</Code><Message>{refused[1]}</Message></Error>"
                self._answer(refused[0], [("Content-Type", "application/xml")], text.encode())
                return
            lists = self.command == "GET" and "list-type" in self.path
            if lists and store.late and self.path in store.listings:
                self._answer(*store.listings[self.path])
                return
            connection = HTTPConnection(host, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if store.lose_answers and self.command in ("PUT", "POST"):
                self.close_connection = True
                self.connection.close()
                return
            passed = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOPS]
            if lists and not store.late:
                store.listings[self.path] = (answer.status, passed, content)
            self._answer(answer.status, passed, content, length=answer.getheader("Content-Length"))

        def _answer(
            self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            # To HEAD the length is that of what is not sent.
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - names of the library

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxied)
    server.daemon_threads = True
    store = FaultyStore(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


_HOPS = {"content-length", "transfer-encoding", "connection"}
