"""Numbers of a running server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest  # noqa: TID253

from twofold.serving.exchange import Exchange

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Counters:
    """The counters of one server.

    Args:
        later: See `Service.later`.
    """

    def __init__(self, later: Callable[[], float]) -> None:
        # Its own: in the library's global one a second server of the process would find its names taken.
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "twofold_requests", "Requests by address and status.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "twofold_request_seconds", "Seconds of a request.", ["path"], buckets=_SECONDS, registry=self._registry
        )
        self._answers = Counter("twofold_answers", "Answers by outcome.", ["outcome"], registry=self._registry)
        self._tokens = Counter("twofold_tokens", "Tokens read and written.", ["kind"], registry=self._registry)
        self.running = Gauge("twofold_requests_running", "Requests that run.", registry=self._registry)
        self._later = Counter(
            "twofold_answers_later_index",
            "Answers from a later version of the index than the measured one.",
            registry=self._registry,
        )
        Gauge(
            "twofold_index_later", "1: the index has changed since the arm was measured.", registry=self._registry
        ).set_function(later)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is a route's template, never what a caller wrote."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def exchange(self, exchange: Exchange) -> None:
        """Count an answer."""
        answer = exchange.answer
        outcome = "failed" if answer.failure else "abstained" if answer.abstained else "answered"
        self._answers.labels(outcome).inc()
        self._tokens.labels("prompt").inc(answer.usage.prompt_tokens)
        self._tokens.labels("completion").inc(answer.usage.completion_tokens)
        if exchange.origin["later_index"]:
            self._later.inc()

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)
