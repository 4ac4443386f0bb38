"""How many requests an endpoint gets at once, and which of several endpoints gets the next one. Pure.

**At once.** Additive increase, multiplicative decrease, as TCP has it (RFC 5681) and adaptive limiters of services from
there: a refusal for load (429, 503, 529) or a timeout lowers the limit, answers raise it again, the slower the nearer
it is to where it was refused. A limiter that follows latency is no choice here: an engine that batches answers
more slowly the more it is sent, and still answers more of them.

**Which one.** Where the request is expected to end first: by the endpoint's own latency, its own load, and the age of
what it has not answered. A request waits for a fast endpoint rather than begin at a slow one that would end after all
others have ended (the last batch would else wait for the slowest server).

**Whether.** A circuit breaker: after `FAILURES` failures without an answer an endpoint is left out, for a pause that
doubles; then it gets a single request.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

START = 8
"""Requests at once that an endpoint gets at first: the default of ``concurrency``, with which all of today begin."""
START_BESIDE = 4
"""The same for one of several: before its first answer nobody knows whether it is the slow one."""
FAILURES = 3
"""Failures after each other, without an answer between them, that open the breaker: a server that restarts breaks all
connections at once, a single broken one is an accident."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds for which an endpoint is left out: the first time, and at most."""
_LOWERED = 0.9
"""Factor of the limit after a refusal: with a half, a server that takes N at once would idle a quarter of its time."""
_LOWERED_AGAIN = 0.5
"""The same where nothing was answered since the last refusal: the limit is far above what the server takes."""
_NEAR = 0.1
"""Share of the usual increase within one request of the refused limit: a refusal in ten rounds, not in each."""
_WEIGHT = 0.2
"""Weight of the newest answer in the averages of latency and load."""
_HALVED_AFTER = 30.0
"""Seconds without a request after which half of an old latency is believed, so that a once slow endpoint is tried."""

State = Literal["up", "trial", "down", "out"]
"""``trial``: it gets one request; ``down``: it fails; ``out``: it serves another model, or refuses the key."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A request under way."""

    number: int
    at: float
    """When it began."""
    load: int
    """Requests under way at its endpoint then, with itself."""


