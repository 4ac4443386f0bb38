"""A request's trace by OpenTelemetry, as a collector gets it: its parts at their times, with no text unless chosen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc  # noqa: TID253
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: TID253
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: TID253
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (  # noqa: TID253
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: TID253
from serving_process import served, started

from twofold.errors import ConfigError
from twofold.serving.bounded_replies import LONGEST, bounded_session
from twofold.serving.exporting import exporters
from twofold.settings.loading import parsed
from twofold.settings.telemetry import TelemetrySection

BODY = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
CHAT = "/v1/chat/completions"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """What an OTLP receiver over HTTP got, as records."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        kinds = {
            "/v1/traces": (ExportTraceServiceRequest, "resourceSpans", "scopeSpans", "spans", self.spans),
            "/v1/metrics": (ExportMetricsServiceRequest, "resourceMetrics", "scopeMetrics", "metrics", self.metrics),
        }
        kind, outer, inner, rows, out = kinds[path]
        for resource in MessageToDict(kind.FromString(body))[outer]:
            self.resources.append(attributes(resource["resource"]))
            for scope in resource[inner]:
                out += scope[rows]


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    values = {one["key"]: one["value"] for one in record.get("attributes", [])}
    return {key: next(iter(value.values()), None) for key, value in values.items()}


