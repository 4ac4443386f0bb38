"""A small Weaviate: the parts of its HTTP and gRPC interface that the index uses, kept in memory.

It speaks the wire format of the official client's own protocol files; it is not Weaviate. Filters, cosine distance and
BM25 are worked out plainly.
"""

from __future__ import annotations

import json
import math
import threading
import uuid
from collections import Counter
from concurrent import futures
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from weaviate.proto.v1 import base_pb2, batch_delete_pb2, batch_pb2, search_get_pb2, weaviate_pb2_grpc

OPERATOR = base_pb2.Filters.Operator
COMPARE = {
    OPERATOR.OPERATOR_EQUAL: lambda held, given: held == given,
    OPERATOR.OPERATOR_GREATER_THAN: lambda held, given: held > given,
    OPERATOR.OPERATOR_GREATER_THAN_EQUAL: lambda held, given: held >= given,
    OPERATOR.OPERATOR_LESS_THAN: lambda held, given: held < given,
    OPERATOR.OPERATOR_LESS_THAN_EQUAL: lambda held, given: held <= given,
    OPERATOR.OPERATOR_CONTAINS_ANY: lambda held, given: bool(
        set(held if isinstance(held, list) else [held]) & set(given)
    ),
}


class Weaviate(weaviate_pb2_grpc.WeaviateServicer):
    """Start with `with Weaviate() as server`; then `server.url` and `server.grpc`."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.schema: dict[str, Any] = {}
        self.objects: dict[str, dict[str, tuple[dict[str, Any], np.ndarray]]] = {}
        self.fail_after = -1
        """Requests that change something before all further ones fail; -1: none fails."""
        self.lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4))
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(self, self._grpc)
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self.url, self.grpc = f"http://127.0.0.1:{self._http.server_port}", f"127.0.0.1:{port}"

    def __enter__(self) -> Weaviate:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(0)

    def allowed_to_change(self) -> bool:
        if self.fail_after == 0:
            return False
        self.fail_after -= self.fail_after > 0
        return True

    def _check(self, context: Any, *, change: bool = False) -> None:
        given = dict(context.invocation_metadata()).get("authorization", "")
        if self.key and given != f"Bearer {self.key}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "invalid api key")
        if change and not self.allowed_to_change():
            context.abort(grpc.StatusCode.INTERNAL, "the stand-in was told to fail")

    # ------------------------------------------------------------ gRPC

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(context, change=True)
        with self.lock:
            for one in request.objects:
                told: dict[str, Any] = dict(one.properties.non_ref_properties)
                told |= {own.prop_name: list(own.values) for own in one.properties.text_array_properties}
                data = one.vectors[0].vector_bytes if one.vectors else one.vector_bytes
                vector = np.frombuffer(data, dtype="<f4") if data else np.array(list(one.vector), dtype=np.float32)
                self.objects[one.collection][one.uuid] = (told, vector)
        return batch_pb2.BatchObjectsReply(took=0.0)

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(context, change=True)
        with self.lock:
            held = self.objects[request.collection]
            found = [name for name, (told, _) in held.items() if _allowed(request.filters, name, told)]
            for name in found:
                del held[name]
        return batch_delete_pb2.BatchDeleteReply(took=0.0, matches=len(found), successful=len(found))

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(context)
        with self.lock:
            held = dict(self.objects.get(request.collection, {}))
        names = sorted(held)
        if request.HasField("filters"):
            names = [name for name in names if _allowed(request.filters, name, held[name][0])]
        if request.after:
            names = [name for name in names if name > request.after]
        scores: dict[str, float] = {}
        if request.HasField("near_vector"):
            near = request.near_vector
            data = near.vectors[0].vector_bytes if near.vectors else near.vector_bytes
            scores = _distances(np.frombuffer(data, dtype="<f4"), {name: held[name][1] for name in names})
            names = sorted(scores, key=lambda name: (scores[name], name))
        if request.HasField("bm25_search"):
            (field,) = request.bm25_search.properties
            every = {name: _counts(str(told.get(field, ""))) for name, (told, _) in held.items()}
            found = _bm25(request.bm25_search.query.split(), every, self.schema[request.collection])
            scores = {name: found[name] for name in names if found[name] > 0}
            names = sorted(scores, key=lambda name: (-scores[name], name))
        limit = request.limit or 25
        replies = [
            _reply(request, name, *held[name], scores.get(name))
            for name in names[request.offset : request.offset + limit]
        ]
        return search_get_pb2.SearchReply(took=0.0, results=replies)


def _allowed(which: Any, name: str, told: dict[str, Any]) -> bool:
    if which.operator == OPERATOR.OPERATOR_AND:
        return all(_allowed(part, name, told) for part in which.filters)
    if which.operator == OPERATOR.OPERATOR_OR:
        return any(_allowed(part, name, told) for part in which.filters)
    if which.operator == OPERATOR.OPERATOR_NOT:
        return not _allowed(which.filters[0], name, told)
    field = which.target.property or which.on[0]
    kind = which.WhichOneof("test_value")
    given = getattr(which, kind)
    held = name if field == "_id" else told.get(field)
    return held is not None and COMPARE[which.operator](held, list(given.values) if kind.endswith("_array") else given)


def _distances(vector: np.ndarray, held: dict[str, np.ndarray]) -> dict[str, float]:
    def one(other: np.ndarray) -> float:
        return 1.0 - float(vector @ other) / max(1e-12, float(np.linalg.norm(vector) * np.linalg.norm(other)))

    return {name: one(other) for name, other in held.items()}


@lru_cache(maxsize=10_000)
def _counts(text: str) -> Counter[str]:
    return Counter(text.split())


def _bm25(query: list[str], held: dict[str, Counter[str]], schema: dict[str, Any]) -> dict[str, float]:
    k1, b = schema["invertedIndexConfig"]["bm25"]["k1"], schema["invertedIndexConfig"]["bm25"]["b"]
    lengths = {name: own.total() for name, own in held.items()}
    mean = max(1e-9, sum(lengths.values()) / max(1, len(held)))
    known = {term: sum(term in own for own in held.values()) for term in set(query)}

    def one(name: str) -> float:
        norm = k1 * (1 - b + b * lengths[name] / mean)
        return sum(
            math.log(1 + (len(held) - known[term] + 0.5) / (known[term] + 0.5)) * n * (k1 + 1) / (n + norm)
            for term in query
            if (n := held[name][term])
        )

    return {name: one(name) for name in held}


def _reply(request: Any, name: str, told: dict[str, Any], vector: np.ndarray, score: float | None) -> Any:
    reply = search_get_pb2.SearchResult()
    reply.metadata.id, reply.metadata.id_as_bytes = name, uuid.UUID(name).bytes
    reply.metadata.creation_time_unix = reply.metadata.last_update_time_unix = 1
    reply.metadata.creation_time_unix_present = reply.metadata.last_update_time_unix_present = True
    if request.metadata.vector or request.metadata.vectors:
        added = reply.metadata.vectors.add()
        added.name, added.vector_bytes = "default", vector.astype("<f4").tobytes()
        added.type = base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32
    if score is not None:
        leg = "distance" if request.HasField("near_vector") else "score"
        setattr(reply.metadata, leg, score)
        setattr(reply.metadata, f"{leg}_present", True)
    every = not request.HasField("properties") or request.properties.return_all_nonref_properties
    asked = told if every else request.properties.non_ref_properties
    for field in asked:
        value, into = told[field], reply.properties.non_ref_props.fields[field]
        if isinstance(value, str):
            into.text_value = value
        elif isinstance(value, list):
            into.list_value.text_values.values.extend(value)
        else:
            into.int_value = int(value)
    return reply


def _handler(server: Weaviate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer waits for the client's delayed ACK
        wbufsize = 65536

        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
            status, told = self._told(body)
            data = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _told(self, body: Any) -> tuple[int, Any]:
            if server.key and self.headers.get("authorization") != f"Bearer {server.key}":
                return 401, {"error": [{"message": "invalid api key"}]}
            parts = self.path.split("?")[0].strip("/").split("/")[1:]
            if self.command == "GET" and parts == ["meta"]:
                return 200, {"version": "1.34.0", "hostname": server.url, "modules": {}}
            with server.lock:
                if parts[0] == "schema":
                    return self._schema(parts[1:], body)
                if self.command == "PATCH" and parts[0] == "objects":
                    if not server.allowed_to_change():
                        return 500, {"error": [{"message": "the stand-in was told to fail"}]}
                    server.objects[parts[1]][parts[2]][0].update(body["properties"])
                    return 204, None
            return 404, {"error": [{"message": f"{self.command} {self.path}"}]}

        def _schema(self, names: list[str], body: Any) -> tuple[int, Any]:
            if self.command == "POST":
                server.schema[body["class"]] = body
                server.objects.setdefault(body["class"], {})
                return 200, body
            if self.command == "DELETE":
                server.schema.pop(names[0], None)
                server.objects.pop(names[0], None)
                return 200, {}
            return (200, server.schema[names[0]]) if names[0] in server.schema else (404, {})

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
