"""The endpoints of one generator: which one gets a request, which ones work, which serve the model that was measured.

Before the first prompt every endpoint is asked what it serves (`identity`), all at the same time. One that serves
another model than the measured one is left out with a warning; where none is left, that is an error. One that is down
is looked at again by a thread of the pool, which also looks at an endpoint that has not answered for unusually long:
where that does not answer such a small request either, it is down, and its requests go to another endpoint at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from twofold.errors import EndpointUnreachable, GenerationError
from twofold.generation.endpoint.balancing import EndpointLoad, Sending, choose
from twofold.generation.endpoint.identity import (
    PATIENCE,
    WEIGHTS,
    EndpointModel,
    EndpointReport,
    differences,
    probed,
)
from twofold.plugins.results import EndpointState
from twofold.text.masking import masked_text

T = TypeVar("T")

_TICK = 0.2
"""Seconds between looks at the state: a place may become free by time alone."""
_HUNG = 10.0
"""Seconds after which a request without an answer is suspect, where answers usually take a quarter of that."""
_log = logging.getLogger(__name__)


class Lost(Exception):
    """The endpoint is down, and what it was sent may be computed there all the same."""


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """One address, its connections, and what was seen of it. The pool's lock guards all that changes."""

    address: str
    client: httpx.Client
    load: EndpointLoad
    serves: EndpointModel | None = None
    reason: str = ""
    answered: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0
    wasted: int = 0
    warned: bool = False
    looking: bool = False
    looked_at: float = float("-inf")
    broken: Future[None] = field(default_factory=Future)
    """Done when the endpoint is found silent: who waits for an answer of it waits no longer."""

    @property
    def shown(self) -> str:
        """The address for people."""
        return masked_text(self.address)

    def warn(self, words: str) -> None:
        """Tell once that something is wrong, until it answers again."""
        if not self.warned:
            _log.warning("%s %s", self.shown, words)
        self.warned = True

    def state(self, now: float) -> EndpointState:
        """For reports and metrics."""
        return {
            "address": self.shown,
            "state": "up" if self.load.state == "trial" else self.load.state,
            "reason": self.reason,
            "serves": self.serves.program if self.serves else "",
            "at_once": int(self.load.limit),
            "under_way": len(self.load.under_way),
            "answered": self.answered,
            "refused": self.refused,
            "failed": self.failed,
            "lost": self.lost,
            "wasted_tokens": self.wasted,
            "seconds": round(self.load.latency(now), 3),
        }