@contextmanager
def collecting(*, status: int = 200) -> Iterator[tuple[str, Collector]]:
    collector = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if status == 200:
                collector.take(self.path, body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", collector
    server.shutdown()
    server.server_close()


def options(endpoint: str, **more: Any) -> list[str]:
    section = {"traces": True, "metrics": True, "endpoint": endpoint, **more}
    return [word for key, value in section.items() for word in ("--set", f"telemetry.{key}={json.dumps(value)}")]


def test_a_collector_gets_the_request_with_its_parts_in_its_callers_trace(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    begun = time.time()
    with collecting() as (endpoint, collector), served(measured, *options(endpoint), "--log", "json") as server:
        with server.client() as client:
            reply = client.post(CHAT, json=BODY, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            client.get("/healthz")
        assert server.end() == 0
        (record,) = map(json.loads, server.process.stderr.read().splitlines())
    ended = time.time()
    spans = {span["name"]: span for span in collector.spans}
    assert set(spans) == {f"POST {CHAT}", "chat rag", "retrieve", "generate", "citation check"}
    assert record["trace"] == TRACE  # from the answer's id by the log to the trace
    assert len({span["traceId"] for span in collector.spans}) == 1
    root, chat = spans[f"POST {CHAT}"], spans["chat rag"]
    assert chat["parentSpanId"] == root["spanId"]
    for name in ("retrieve", "generate", "citation check"):
        assert spans[name]["parentSpanId"] == chat["spanId"]
    assert attributes(root)["twofold.request"] == attributes(chat)["twofold.request"] == reply.headers["x-request-id"]
    times = {name: (int(s["startTimeUnixNano"]) / 1e9, int(s["endTimeUnixNano"]) / 1e9) for name, s in spans.items()}
    assert begun <= times[f"POST {CHAT}"][0]
    assert times[f"POST {CHAT}"][1] <= ended
    # One after the other, and all within the answer; a clock of microseconds may round.
    inner = [*times["retrieve"], *times["generate"], *times["citation check"]]
    order = [times["chat rag"][0], *inner, times["chat rag"][1]]
    assert order == sorted(order)
    assert times["retrieve"][1] > times["retrieve"][0]
    search = attributes(spans["retrieve"])
    assert search["gen_ai.operation.name"] == "retrieval"
    answer = record["answers"][0]
    documents = json.loads(search["gen_ai.retrieval.documents"])
    assert [document["id"] for document in documents] == [hit["chunk"] for hit in answer["hits"]]
    assert search["gen_ai.data_source.id"] == answer["index_content"]
    usage = reply.json()["usage"]
    assert int(attributes(chat)["gen_ai.usage.input_tokens"]) == usage["prompt_tokens"]
    assert int(attributes(chat)["gen_ai.usage.output_tokens"]) == usage["completion_tokens"]
    assert attributes(spans["citation check"])["twofold.citations.supported"] == "1"
    names = {metric["name"] for metric in collector.metrics}
    assert names >= {"gen_ai.client.operation.duration", "gen_ai.client.token.usage", "http.server.request.duration"}
    assert collector.resources[0]["service.name"] == "twofold"
    assert collector.resources[0]["deployment.environment.name"] == "test"
    assert collector.headers[0]["authorization"] == "Bearer abc"
    everything = json.dumps([collector.spans, collector.metrics])
    assert "parking cost" not in everything
    assert "4 euros" not in everything


def test_texts_are_sent_where_they_are_chosen_and_a_share_is_traced(measured: Path) -> None:
    with collecting() as (endpoint, collector):
        with served(measured, *options(endpoint, texts=True, service="desk", metrics=False)) as server:
            with server.client() as client:
                client.post(CHAT, json=BODY).raise_for_status()
            server.end()
        spans = {span["name"]: attributes(span) for span in collector.spans}
        assert "Parking costs 4 euros a day" in spans["generate"]["gen_ai.input.messages"]
        assert "4 euros" in spans["chat rag"]["gen_ai.output.messages"]
        assert collector.resources[0]["service.name"] == "desk"
        assert not collector.metrics
        collector.spans.clear()
        with served(measured, *options(endpoint, sample=0, metrics=False)) as server:
            with server.client() as client:
                client.post(CHAT, json=BODY).raise_for_status()
            server.end()
        assert not collector.spans


@pytest.mark.slow
def test_a_collector_gets_it_over_grpc(measured: Path) -> None:
    got: list[ExportTraceServiceRequest] = []

    class Receiver(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> Any:  # noqa: N802
            got.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    endpoint = f"http://127.0.0.1:{port}"
    # A new process: a fork of this one, which has a server of gRPC, may not use gRPC.
    words = ["serve", "-C", str(measured), "--port", "0", "--json", *options(endpoint, protocol="grpc", metrics=False)]
    process = started(words)
    try:
        ready = json.loads(process.stdout.readline())
        httpx.post(f"{ready['url']}{CHAT}", json=BODY, timeout=60).raise_for_status()
    finally:
        process.terminate()
        process.communicate(timeout=60)
        server.stop(None)
    assert {"chat rag", "retrieve", "generate", "citation check"} <= {
        span.name for request in got for span in request.resource_spans[0].scope_spans[0].spans
    }


def test_a_collector_that_is_down_costs_no_answer_and_no_long_end(measured: Path) -> None:
    with served(measured, *options("http://127.0.0.1:9")) as server:
        with server.client() as client:
            client.post(CHAT, json=BODY).raise_for_status()
        begun = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begun < 15


def test_of_a_collectors_endless_reply_no_more_is_read_than_a_reply_is_long() -> None:
    sent, ended = [0], threading.Event()

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            try:
                while sent[0] < 2**28:
                    sent[0] += self.wfile.write(b"x" * 2**16)
            except OSError:
                ended.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    reply = bounded_session().request("POST", url, data=b"1")
    assert (reply.status_code, len(reply.content)) == (200, LONGEST)
    assert ended.wait(30), "the connection is closed"
    exporter = exporters(TelemetrySection(traces=True, endpoint=url)).spans
    assert exporter is not None
    sent[0] = 0
    ended.clear()
    assert exporter.export([]) is SpanExportResult.SUCCESS
    assert ended.wait(30)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('endpoint = "collector:4318"', "telemetry.endpoint"),
        ('endpoint = "http://ann:secret@collector:4318"', "telemetry.endpoint"),
        ("sample = 2", "telemetry.sample"),
        ('protocol = "udp"', "telemetry.protocol"),
        ("trace = true", "traces"),
    ],
)
def test_bad_settings_are_named(line: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        parsed(f"[telemetry]\n{line}\n".encode(), tmp_path / "twofold.toml")
    assert "secret" not in str(refused.value)
