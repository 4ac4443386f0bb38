"""A fine-tuning endpoint on this machine: files, jobs, events, checkpoints, chat; with faults to order."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Endpoint:
    """What the server holds, and what it is told to do wrong."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.polls_until_done = 2
        self.outcome = "succeeded"
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, list[str]] = {}
        """``VERB /path`` → what happens to its next calls: a status code, ``lost`` (done, but no answer), ``slow``."""
        self.checkpoints: list[dict[str, Any]] = []
        self.asked_of: list[str] = []
        self.reply: Callable[[str, str], str] = lambda _model, _question: "tuned"
        """Model and last message → what it says."""
        self.url = ""

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"ftjob-{len(self.jobs) + 1}"
        if body["training_file"] not in self.files:
            raise KeyError(body["training_file"])
        job = {"id": name, "object": "fine_tuning.job", "status": "queued", "polls": 0, "created_at": 1000, **body}
        self.jobs[name] = job
        return job

    def poll(self, job: dict[str, Any]) -> dict[str, Any]:
        job["polls"] += 1
        if job["status"] in ("queued", "running"):
            job["status"] = "running"
            if job["polls"] >= self.polls_until_done:
                job["status"] = self.outcome
                if self.outcome == "succeeded":
                    job |= {"fine_tuned_model": f"ft:{job['model']}:{job['id']}", "trained_tokens": 2_000_000}
                    job |= {"finished_at": 1100}
                else:
                    job["error"] = {"message": "the file has a line that breaks the rules"}
        return job

    def answer(self, verb: str, path: str, body: bytes) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        path = path.removeprefix("/v1")
        if (verb, path) == ("POST", "/files"):
            name = f"file-{len(self.files) + 1}"
            self.files[name] = body
            return 200, {"id": name, "purpose": "fine-tune"}
        if verb == "DELETE":
            self.deleted.append(path.rpartition("/")[2])
            return 200, {"deleted": True}
        if (verb, path) == ("POST", "/fine_tuning/jobs"):
            return 200, self.create(json.loads(body))
        if (verb, path) == ("GET", "/fine_tuning/jobs"):
            rows = list(reversed(self.jobs.values()))
            after = re.search(r"after=([\w-]+)", query)
            if after:
                rows = rows[[row["id"] for row in rows].index(after[1]) + 1 :]
            return 200, {"data": rows[:2], "has_more": len(rows) > 2}
        if path == "/chat/completions":
            given = json.loads(body)
            self.asked_of.append(given["model"])
            text = self.reply(given["model"], given["messages"][-1]["content"])
            return 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}
        found = re.fullmatch(r"/fine_tuning/jobs/([\w-]+)(/\w+)?", path)
        if found is None or found[1] not in self.jobs:
            return 404, {"error": {"message": f"no such thing: {path}"}}
        job = self.jobs[found[1]]
        if found[2] == "/cancel":
            job["status"] = "cancelled"
        elif found[2] == "/events":
            points = [{"step": n, "total_steps": 3, "train_loss": 2.0 / n, "valid_loss": 3.0 / n} for n in (3, 1, 2)]
            return 200, {"data": [{"message": "hello", "data": {}}, *({"data": point} for point in points)]}
        elif found[2] == "/checkpoints":
            return 200, {"data": self.checkpoints}
        elif not found[2]:
            return 200, self.poll(job)
        return 200, job


class _Handler(BaseHTTPRequestHandler):
    endpoint: Endpoint
    # Head and body go out together: two small packets would wait for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._any("GET")

    def do_POST(self) -> None:
        self._any("POST")

    def do_DELETE(self) -> None:
        self._any("DELETE")

    def _any(self, verb: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        what = f"{verb} {self.path.partition('?')[0].removeprefix('/v1')}"
        self.endpoint.calls[what] += 1
        waiting = self.endpoint.faults.get(what, [])
        fault = waiting.pop(0) if waiting else ""
        if fault.isdigit():
            self._send(int(fault), {"error": {"message": "ordered fault"}})
            return
        status, value = self.endpoint.answer(verb, self.path, body)
        if fault == "lost":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "slow":
            time.sleep(1.0)
        self._send(status, value)

    def _send(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    # More than the five of the standard library: who finds the queue full tries again after a second.
    request_queue_size = 128
    daemon_threads = True


@contextmanager
def served() -> Iterator[Endpoint]:
    """The endpoint, listening."""
    endpoint = Endpoint()
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
