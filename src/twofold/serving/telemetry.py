"""Traces and metrics of a server by OpenTelemetry, named by its conventions for generative AI.

A request's span is begun when it comes. Those of its parts are made when the answer is there, of the times that were
noted: so nothing that searches, writes or checks knows of traces.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from opentelemetry import trace  # noqa: TID253
from opentelemetry.context import Context  # noqa: TID253
from opentelemetry.sdk.metrics import MeterProvider  # noqa: TID253
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: TID253
from opentelemetry.sdk.trace import TracerProvider  # noqa: TID253
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: TID253
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: TID253
from opentelemetry.trace import Span, SpanKind, StatusCode  # noqa: TID253
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: TID253

from twofold import __version__
from twofold.host.tracing import follow
from twofold.serving.exchange import Ended, Exchange, Making
from twofold.serving.exporting import Exporters
from twofold.settings.telemetry import TelemetrySection
from twofold.types import Message

_CLOSING = 5.0
"""Seconds that what is left to send may take when the server ends; a collector that is down takes no longer."""
# The bounds that the conventions advise, in seconds and tokens.
_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_FIRST = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]
_TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
Attributes = dict[str, Any]


class Telemetry:
    """Records requests and answers; a `Watcher`, and a context manager, which sends what is left at its end.

    Args:
        section: What is recorded.
        exporters: Where it goes.
    """

    def __init__(self, section: TelemetrySection, exporters: Exporters) -> None:
        self._texts = section.texts
        resource = Resource.create({SERVICE_VERSION: __version__, **_named(section.service)})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "twofold"}))
        # None: the provider does as OTEL_TRACES_SAMPLER says.
        sampler = None if section.sample is None else ParentBased(TraceIdRatioBased(section.sample))
        # Its own providers: those of the process belong to the program that this server may run in.
        self._traces = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        if exporters.spans is not None:
            self._traces.add_span_processor(BatchSpanProcessor(exporters.spans))
        readers = [exporters.metrics] if exporters.metrics is not None else []
        self._metrics = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("twofold", __version__) if exporters.spans else trace.NoOpTracer()
        self._propagator = TraceContextTextMapPropagator()
        meter = self._metrics.get_meter("twofold", __version__)
        self._requests = meter.create_histogram(
            "http.server.request.duration", "s", "Seconds of a request.", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Seconds of an answer, or of its search.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens read and written for an answer.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._first = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            "s",
            "Seconds from a question's arrival to the first words of its answer.",
            explicit_bucket_boundaries_advisory=_FIRST,
        )
        self._open: dict[str, Span] = {}

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        def close() -> None:
            self._traces.shutdown()
            self._metrics.shutdown()

        # In a thread that may be left behind: the exporters try again for longer than anybody waits for an end.
        closing = threading.Thread(target=close, daemon=True, name="twofold-telemetry")
        closing.start()
        closing.join(_CLOSING)

    def begun(self, request: str, *, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Begin the span of a request, in the trace that its caller names."""
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        span = self._tracer.start_span(
            method,
            # An empty context: without it the span would be a child of the surrounding program's, were there one.
            self._propagator.extract(carrier, Context()),
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": path, "url.scheme": "http", "twofold.request": request},
        )
        self._open[request] = span
        outgoing: dict[str, str] = {}
        self._propagator.inject(outgoing, trace.set_span_in_context(span, Context()))
        follow(outgoing.get("traceparent", ""))

    def exchange(self, exchange: Exchange) -> None:
        """Record an answer with its search, its writing and the check of its citations."""
        parent = self._open.get(exchange.request)
        # An agent's question may be answered after the request that asked it: then it is a trace of its own.
        context = trace.set_span_in_context(parent, Context()) if parent is not None else Context()
        making = exchange.making
        if making is None:
            return
        milestones = making.milestones
        every = [milestones.searching, milestones.prepared, milestones.first, milestones.written, milestones.read]
        end = max((moment for moment in every if moment is not None), default=milestones.begun)
        name = str(exchange.origin["arm"])
        span = self._span(f"chat {name}", context, milestones.begun, self._of_answer(exchange, making))
        inner = trace.set_span_in_context(span, Context())
        if (failure := exchange.answer.failure) is not None:
            span.set_attribute("error.type", failure.code)
            span.set_status(StatusCode.ERROR, failure.message if self._texts else failure.code)
        self._parts(exchange, making, inner)
        span.end(_nanoseconds(end))
        self._count(exchange, making, seconds=end - milestones.begun, context=inner)

    def ended(self, request: str, end: Ended) -> None:
        """End the span of a request."""
        span = self._open.pop(request, None)
        attributes: Attributes = {
            "http.request.method": end.method,
            "http.route": end.route,
            "http.response.status_code": end.status,
        }
        if end.status >= 500:
            attributes["error.type"] = str(end.status)
        context = Context()
        if span is not None:
            context = trace.set_span_in_context(span, context)
            span.update_name(f"{end.method} {end.route}")
            span.set_attributes(attributes)
            if end.status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()
        self._requests.record(end.seconds, attributes, context)

    # ------------------------------------------------------------ an answer

    def _span(self, name: str, context: Context, begun: float, attributes: Attributes) -> Span:
        return self._tracer.start_span(name, context, SpanKind.INTERNAL, attributes, start_time=_nanoseconds(begun))

    def _of_answer(self, exchange: Exchange, making: Making) -> Attributes:
        answer, origin, milestones = exchange.answer, exchange.origin, making.milestones
        attributes: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "twofold",
            "gen_ai.request.model": str(origin["arm"]),
            "gen_ai.response.model": str(origin["model"] or origin["arm"]),
            "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
            "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
            "gen_ai.response.finish_reasons": ["length" if answer.cut else "stop"],
            "twofold.request": exchange.request,
            "twofold.choice": exchange.number,
            "twofold.system": str(origin["key"]),
            "twofold.study": str(origin.get("study", "")),
            "twofold.template": making.template,
            "twofold.abstained": answer.abstained,
        }
        if origin["later_index"] is not None:
            attributes["twofold.later_index"] = bool(origin["later_index"])
        if milestones.searching is not None:
            attributes["twofold.queue.seconds"] = milestones.searching - milestones.begun
        if exchange.withheld:
            attributes["twofold.withheld"] = True
        if self._texts:
            attributes["gen_ai.input.messages"] = _messages(exchange.example.messages)
            attributes["gen_ai.output.messages"] = _messages([Message(role="assistant", content=answer.text)])
        return attributes

    def _parts(self, exchange: Exchange, making: Making, context: Context) -> None:
        answer, milestones = exchange.answer, making.milestones
        if (
            milestones.searching is not None
            and milestones.prepared is not None
            and exchange.origin.get("reads_documents")
        ):
            attributes: Attributes = {
                "gen_ai.operation.name": "retrieval",
                "gen_ai.retrieval.documents": json.dumps(
                    [{"id": hit.chunk.id, "score": hit.score} for hit in answer.hits]
                ),
                "twofold.k": making.k,
                "twofold.hits.documents": [hit.chunk.span.document for hit in answer.hits],
            }
            if making.index is not None:
                attributes["gen_ai.data_source.id"] = making.index.content
                attributes["twofold.index.version"] = making.index.version
            if self._texts:
                attributes["gen_ai.retrieval.query.text"] = exchange.example.question
            self._span("retrieve", context, milestones.searching, attributes).end(_nanoseconds(milestones.prepared))
        if milestones.prepared is not None and milestones.written is not None and making.prompt is not None:
            attributes = {
                "gen_ai.request.max_tokens": making.prompt.max_tokens,
                "twofold.generation.seconds": answer.timing.generation,
            }
            if self._texts:
                attributes["gen_ai.input.messages"] = _messages(making.prompt.messages)
                attributes["gen_ai.output.messages"] = _messages([Message(role="assistant", content=answer.raw)])
            writing = self._span("generate", context, milestones.prepared, attributes)
            if milestones.first is not None:
                writing.add_event("first token", timestamp=_nanoseconds(milestones.first))
            writing.end(_nanoseconds(milestones.written))
        if milestones.written is not None and milestones.read is not None:
            attributes = {
                "twofold.citations.supported": len(answer.citations),
                "twofold.citations.unsupported": answer.unsupported_citations,
                "twofold.citations.unknown": answer.invalid_citations,
                "twofold.citations.repointed": answer.repointed_citations,
            }
            self._span("citation check", context, milestones.written, attributes).end(_nanoseconds(milestones.read))

    def _count(self, exchange: Exchange, making: Making, *, seconds: float, context: Context) -> None:
        answer, milestones = exchange.answer, making.milestones
        model = {"gen_ai.provider.name": "twofold", "gen_ai.request.model": str(exchange.origin["arm"])}
        chat = {**model, "gen_ai.operation.name": "chat"}
        failed = {"error.type": answer.failure.code} if answer.failure else {}
        self._seconds.record(seconds, {**chat, **failed}, context)
        if (
            milestones.searching is not None
            and milestones.prepared is not None
            and exchange.origin.get("reads_documents")
        ):
            retrieval = {**model, "gen_ai.operation.name": "retrieval"}
            self._seconds.record(milestones.prepared - milestones.searching, retrieval, context)
        for kind, tokens in (("input", answer.usage.prompt_tokens), ("output", answer.usage.completion_tokens)):
            self._tokens.record(tokens, {**chat, "gen_ai.token.type": kind}, context)
        if milestones.first is not None:
            self._first.record(milestones.first - milestones.begun, chat, context)


def _named(service: str) -> Mapping[str, str]:
    return {SERVICE_NAME: service} if service else {}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _messages(messages: Sequence[Message]) -> str:
    """Messages as the conventions write them: as JSON, for attributes hold no records."""
    rows = [{"role": message.role, "parts": [{"type": "text", "content": message.content}]} for message in messages]
    return json.dumps(rows, ensure_ascii=False)
