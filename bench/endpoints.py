"""Generation over several endpoints: throughput against the servers' capacity, one against three, fixed and adaptive.

Servers are processes of their own that answer the OpenAI API after a sleep: a real client, real HTTP, no model. Each
takes so many requests at a time and makes others wait, or refuses them with 429 above a number. Run alone::

    python bench/endpoints.py --requests 400

Every ratio is of runs within one process and minute; a second run tells how much it varies.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from twofold.generation.endpoint import balancing
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.types import Message, Prompt

SECONDS = 0.4
"""Of an answer: short for a language model, long against what a request costs this machine."""
BOUND = 32
"""``concurrency`` of the runs."""


def serve(channel: Connection, workers: int, seconds: float, most: int) -> None:
    """Answer until the process is ended; sends its port."""
    slots, lock, running = threading.Semaphore(workers), threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._send(404, {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with lock:
                running[0] += 1
                refuses = running[0] > most
            try:
                if refuses:
                    self._send(429, {"error": {"message": "too many"}})
                    return
                with slots:
                    time.sleep(seconds)
                choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
                self._send(200, {"choices": [choice], "usage": {}})
            finally:
                with lock:
                    running[0] -= 1

        def _send(self, status: int, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    channel.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def running(*servers: tuple[int, float, int]) -> Iterator[list[str]]:
    """Addresses of servers: requests at a time, seconds of one, requests above which it refuses."""
    context = multiprocessing.get_context("spawn")
    processes, urls = [], []
    for server in servers:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, *server), daemon=True)
        process.start()
        processes.append(process)
        urls.append(f"http://127.0.0.1:{here.recv()}/v1")
    try:
        yield urls
    finally:
        for process in processes:
            process.terminate()


class FixedLoad(balancing.EndpointLoad):
    """As a client without a limiter sends: always up to the bound."""

    def _lower(self, ticket: balancing.Sending, now: float) -> None:
        pass


def measured(urls: list[str], requests: int, *, fixed: bool = False) -> tuple[float, float, Any]:
    """Answers per second, the p95 of an answer in seconds, and what the endpoints did."""
    options = OpenAIGenerator.Options(
        model="m", base_url=urls[0], replicas=tuple(urls[1:]), concurrency=BOUND, backoff=0.05, retries=12
    )
    generator = OpenAIGenerator(options)
    if fixed:
        for endpoint in generator._pool._endpoints:
            endpoint.load = FixedLoad(BOUND, breaks=len(urls) > 1)
            endpoint.load.limit = float(BOUND)
    prompts = [Prompt(messages=(Message(role="user", content=str(n)),), max_tokens=8) for n in range(requests)]
    begun = time.perf_counter()
    completions = generator.generate(prompts)
    took = time.perf_counter() - begun
    failed = sum(completion.failure is not None for completion in completions)
    states = generator.endpoints()
    generator.close()
    if failed:
        print(f"  {failed} of {requests} failed")
    seconds = sorted(completion.seconds for completion in completions)
    return requests / took, seconds[int(0.95 * len(seconds))], states


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
    number = parser.parse_args().requests
    many = 10**6
    shapes = {
        "1 server": [(4, SECONDS, many)],
        "3 servers": [(4, SECONDS, many)] * 3,
        "3, one 4 times slower": [(4, SECONDS, many)] * 2 + [(4, 4 * SECONDS, many)],
        "3 that refuse above 4": [(4, SECONDS, 4)] * 3,
        "1 that refuses above 4": [(4, SECONDS, 4)],
    }
    rates: dict[tuple[str, bool], float] = {}
    print(f"{number} requests, at most {BOUND} at once at an endpoint")
    for name, servers in shapes.items():
        capacity = sum(workers / seconds for workers, seconds, _ in servers)
        for fixed in (False, True):
            with running(*servers) as urls:
                rate, p95, states = measured(urls, number, fixed=fixed)
            rates[name, fixed] = rate
            refused = sum(state["refused"] for state in states)
            limits = " ".join(str(state["at_once"]) for state in states)
            how = "fixed" if fixed else "adaptive"
            print(
                f"{name:24} {how:9} {rate:6.1f}/s = {rate / capacity:4.0%} of {capacity:.0f}/s,"
                f" p95 {p95:.2f} s, refused {refused}, limits {limits}"
            )
    print(f"3 servers against 1: {rates['3 servers', False] / rates['1 server', False]:.2f} times")


if __name__ == "__main__":
    main()
