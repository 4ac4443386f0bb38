"""Numbers of a running server, for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import (  # noqa: TID253
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric  # noqa: TID253
from prometheus_client.openmetrics import exposition  # noqa: TID253
from prometheus_client.registry import Collector  # noqa: TID253

from twofold import __version__
from twofold.host.tracing import trace_parent
from twofold.serving.exchange import Ended, Exchange
from twofold.serving.numbers import Number, Numbers

log = logging.getLogger(__name__)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = exposition.CONTENT_TYPE_LATEST
"""Content types of the two forms in which Prometheus reads numbers; only the second has exemplars."""


class Counters:
    """The counters of one server.

    Args:
        later: See `Service.later`.
        looks: Tell further numbers when they are collected; the list may grow.
    """

    def __init__(self, later: Callable[[], float], looks: Sequence[Numbers] = ()) -> None:
        # Its own: in the library's global one a second server of the process would find its names taken.
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests by address and status.", "path", "status")
        self._seconds = self._histogram("request_seconds", "Seconds of a request.", "path")
        self._answers = self._counter("answers", "Answers by outcome.", "outcome")
        for outcome in ("answered", "abstained", "failed"):
            # From 0 on: a share of nothing that failed yet is 0, not unknown.
            self._answers.labels(outcome)
        self._tokens = self._counter("tokens", "Tokens read and written.", "kind")
        self.running = Gauge("twofold_requests_running", "Requests that run.", registry=self._registry)
        self._later = self._counter(
            "answers_later_index", "Answers from a later version of the index than the measured one."
        )
        self._cut = self._counter("answers_cut", "Answers that ended at the token limit.")
        self._withheld = self._counter("answers_withheld", "Answers that were not sent, for they broke their form.")
        self._citations = self._counter(
            "citations",
            "Citations: supported by their passage; taken out because it does not support the answer; of no passage.",
            "state",
        )
        self._waiting = self._histogram("queue_seconds", "Seconds that a question waited for its search.", "arm")
        self._searching = self._histogram("retrieval_seconds", "Seconds of the search for an answer.", "arm")
        self._writing = self._histogram("generation_seconds", "Seconds of writing an answer.", "arm")
        self._first = self._histogram(
            "first_token_seconds", "Seconds from a question's arrival to the first words of its answer.", "arm"
        )
        self._looks_failed = self._counter("metrics_failures", "Numbers that could not be told when collected.")
        Gauge(
            "twofold_index_later", "1: the index has changed since the arm was measured.", registry=self._registry
        ).set_function(later)
        Gauge("twofold_build_info", "1; the version that runs.", ["version"], registry=self._registry).labels(
            __version__
        ).set(1)
        # Memory, processor and open files of the process, by the names that all libraries of Prometheus use.
        ProcessCollector(registry=self._registry)
        self._registry.register(_Looked(looks, failed=self._looks_failed.inc))

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"twofold_{name}", about, labels, registry=self._registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(f"twofold_{name}", about, labels, buckets=_SECONDS, registry=self._registry)

    def request(self, request: str, end: Ended) -> None:
        """Count a request; its id is the exemplar of its bucket."""
        self._requests.labels(end.route, str(end.status)).inc()
        self._seconds.labels(end.route).observe(end.seconds, _exemplar(request))

    def exchange(self, exchange: Exchange) -> None:
        """Count an answer."""
        answer, arm = exchange.answer, str(exchange.origin["arm"])
        outcome = "failed" if answer.failure else "abstained" if answer.abstained else "answered"
        self._answers.labels(outcome).inc()
        self._tokens.labels("prompt").inc(answer.usage.prompt_tokens)
        self._tokens.labels("completion").inc(answer.usage.completion_tokens)
        if exchange.origin["later_index"]:
            self._later.inc()
        if answer.cut:
            self._cut.inc()
        if exchange.withheld:
            self._withheld.inc()
        self._citations.labels("supported").inc(len(answer.citations))
        self._citations.labels("unsupported").inc(answer.unsupported_citations)
        self._citations.labels("unknown").inc(answer.invalid_citations)
        if exchange.making is not None:
            at = exchange.making.milestones
            for histogram, begun, ended in (
                (self._waiting, at.begun, at.searching),
                (self._searching, at.searching if exchange.origin.get("reads_documents") else None, at.prepared),
                (self._writing, at.prepared if exchange.making.prompt else None, at.written),
                (self._first, at.begun, at.first),
            ):
                if begun is not None and ended is not None:
                    histogram.labels(arm).observe(max(0.0, ended - begun), _exemplar(exchange.request))

    def text(self, *, exemplars: bool = False) -> bytes:
        """All numbers in Prometheus' text format, or in that of OpenMetrics with a request's id beside buckets."""
        if not exemplars:
            return generate_latest(self._registry)
        text: bytes = exposition.generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return text


class _Looked(Collector):
    """Numbers that are told when they are collected."""

    def __init__(self, looks: Sequence[Numbers], *, failed: Callable[[], object]) -> None:
        self._looks, self._failed = looks, failed

    def describe(self) -> Iterable[Metric]:
        """None: which there are is known when they are told."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The numbers of now."""
        families: dict[str, GaugeMetricFamily] = {}
        for look in self._looks:
            for number in self._numbers(look):
                family = families.get(number.name)
                if family is None:
                    family = GaugeMetricFamily(number.name, number.help, labels=list(number.labels))
                    families[number.name] = family
                family.add_metric(list(number.labels.values()), number.value)
        yield from families.values()

    def _numbers(self, look: Numbers) -> list[Number]:
        try:
            return list(look())
        except Exception as error:  # the other numbers are the more wanted when something is at fault
            self._failed()
            log.warning("numbers for /metrics cannot be told: %s: %s", type(error).__name__, error)
            return []


def _exemplar(request: str) -> dict[str, str]:
    """Labels that lead from a bucket to one request in it, and to its trace where there is one."""
    parts = trace_parent().split("-")
    return {"request_id": request, **({"trace_id": parts[1]} if len(parts) == 4 else {})}
