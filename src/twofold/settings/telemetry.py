"""The section `[telemetry]` of `twofold.toml`: traces and metrics for a collector of yours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twofold.settings.sections import Section


class TelemetrySection(Section):
    """Traces and metrics by OpenTelemetry; off unless one of the two is switched on. Nothing is sent anywhere else."""

    traces: bool = False
    """Send a trace of every request: its search, the writing of the answer, and the check of its citations."""
    metrics: bool = False
    """Send metrics: seconds, tokens and time to the first words, as the conventions for generative AI name them."""
    protocol: Literal["http", "grpc"] = "http"
    """How they are sent: OTLP as protobuf over HTTP, or over gRPC."""
    endpoint: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$")] = ""
    """Address of the collector, ``http://collector:4318``; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says, else this
    machine."""
    texts: bool = False
    """Send questions, prompts and answers too. They may hold personal data, and what only some may read."""
    sample: float | None = Field(default=None, ge=0, le=1)
    """Share of the requests that is traced, unless the caller has decided; absent: as OTEL_TRACES_SAMPLER says, else
    all."""
    service: str = ""
    """Name of this service; empty: as OTEL_SERVICE_NAME says, else ``twofold``."""

    @property
    def enabled(self) -> bool:
        """Is anything sent?"""
        return self.traces or self.metrics
