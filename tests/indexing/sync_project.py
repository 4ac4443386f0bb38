"""What the tests of syncing do again and again, and a real web server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from twofold.project import Project

PLAIN = """
[retrieval.embedder]
name = "hashing"
options = {dimension = 64}

[generation.generator]
name = "echo"
options = {mode = "quote"}
"""


def write_project(directory: Path, toml: str = "", *, documents: str = '"data/documents"') -> Path:
    """A project directory with an example and no documents but those of `toml`."""
    (directory / "data" / "documents").mkdir(parents=True)
    (directory / "data" / "examples.jsonl").write_text(
        '{"question": "How deep is a well?", "answer": "40 metres"}\n', encoding="utf-8"
    )
    text = f"[documents]\npaths = [{documents}]\n{PLAIN}\n{toml}"
    (directory / "twofold.toml").write_text(text, encoding="utf-8")
    return directory


def sync(directory: Path, **more: Any) -> dict[str, Any]:
    """One sync in a fresh project object."""
    with Project.open(directory) as project:
        return project.sync(**more)


def held(directory: Path) -> dict[str, str]:
    """Document id → digest of its chunks, in the living index."""
    with Project.open(directory) as project:
        return project.workspace.search.index.contents()


def found(directory: Path, query: str, leg: str = "lexical") -> list[str]:
    """Documents found for a query."""
    with Project.open(directory) as project:
        vectors = project.workspace.search.embedder.embed([query])
        return [
            hit.chunk.span.document for hit in project.workspace.search.index.search([query], vectors, 5, leg=leg)[0]
        ]


def found_for_each(directory: Path, queries: Sequence[str]) -> list[list[str]]:
    """Documents found for each query, by its vector and by its words."""
    with Project.open(directory) as project:
        vectors, index = project.workspace.search.embedder.embed(queries), project.workspace.search.index
        return [
            [hit.chunk.span.document for hit in index.search([query], vectors[n : n + 1], 5, leg=leg)[0]]
            for n, query in enumerate(queries)
            for leg in ("dense", "lexical")
        ]


def by_file(report: dict[str, Any]) -> dict[str, str]:
    """File → status."""
    return {entry["file"]: entry["status"] for entry in report["files"]}


class Site:
    """A real web server whose pages a test sets."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.asked: list[str] = []
        site = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else every page waits for the client's delayed ACK

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = site.pages.get(self.path)
                if callable(page):
                    page(self)
                    return
                status, headers, body = page if page else (404, {}, b"")
                etag = headers.get("ETag")
                if etag and self.headers.get("If-None-Match") == etag:
                    status, body = 304, b""
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, path: str, body: str, *, kind: str = "text/html", etag: str = "", status: int = 200) -> None:
        """Set a page."""
        self.pages[path] = (status, {"Content-Type": kind, **({"ETag": etag} if etag else {})}, body.encode())

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