class Pool:
    """Endpoints that answer for the same model; its methods may be called from any thread.

    Args:
        endpoints: In the order of the options, the first being the one by which the answers are known.
        model: Name of the model.
        compares: Let only endpoints answer that serve the same; else they are not asked what they serve.
        check: Called with each endpoint before its first prompt; raises `GenerationError` where it cannot answer.
        by_content: The model's name is one of its content: the folder that it was loaded from may be any.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        model: str,
        compares: bool = False,
        check: Callable[[httpx.Client], None] | None = None,
        by_content: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._model, self._check, self._clock = model, check, clock
        self._by_content = by_content
        self._measured: EndpointModel | None = None
        self._compares = compares
        self._first_seen: Callable[[EndpointModel], None] = lambda _served: None
        self._changed = threading.Condition()
        self._admission = threading.Lock()
        self._admitted = False
        self._waiting = 0
        self._watched = False
        self._closed = False

    # ------------------------------------------------------------------ questions

    @property
    def several(self) -> bool:
        """Is there more than one endpoint?"""
        return len(self._endpoints) > 1

    @property
    def number(self) -> int:
        """Number of endpoints."""
        return len(self._endpoints)

    @property
    def places(self) -> int:
        """Most requests at the same time, at all endpoints together."""
        return sum(endpoint.load.bound for endpoint in self._endpoints)

    @property
    def first(self) -> httpx.Client:
        """Connections to the first endpoint, by whose address the answers are known."""
        return self._endpoints[0].client

    @property
    def served(self) -> EndpointModel | None:
        """What the first endpoint that says it serves; None before the first prompt, or where none says it."""
        return next((e.serves for e in self._endpoints if e.serves is not None and e.load.state != "out"), None)

    def states(self) -> list[EndpointState]:
        """The state of each endpoint."""
        with self._changed:
            return [endpoint.state(self._clock()) for endpoint in self._endpoints]

    # ------------------------------------------------------------------ who serves the measured model

    def compare(self, measured: EndpointModel | None, first_seen: Callable[[EndpointModel], None]) -> None:
        """From now on, let only endpoints answer that serve the measured model.

        Args:
            measured: What served the stored answers; None: what serves now is the first.
            first_seen: Gets what serves now, if `measured` is None and an endpoint says more than its name.
        """
        self._measured, self._first_seen, self._compares = measured, first_seen, True

    def admit(self) -> None:
        """Ask the endpoints what they serve, once; further calls return at once.

        Raises:
            GenerationError: no endpoint serves the model that was measured.
        """
        with self._admission:
            if self._admitted or not (self._compares or self._check):
                return
            reports: list[EndpointReport] = [EndpointReport(alive=True)] * len(self._endpoints)
            if self._compares:
                with ThreadPoolExecutor(len(self._endpoints)) as threads:
                    reports = list(
                        threads.map(lambda e: probed(e.client, self._model, timeout=PATIENCE), self._endpoints)
                    )
            if self._measured is None:
                self._measured = next((r.model for r in reports if r.model is not None and r.model.known), None)
                if self._measured is not None:
                    self._first_seen(self._measured)
            for endpoint, report in zip(self._endpoints, reports, strict=True):
                self._judge(endpoint, report)
            if all(endpoint.load.state == "out" for endpoint in self._endpoints):
                for endpoint in self._endpoints:
                    # a server that is corrected is asked anew by the next call
                    endpoint.load.alive(self._clock())
                reasons = "; ".join(f"{endpoint.shown} {endpoint.reason}" for endpoint in self._endpoints)
                raise GenerationError(
                    f"no endpoint serves the model {self._model!r} as it was measured: {reasons}",
                    cure="Start the model that was measured. If another one is to be measured, serve it under another "
                    "name and set model in [generation.generator.options] to it: its answers are then stored apart.",
                )
            self._admitted = True

    def _judge(self, endpoint: Endpoint, report: EndpointReport) -> None:
        """Decide by what an endpoint said of itself whether it gets prompts."""
        now = self._clock()
        if not report.alive:
            with self._changed:
                endpoint.reason = report.reason
                # A single endpoint is asked all the same: its prompts get the reason, and it may come up meanwhile.
                if self.several:
                    endpoint.load.silent(now)
                    endpoint.warn(f"is left out: {report.reason}")
            return
        reason = ""
        if self._check is not None:
            try:
                self._check(endpoint.client)
                # the check may have loaded the model that the endpoint did not list before
                if self._compares and report.model is None:
                    report = probed(endpoint.client, self._model)
            except EndpointUnreachable as error:
                if not self.several:
                    raise
                self._judge(endpoint, EndpointReport(reason=error.message))
                return
            except GenerationError as error:
                if not self.several:
                    raise
                reason = error.message
        reason = reason or self._unlike(report)
        with self._changed:
            endpoint.serves = report.model
            if reason:
                endpoint.warn(f"is left out: it {reason}")
                endpoint.reason = reason
                endpoint.load.leave_out(now)
            else:
                endpoint.reason = ""
                endpoint.load.alive(now)
            self._changed.notify_all()

    def _unlike(self, report: EndpointReport) -> str:
        """In which way an endpoint serves another model than the measured one; empty where it does not."""
        if self._measured is None:
            return ""
        if report.model is None:
            names = ", ".join(report.names[:5])
            return f"lists {names}, not {self._model!r}" if names else ""
        # Of replicas all must agree; a single endpoint may have a new version or another longest context.
        fields = (*WEIGHTS, "context", "engine", "version") if self.several else WEIGHTS
        compared = tuple(name for name in fields if not (self._by_content and name == "root"))
        other = differences(self._measured, report.model, only=compared)
        return f"serves {', '.join(other)}" if other else ""

    # ------------------------------------------------------------------ requests

    def elsewhere(self, tried: Collection[Endpoint]) -> bool:
        """Is there an endpoint that works and is not among these?"""
        with self._changed:
            return any(e.load.state in ("up", "trial") and e not in tried for e in self._endpoints)

    def take(
        self, *, avoid: Collection[Endpoint] = (), ahead: int = 0, by: float = float("inf")
    ) -> tuple[Endpoint, Sending]:
        """Wait for a place at an endpoint.

        Args:
            avoid: Endpoints that failed with this request already.
            ahead: Further requests of the caller that wait without asking here.
            by: When to give up.

        Raises:
            EndpointUnreachable: all endpoints are down, or the time is over.
        """
        places = {endpoint: place for place, endpoint in enumerate(self._endpoints)}
        loads = [endpoint.load for endpoint in self._endpoints]
        with self._changed:
            self._watch()
            self._waiting += 1
            try:
                while True:
                    now = self._clock()
                    place = choose(
                        loads, now, waiting=self._waiting - 1 + ahead, avoid={places[endpoint] for endpoint in avoid}
                    )
                    if place is not None:
                        return self._endpoints[place], loads[place].begin(now)
                    if all(load.state in ("down", "out") for load in loads):
                        raise self._unreachable()
                    if now >= by:
                        raise EndpointUnreachable("no endpoint had a place in time")
                    self._changed.wait(min(_TICK, by - now))
            finally:
                self._waiting -= 1

    def answered(self, endpoint: Endpoint, ticket: Sending, *, used: bool = True) -> None:
        """The endpoint answered.

        Args:
            endpoint: It.
            ticket: The request.
            used: The answer is used; one that refuses the prompt is none.
        """
        with self._changed:
            endpoint.load.answered(ticket, self._clock())
            endpoint.answered += used
            endpoint.reason = ""
            if endpoint.warned:
                _log.warning("%s answers again", endpoint.shown)
                endpoint.warned = False
            self._changed.notify_all()

    def overloaded(self, endpoint: Endpoint, ticket: Sending, *, wait: float | None, reason: str) -> None:
        """The endpoint refused a request for its load.

        Args:
            endpoint: It.
            ticket: The request.
            wait: Seconds that it demands to wait; None where it demands none.
            reason: In its words.
        """
        with self._changed:
            endpoint.refused += 1
            down = endpoint.load.overloaded(ticket, self._clock(), wait or 0.0)
            self._ended(endpoint, reason, down=down)

    def failed(
        self,
        endpoint: Endpoint,
        ticket: Sending,
        *,
        reason: str,
        lost: bool = False,
        late: bool = False,
        tokens: int = 0,
    ) -> None:
        """The endpoint did not answer, or with an error of its own.

        Args:
            endpoint: It.
            ticket: The request.
            reason: For people.
            lost: Whether it computed the answer is not known.
            late: It took too long, which may be for its load.
            tokens: Of an answer that cannot be used.
        """
        with self._changed:
            endpoint.lost += lost
            endpoint.failed += not lost
            endpoint.wasted += tokens
            down = endpoint.load.failed(ticket, self._clock(), late=late)
            self._ended(endpoint, reason, down=down)

    def left(self, endpoint: Endpoint, ticket: Sending) -> None:
        """A request ended on this side."""
        with self._changed:
            endpoint.load.left(ticket, self._clock())
            self._changed.notify_all()

    def leave_out(self, endpoint: Endpoint, ticket: Sending, *, reason: str) -> bool:
        """The endpoint refuses every prompt (key, model, address); returns whether others are left that may answer.

        Args:
            endpoint: It.
            ticket: The request.
            reason: For people.
        """
        with self._changed:
            endpoint.load.left(ticket, self._clock())
            endpoint.failed += 1
            others = [e for e in self._endpoints if e is not endpoint and e.load.state != "out"]
            if others and endpoint.load.state != "out":
                endpoint.warn(f"is left out: {reason}")
                endpoint.load.leave_out(self._clock())
            endpoint.reason = reason
            self._changed.notify_all()
            return bool(others)

    def exchange(self, endpoint: Endpoint, request: Callable[[], T]) -> T:
        """Make a request in a thread of its own, and wait for its end or for the endpoint to be found silent.

        No thread can be ended from outside: the one of a silent endpoint ends with its timeout, for nobody.

        Args:
            endpoint: Where the request goes.
            request: Makes it.

        Raises:
            Lost: the endpoint is silent.
        """
        if not self.several:
            return request()
        ended: Future[T] = Future()

        def run() -> None:
            try:
                ended.set_result(request())
            except BaseException as error:  # passed on to who waits
                ended.set_exception(error)

        broken = endpoint.broken
        context = copy_context()  # the request belongs to the trace of who asks
        threading.Thread(target=context.run, args=(run,), name="twofold-request", daemon=True).start()
        futures: list[Future[Any]] = [ended, broken]
        wait(futures, return_when=FIRST_COMPLETED)
        if ended.done():
            return ended.result()
        raise Lost(endpoint.reason)

    def close(self) -> None:
        """Close all connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for endpoint in self._endpoints:
            endpoint.client.close()

    # ------------------------------------------------------------------ looks at endpoints

    def _ended(self, endpoint: Endpoint, reason: str, *, down: bool) -> None:
        if down:
            endpoint.warn(f"is left out for now: {reason}")
        endpoint.reason = reason if down else endpoint.reason
        self._changed.notify_all()

    def _unreachable(self) -> EndpointUnreachable:
        reasons = "; ".join(f"{endpoint.shown}: {endpoint.reason or 'no answer'}" for endpoint in self._endpoints)
        return EndpointUnreachable(f"none of {len(self._endpoints)} endpoints answers: {reasons}")

    def _watch(self) -> None:
        """Start the thread that looks at endpoints, unless it runs; holding the lock."""
        if self.several and not self._watched and not self._closed:
            self._watched = True
            threading.Thread(target=self._look_around, name="twofold-endpoints", daemon=True).start()

    def _look_around(self) -> None:
        while True:
            with self._changed:
                now = self._clock()
                due = [endpoint for endpoint in self._endpoints if self._due(endpoint, now)]
                for endpoint in due:
                    endpoint.looking = True
                busy = any(e.load.under_way or e.load.state == "down" for e in self._endpoints) or self._waiting
                if self._closed or not busy:
                    self._watched = False
                    return
            for endpoint in due:
                # each in a thread: one that hangs is not to keep the others from coming back
                threading.Thread(target=self._look, args=(endpoint,), name="twofold-look", daemon=True).start()
            time.sleep(_TICK)

    def _due(self, endpoint: Endpoint, now: float) -> bool:
        if endpoint.looking:
            return False
        if endpoint.load.state in ("down", "out"):
            return endpoint.load.until <= now
        usual = max(e.load.usual for e in self._endpoints)
        suspect = endpoint.load.oldest(now) > max(_HUNG, 4 * usual)
        return suspect and now - endpoint.looked_at > PATIENCE

    def _look(self, endpoint: Endpoint) -> None:
        report = EndpointReport(reason="it could not be looked at")
        try:
            report = probed(endpoint.client, self._model, timeout=PATIENCE)
        except RuntimeError:  # closed meanwhile
            return
        finally:
            with self._changed:
                endpoint.looking, endpoint.looked_at = False, self._clock()
        if endpoint.load.state in ("down", "out"):
            self._judge(endpoint, report)
        elif not report.alive:
            with self._changed:
                endpoint.reason = report.reason
                endpoint.load.silent(self._clock())
                endpoint.broken.set_result(None)
                endpoint.broken = Future()
                endpoint.warn(f"is left out for now: {report.reason}")
                self._changed.notify_all()
