"""Servers on this machine that speak the OpenAI API, each with a capacity and a fault of its own."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SILENT = -1
"""A status: the request gets no answer until the server ends."""
BROKEN = -2
"""A status: the connection is closed without an answer."""


@dataclass(kw_only=True, eq=False)
class Replica:
    """What a server does, and what it saw."""

    workers: int = 4
    """Requests that it computes at the same time; others wait."""
    seconds: float = 0.01
    """That one takes."""
    most: int = 10**6
    """Requests under way above which it refuses with 429."""
    retry_after: str = ""
    status: int = 200
    """Of every answer to a prompt, or `SILENT` or `BROKEN`."""
    looks: int = 200
    """The same of its list of models."""
    serves: dict[str, Any] = field(default_factory=lambda: {"id": "m", "owned_by": "vllm", "root": "/w/m-8b"})
    """Its only row in the list of models."""
    version: str = "0.32.0"
    twice: bool = False
    """It sends each answer a second time, as if to the next request."""
    url: str = ""
    answered: Counter[str] = field(default_factory=Counter)
    """Prompt → how often it was answered."""
    names: list[tuple[str, str]] = field(default_factory=list)
    """Prompt and ``Idempotency-Key`` of each request."""
    peak: int = 0
    looked: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: int = 0

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.workers)

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON for a prompt."""
        text = body["messages"][-1]["content"]
        with self._lock:
            self._running += 1
            self.peak = max(self.peak, self._running)
            refuses = self._running > self.most
        try:
            if self.status == SILENT:
                self.ended.wait(30)
                return BROKEN, None
            if refuses:
                return 429, {"error": {"message": "too many requests"}}
            if self.status != 200:
                return self.status, {"error": {"message": "ordered fault"}}
            with self._slots:
                time.sleep(self.seconds)
            with self._lock:
                self.answered[text] += 1
            choice = {"message": {"content": f"to {text}"}, "finish_reason": "stop"}
            return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        finally:
            with self._lock:
                self._running -= 1


class _Handler(BaseHTTPRequestHandler):
    replica: Replica
    protocol_version = "HTTP/1.1"
    # Head and body go out together: two small packets would wait for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        replica = self.replica
        replica.looked += 1
        if replica.looks == SILENT:
            replica.ended.wait(30)
        rows = {"/v1/models": {"data": [replica.serves]}, "/version": {"version": replica.version}}
        value = rows.get(self.path)
        self._send(404 if value is None else replica.looks, value or {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.replica.names.append((body["messages"][-1]["content"], self.headers.get("idempotency-key", "")))
        status, value = self.replica.answer(body)
        if status == 200 and body.get("stream"):
            text = value["choices"][0]["message"]["content"]
            events = [{"choices": [{"delta": {"content": piece}}]} for piece in (text[:2], text[2:])]
            events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]
            lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
            self._send(200, lines + "data: [DONE]\n\n")
        else:
            self._send(status, value)

    def _send(self, status: int, value: Any) -> None:
        if status in (BROKEN, SILENT):
            self.close_connection = True
            self.connection.close()
            return
        content = (value if isinstance(value, str) else json.dumps(value)).encode()
        try:
            for _ in range(2 if self.replica.twice and status == 200 and self.command == "POST" else 1):
                self.send_response(status)
                if status in (429, 503) and self.replica.retry_after:
                    self.send_header("Retry-After", self.replica.retry_after)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes its connection is no fault of the server."""


@contextmanager
def running(*replicas: Replica) -> Iterator[tuple[Replica, ...]]:
    """The servers, listening."""
    servers: list[_Server] = []
    for replica in replicas:
        server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"replica": replica}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        replica.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        servers.append(server)
    try:
        yield replicas
    finally:
        for replica, server in zip(replicas, servers, strict=True):
            replica.ended.set()
            server.shutdown()
            server.server_close()
