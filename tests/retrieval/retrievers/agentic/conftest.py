"""A planted corpus, and a local server that behaves badly on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from twofold.corpus.chunkers.cutting import chunk_of
from twofold.plugins import loading
from twofold.plugins.protocols import Parts
from twofold.types import Document

PEOPLE = ["Mira Holt", "Jonas Vane", "Tess Orlo", "Bela Krum", "Ada Finch", "Oskar Lind", "Rhea Moss", "Ivo Pell"]
FARMS = ["Quillan", "Brackenhurst", "Tolmere", "Vashti", "Wexcombe", "Ardley", "Norvick", "Sunderby"]
CROPS = ["barley", "lentils", "sorghum", "flax", "hops", "millet", "lupins", "spelt"]


def documents() -> list[Document]:
    """Who manages which farm stands in one document, what the farm grows in another."""
    made = []
    for person, farm, crop in zip(PEOPLE, FARMS, CROPS, strict=True):
        made.append((f"person {person}", f"{person} has managed Estate {farm} since the year of the flood."))
        made.append((f"farm {farm}", f"Estate {farm} sowed {crop} on its upper terraces last spring."))
        made.append((f"noise {person}", f"{person} wrote a letter about sowing to the newspaper. It was long."))
    return [Document(id=name, text=text, readers=("everyone",)) for name, text in made]


@pytest.fixture
def make_parts(tmp_path: Path) -> Callable[..., Parts]:
    def make(texts: list[Document] | None = None, **more: Any) -> Parts:
        embedder = loading.make("embedders", "hashing", {})
        index = loading.make(
            "indexes",
            "memory",
            {},
            directory=tmp_path / "index",
            fingerprint=embedder.fingerprint,
            dimension=embedder.dimension,
        )
        chunks = [chunk_of(d, 0, len(d.text)) for d in (documents() if texts is None else texts)]
        index.upsert(chunks, embedder.embed([chunk.text for chunk in chunks]))
        return Parts(embedder=embedder, index=index, **more)

    return make


class Server:
    """``answer(path, body, number)`` gives status, headers and a JSON value; or one of the words it knows."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self.answer: Callable[[str, Any, int], tuple[int, dict[str, str], Any]] = lambda *_: (200, {}, {})
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                server.bodies.append(body)
                status, headers, value = server.answer(self.path, body, len(server.asked))
                try:
                    if value == "slow":
                        time.sleep(4)
                    self.send_response(status)
                    for name, text in headers.items():
                        self.send_header(name, text)
                    self.end_headers()
                    for _ in range(200 if value in ("endless", "drip") else 0):
                        self.wfile.write(b" " * (1 if value == "drip" else 100_000))
                        time.sleep(0.05 if value == "drip" else 0)
                    self.wfile.write(value.encode() if isinstance(value, str) else json.dumps(value).encode())
                except OSError:
                    pass

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()
