"""A small Pinecone: the parts of its HTTP interface that the index uses, kept in memory.

It speaks the wire format of the official client; it is not Pinecone. Writes show only after `lag` seconds, as there.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

COMPARE = {
    "$gt": lambda held, given: held > given,
    "$gte": lambda held, given: held >= given,
    "$lt": lambda held, given: held < given,
    "$lte": lambda held, given: held <= given,
    "$eq": lambda held, given: held == given,
    "$in": lambda held, given: bool(set(held if isinstance(held, list) else [held]) & set(given)),
    "$nin": lambda held, given: not set(held if isinstance(held, list) else [held]) & set(given),
}
Record = dict[str, Any]


class Pinecone:
    """Start with `with Pinecone(dimension) as server`; then `server.url`."""

    def __init__(self, dimension: int, *, key: str = "secret", lag: float = 0.0, page: int = 100) -> None:
        self.dimension, self.key, self.lag, self.page = dimension, key, lag, page
        self.fail_after = -1
        """Requests that change something before all further ones fail; -1: none fails."""
        self._spaces: dict[str, dict[str, Record]] = {}
        self._coming: list[tuple[float, Any]] = []
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Pinecone:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str, body: Any, key: str | None) -> tuple[int, Any]:
        """Status and body of one request."""
        if key != self.key:
            return 401, {"code": 16, "message": "Invalid API Key"}
        with self._lock:
            while self._coming and self._coming[0][0] <= time.monotonic():
                self._coming.pop(0)[1]()
            space = body.get("namespace", "")
            if path in ("/vectors/upsert", "/vectors/update", "/vectors/delete"):
                return self._change(path, space, body)
            held = self._spaces.get(space, {})
            if path == "/describe_index_stats":
                sizes = {name: {"vectorCount": len(own)} for name, own in self._spaces.items()}
                return 200, {"namespaces": sizes, "dimension": self.dimension, "totalVectorCount": 0}
            if path == "/vectors/fetch":
                return 200, {"vectors": {name: held[name] for name in body["ids"] if name in held}, "namespace": space}
            if path == "/vectors/fetch_by_metadata":
                return 200, self._page(held, body)
            if path == "/query":
                return 200, {"matches": _nearest(held, body), "namespace": space}
        return 404, {"code": 5, "message": path}

    def _change(self, path: str, space: str, body: Any) -> tuple[int, Any]:
        if self.fail_after == 0:
            return 400, {"code": 3, "message": "the stand-in was told to fail"}
        self.fail_after -= self.fail_after > 0
        for one in body.get("vectors", []):
            if len(one["values"]) != self.dimension or len(json.dumps(one.get("metadata", {}))) > 40_960:
                return 400, {"code": 3, "message": "wrong dimension or too much metadata"}

        def come() -> None:
            held = self._spaces.setdefault(space, {})
            if path == "/vectors/upsert":
                held.update({one["id"]: one for one in body["vectors"]})
            elif path == "/vectors/update":
                held[body["id"]] = {
                    **held[body["id"]],
                    "metadata": {**held[body["id"]]["metadata"], **body["setMetadata"]},
                }
            else:
                for name in list(held) if body.get("deleteAll") else body["ids"]:
                    held.pop(name, None)

        if self.lag:
            self._coming.append((time.monotonic() + self.lag, come))
        else:
            come()
        return 200, {"upsertedCount": len(body["vectors"])} if path == "/vectors/upsert" else {}

    def _page(self, held: dict[str, Record], body: Any) -> Any:
        names = sorted(name for name, one in held.items() if _allowed(body["filter"], one["metadata"]))
        names = [name for name in names if name > body.get("paginationToken", "")]
        some = names[: min(self.page, body.get("limit", 100))]
        more = {"pagination": {"next": some[-1]}} if len(some) < len(names) else {}
        return {"vectors": {name: held[name] for name in some}, "namespace": body.get("namespace", ""), **more}


def _allowed(which: Any, told: Record) -> bool:
    for field, condition in which.items():
        if field == "$and":
            if not all(_allowed(part, told) for part in condition):
                return False
        elif field == "$or":
            if not any(_allowed(part, told) for part in condition):
                return False
        elif field not in told or not all(COMPARE[name](told[field], given) for name, given in condition.items()):
            return False
    return True


def _nearest(held: dict[str, Record], body: Any) -> list[Record]:
    vector = np.array(body["vector"], dtype=np.float32)

    def score(one: Record) -> float:
        other = np.array(one["values"], dtype=np.float32)
        return float(vector @ other) / max(1e-12, float(np.linalg.norm(vector) * np.linalg.norm(other)))

    found = [one for one in held.values() if _allowed(body.get("filter") or {}, one["metadata"])]
    scored = sorted(((score(one), one) for one in found), key=lambda pair: (-pair[0], pair[1]["id"]))
    return [{"id": one["id"], "score": value, "metadata": one["metadata"]} for value, one in scored[: body["topK"]]]


def _handler(server: Pinecone) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer waits for the client's delayed ACK
        wbufsize = 65536

        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
            url = urlsplit(self.path)
            asked = parse_qs(url.query)
            if asked:
                body = {"ids": asked.get("ids", []), "namespace": asked.get("namespace", [""])[0]}
            status, told = server.answer(url.path, body, self.headers.get("api-key"))
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