class EndpointLoad:
    """What one endpoint has to do, and what was seen of it. Times are seconds of a clock that only grows.

    Args:
        bound: Most requests at once.
        breaks: It is one of several, and left out when it fails.
    """

    def __init__(self, bound: int, *, breaks: bool = True) -> None:
        self.bound = bound
        self._breaks = breaks
        self.limit = float(min(bound, START_BESIDE if breaks else START))
        """Requests at once for now; rounded down."""
        self.state: State = "up"
        self.until = 0.0
        """When it may be sent something again: it is down, or demanded a wait."""
        self.under_way: dict[int, Sending] = {}
        self._ceiling = 0.0
        self._lowered_at = float("-inf")
        self._answered_since = True
        self._latency = 0.0
        self._usually = 1.0
        self._last = 0.0
        self._failures = 0
        self._openings = 0
        self._number = 0

    # ------------------------------------------------------------------ questions

    def free(self, now: float) -> bool:
        """Does it take another request now?"""
        if self.state == "trial":
            return not self.under_way and self.until <= now
        return self.state == "up" and self.until <= now and len(self.under_way) < int(self.limit)

    def oldest(self, now: float) -> float:
        """Age of the longest request under way, in seconds."""
        return max((now - ticket.at for ticket in self.under_way.values()), default=0.0)

    @property
    def usual(self) -> float:
        """Seconds of an answer, of those that ended; 0 before the first."""
        return self._latency

    def latency(self, now: float) -> float:
        """Seconds that an answer takes, by those that ended and those that did not; 0 before the first."""
        idle = 0.0 if self.under_way else max(0.0, now - self._last)
        return float(max(self._latency * 0.5 ** (idle / _HALVED_AFTER), self.oldest(now)))

    def expected(self, now: float) -> float:
        """Seconds that one more request would take; above its usual load it would wait in the endpoint's queue."""
        return self.latency(now) * max(1.0, (len(self.under_way) + 1) / self._usually)

    def rate(self, now: float) -> float:
        """Answers per second at its usual load (Little's law); 0 before the first."""
        latency = self.latency(now)
        return self._usually / latency if latency else 0.0

    # ------------------------------------------------------------------ events

    def begin(self, now: float) -> Sending:
        """A request is sent."""
        self._number += 1
        ticket = Sending(self._number, now, len(self.under_way) + 1)
        self.under_way[ticket.number] = ticket
        return ticket

    def left(self, ticket: Sending, now: float) -> None:
        """A request ended without saying anything of the endpoint."""
        self.under_way.pop(ticket.number, None)
        self._last = now

    def answered(self, ticket: Sending, now: float) -> None:
        """The endpoint answered, be it that the prompt is at fault."""
        self.left(ticket, now)
        if self.state in ("trial", "down"):
            self.state, self.until = "up", now
        self._failures = self._openings = 0
        self._answered_since = True
        took, first = now - ticket.at, not self._latency
        self._latency = took if first else (1 - _WEIGHT) * self._latency + _WEIGHT * took
        self._usually = float(ticket.load) if first else (1 - _WEIGHT) * self._usually + _WEIGHT * ticket.load
        # What was not used to the full says nothing of what more would do.
        if ticket.load >= int(self.limit):
            self.limit = min(float(self.bound), self.limit + self._step())

    def overloaded(self, ticket: Sending, now: float, wait: float = 0.0) -> bool:
        """The endpoint refused a request for its load, or took too long; returns whether it is down now.

        Args:
            ticket: The request.
            now: The time.
            wait: Seconds that it demands to be left alone.
        """
        self.left(ticket, now)
        self.until = max(self.until, now + wait)
        # One that refuses a request sent alone has no room at all; with a demanded wait it says when it will have.
        if ticket.load == 1 and not wait:
            return self._failed(now)
        self._lower(ticket, now)
        return False

    def failed(self, ticket: Sending, now: float, *, late: bool = False) -> bool:
        """The endpoint did not answer, or by an error of its own; returns whether it is down now.

        Args:
            ticket: The request.
            now: The time.
            late: It took too long, which may be for its load.
        """
        self.left(ticket, now)
        if late:
            self._lower(ticket, now)
        return self._failed(now)

    def silent(self, now: float) -> None:
        """The endpoint did not answer when it was looked at: it is down, whatever it did before."""
        self._open(now)

    def alive(self, now: float) -> None:
        """The endpoint answered when it was looked at: one request may try it."""
        if self.state in ("down", "out"):
            self.state, self.until = "trial", now

    def leave_out(self, now: float) -> None:
        """Send nothing more for now: it would answer for another system, or refuses all."""
        self.state, self.until = "out", now + LONGEST_PAUSE

    def _lower(self, ticket: Sending, now: float) -> None:
        # of the requests that were under way together, the first refusal counts
        if ticket.at >= self._lowered_at:
            self._ceiling, self._lowered_at = self.limit, now
            # At least one request fewer, or the next answers would raise a small limit back at once.
            lower = min(self.limit * (_LOWERED if self._answered_since else _LOWERED_AGAIN), int(self.limit) - 1.0)
            self.limit = max(1.0, lower)
            self._answered_since = False

    def _failed(self, now: float) -> bool:
        if not self._breaks:
            return False
        self._failures += 1
        if self.state == "out" or (self.state == "up" and self._failures < FAILURES):
            return False
        # further requests of the same moment fail with it
        if self.state != "down":
            self._open(now)
        return True

    def _open(self, now: float) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._openings)
        self._openings += 1
        self.state, self.until = "down", max(self.until, now + pause)

    def _step(self) -> float:
        if not self._ceiling:
            return 1.0
        return (_NEAR if abs(self._ceiling - self.limit) <= 1 else 1.0) / self.limit


def choose(loads: Sequence[EndpointLoad], now: float, *, waiting: int = 0, avoid: Collection[int] = ()) -> int | None:
    """The place of the endpoint that gets the next request; None: it is better to wait.

    Args:
        loads: Of the endpoints.
        now: The time.
        waiting: Further requests that wait for a place.
        avoid: Places of endpoints that failed with this request; used where there is no other.
    """
    usable = [place for place, load in enumerate(loads) if load.state in ("up", "trial")]
    usable = [place for place in usable if place not in avoid] or usable
    free = [place for place in usable if loads[place].free(now)]
    if not free:
        return None
    best = min(free, key=lambda place: (loads[place].expected(now), len(loads[place].under_way) / loads[place].limit))
    busy = [loads[place] for place in usable if place not in free and loads[place].rate(now)]
    if busy:
        others = (waiting + 1) / sum(load.rate(now) for load in busy) + min(load.latency(now) for load in busy)
        if loads[best].expected(now) > others:
            return None
    return best
