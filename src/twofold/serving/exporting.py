"""Where traces and metrics go: the exporters that `[telemetry]` names."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: TID253
from opentelemetry.sdk.trace.export import SpanExporter  # noqa: TID253

from twofold.settings.telemetry import TelemetrySection


@dataclass(frozen=True, kw_only=True)
class Exporters:
    """Where they go; None: nowhere."""

    spans: SpanExporter | None = None
    metrics: MetricReader | None = None


def exporters(section: TelemetrySection) -> Exporters:
    """The exporters of a section; what it leaves open the variables ``OTEL_EXPORTER_OTLP_…`` say, headers among it.

    Raises:
        ModuleNotFoundError: the protocol's package is not installed.
    """
    endpoint = section.endpoint.rstrip("/")
    spans: SpanExporter | None = None
    reader: MetricReader | None = None
    # Each protocol is a package of its own, and only that of the chosen one need be installed.
    if section.protocol == "http":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

        from twofold.serving.bounded_replies import bounded_session

        if section.traces:
            # Over HTTP each kind of data has a path of its own; an address from the environment gets it by itself.
            spans = HttpSpans(endpoint=f"{endpoint}/v1/traces" if endpoint else None, session=bounded_session())
        if section.metrics:
            place = f"{endpoint}/v1/metrics" if endpoint else None
            reader = PeriodicExportingMetricReader(HttpMetrics(endpoint=place, session=bounded_session()))
    else:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        if section.traces:
            spans = GrpcSpans(endpoint=endpoint or None)
        if section.metrics:
            reader = PeriodicExportingMetricReader(GrpcMetrics(endpoint=endpoint or None))
    return Exporters(spans=spans, metrics=reader)
