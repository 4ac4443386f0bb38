"""What is done for one request carries its trace to other servers, and nothing else does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.host.tracing import follow, following, trace_headers, trace_parent
from twofold.types import Completion, Message, Prompt

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Endpoint(BaseHTTPRequestHandler):
    parents: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.parents.append(self.headers.get("traceparent"))
        choice = {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Endpoint.parents.clear()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_block_follows_its_trace_and_then_the_one_before() -> None:
    assert trace_headers() == {}
    with following(PARENT):
        assert trace_headers() == {"traceparent": PARENT}
        seen: list[str] = []
        other = threading.Thread(target=lambda: seen.append(trace_parent()))
        other.start()
        other.join()
        assert seen == [""], "another thread does other work"
    assert trace_parent() == ""


def test_an_endpoint_learns_the_trace_of_each_request_in_the_batch(endpoint: str) -> None:
    options = OpenAIGenerator.Options(base_url=endpoint, model="m", api_key_env="")
    generator = OpenAIGenerator(options)
    batch = generator.live()
    prompt = Prompt(messages=(Message(role="user", content="?"),))
    try:
        for parent in (PARENT, ""):
            done = threading.Event()
            with following(parent):
                batch.submit(prompt, lambda item, done=done: done.set() if isinstance(item, Completion) else None)
            assert done.wait(10)
        follow("")
        generator.generate([prompt])
    finally:
        batch.close()
        generator.close()
    assert Endpoint.parents == [PARENT, None, None]
