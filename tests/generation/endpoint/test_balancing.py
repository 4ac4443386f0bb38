"""Limits, breakers and choices of endpoints under a clock of the test: shares, queues, refusals."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.generation.endpoint.balancing import FAILURES, LONGEST_PAUSE, START, START_BESIDE, EndpointLoad, choose


@dataclass(kw_only=True)
class Server:
    """Computes `workers` requests at a time, and refuses those above `most`."""

    workers: int = 4
    seconds: float = 1.0
    most: int = 10**6
    free: list[float] = field(default_factory=list)
    running: int = 0

    @property
    def capacity(self) -> float:
        return self.workers / self.seconds


@dataclass(frozen=True)
class Outcome:
    """What came of a number of prompts."""

    share: float
    """Answers per second as a share of the servers' capacity together."""
    p95: float
    refused: int
    loads: list[EndpointLoad]


def simulated(servers: list[Server], number: int, *, bound: int = 16) -> Outcome:
    """All prompts at once, on a clock of its own; services last half to one and a half of `seconds`."""
    chance, now, loads = random.Random(1), 0.0, [EndpointLoad(bound) for _ in servers]
    events: list[tuple[float, int, int, int, bool]] = []
    tickets, begun, took = {}, {}, {}
    waiting, order, refused = list(range(number)), 0, 0
    for server in servers:
        server.free = [0.0] * server.workers
    while len(took) < number:
        while waiting and (place := choose(loads, now, waiting=len(waiting) - 1)) is not None:
            prompt, server, order = waiting.pop(0), servers[place], order + 1
            begun.setdefault(prompt, now)
            tickets[order] = loads[place].begin(now)
            if server.running >= server.most:
                heapq.heappush(events, (now + 0.005, order, place, prompt, False))
                continue
            server.running += 1
            worker = min(range(server.workers), key=server.free.__getitem__)
            server.free[worker] = max(now, server.free[worker]) + server.seconds * chance.uniform(0.5, 1.5)
            heapq.heappush(events, (server.free[worker], order, place, prompt, True))
        now, number_of, place, prompt, served = heapq.heappop(events)
        if served:
            servers[place].running -= 1
            loads[place].answered(tickets[number_of], now)
            took[prompt] = now - begun[prompt]
        else:
            refused += 1
            loads[place].overloaded(tickets[number_of], now)
            waiting.insert(0, prompt)
    capacity = sum(server.capacity for server in servers)
    return Outcome(number / now / capacity, sorted(took.values())[int(0.95 * number)], refused, loads)


@pytest.mark.parametrize(
    ("servers", "p95"),
    [
        ([Server(), Server(), Server()], 6.0),
        ([Server(), Server(), Server(seconds=8.0)], 20.0),
        ([Server(workers=8), Server(workers=2), Server(workers=1)], 16.0),
        ([Server(most=4), Server(most=4), Server(most=4)], 3.0),
        ([Server(workers=1, most=1), Server(workers=1, most=1)], 4.0),
    ],
    ids=["equal", "one-slow", "unequal", "refusing", "one-at-a-time"],
)
def test_throughput_is_within_a_tenth_of_what_the_servers_can(servers: list[Server], p95: float) -> None:
    outcome = simulated(servers, 400)
    assert outcome.share > 0.9
    assert outcome.p95 < p95
    assert outcome.refused < 100


def test_the_limit_settles_where_a_server_refuses() -> None:
    (load,) = simulated([Server(workers=12, seconds=0.2, most=12)], 1000, bound=64).loads
    assert 10 <= load.limit <= 13


def test_the_last_prompts_do_not_wait_for_the_slow_server() -> None:
    outcome = simulated([Server(), Server(workers=1, seconds=10.0)], 240)
    assert outcome.share > 0.9, "a queue of sixteen at the slow server would last 160 s, where all is done in 60"


def test_a_limit_is_lowered_once_for_what_was_sent_together() -> None:
    load = EndpointLoad(64, breaks=False)
    tickets = [load.begin(0.0) for _ in range(START)]
    for ticket in tickets[1:]:
        load.overloaded(ticket, 0.1)
    assert START * 0.8 < load.limit < START
    assert load.state == "up"


def test_a_breaker_opens_for_longer_each_time_and_one_request_tries() -> None:
    load, now, pauses = EndpointLoad(8), 0.0, []
    for _ in range(9):
        for _ in range(FAILURES if load.state == "up" else 1):
            load.failed(load.begin(now), now)
        assert load.state == "down"
        assert not load.free(now)
        pauses.append(load.until - now)
        now = load.until
        load.alive(now)
        assert load.free(now)
        load.left(load.begin(now), now)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert pauses[-1] == LONGEST_PAUSE
    ticket = load.begin(now)
    assert not load.free(now), "while one tries, no other is sent"
    load.answered(ticket, now + 1)
    assert load.state == "up"
    assert load.free(now + 1)


def test_a_single_endpoint_is_never_left_out() -> None:
    load = EndpointLoad(8, breaks=False)
    for _ in range(20):
        load.failed(load.begin(0.0), 0.0)
    assert load.free(0.0)


def test_a_demanded_wait_is_no_failure() -> None:
    load = EndpointLoad(8)
    for now in (0.0, 10.0, 20.0, 30.0):
        assert not load.overloaded(load.begin(now), now, wait=10.0)
        assert not load.free(now + 9)
        assert load.free(now + 10)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["answered", "overloaded", "failed", "left"])), max_size=60)
)
def test_a_limit_stays_between_one_and_the_bound(steps: list[tuple[int, str]]) -> None:
    loads, now = [EndpointLoad(6) for _ in range(3)], 0.0
    for place, what in steps:
        now += 0.5
        load = loads[place]
        if load.state == "down" and load.until <= now:
            load.alive(now)
        if not load.free(now):
            continue
        ticket = load.begin(now)
        {"answered": load.answered, "overloaded": load.overloaded, "failed": load.failed, "left": load.left}[what](
            ticket, now + 0.1
        )
        assert 1 <= load.limit <= 6
        assert not load.under_way
        chosen = choose(loads, now + 0.1)
        assert chosen is None or loads[chosen].free(now + 0.1)


def test_the_first_answers_of_several_are_few() -> None:
    assert EndpointLoad(64).limit == START_BESIDE
    assert EndpointLoad(2).limit == 2
    assert EndpointLoad(64, breaks=False).limit == START
