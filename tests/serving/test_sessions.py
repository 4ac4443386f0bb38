"""Sessions end in time, attempts are counted by network, and memory is bounded."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from twofold.errors import OverLimit
from twofold.serving import sessions
from twofold.serving.sessions import ATTEMPT_SECONDS, ATTEMPTS, Attempts, Expiring


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_there_until_its_time_is_over_and_its_token_is_not_stored() -> None:
    clock = Clock()
    values: Expiring[str] = Expiring(60, now=clock)
    token = values.add("ann")
    assert token not in repr(vars(values))
    assert values.get(token) == "ann"
    assert values.get(token + "x") is None
    assert values.get("\ud800") is None
    clock.now += 59.9
    assert values.get(token) == "ann"
    clock.now += 0.1
    assert values.get(token) is None
    assert values.pop(values.add("bob")) == "bob"


def test_what_was_taken_out_and_what_is_too_many_is_no_longer_there() -> None:
    values: Expiring[int] = Expiring(60, most=3)
    tokens = [values.add(number) for number in range(5)]
    assert [values.get(token) for token in tokens] == [None, None, 2, 3, 4]
    assert values.pop(tokens[3]) == 3
    assert values.get(tokens[3]) is None


def test_of_many_who_take_a_value_out_at_once_one_gets_it() -> None:
    # A state of a login is good for one return, however many come together. Each looks at the clock with all others.
    together = threading.Barrier(4)

    def clock() -> float:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.2)
        return 0.0

    values: Expiring[str] = Expiring(60, now=lambda: 0.0)
    token = values.add("ann")
    values._now = clock
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: values.pop(token), range(4)))
    assert sorted(map(str, taken)) == ["None", "None", "None", "ann"]


def test_who_logs_in_without_end_ends_only_sessions_of_theirs() -> None:
    values: Expiring[str] = Expiring(60.0, most=10, each=3)
    other = values.add("ann", owner="ann")
    tokens = [values.add("bob", owner="bob") for _ in range(50)]
    assert values.get(other) == "ann"
    assert [values.get(token) for token in tokens[-4:]] == [None, "bob", "bob", "bob"]
    values.pop(tokens[-1])
    last = values.add("bob", owner="bob")
    assert [values.get(token) for token in (*tokens[-3:], last)] == ["bob", "bob", None, "bob"]
    # Without an owner all together are bounded, as before.
    plain = [values.add("x") for _ in range(30)]
    assert values.get(plain[-1]) == "x"
    assert values.get(other) is None


def test_an_address_that_fails_often_waits_a_minute_and_others_do_not() -> None:
    clock = Clock()
    attempts = Attempts(now=clock)
    for _ in range(ATTEMPTS):
        attempts.require("192.0.2.7")
        attempts.failed("192.0.2.7")
        clock.now += 1
    with pytest.raises(OverLimit) as raised:
        attempts.require("192.0.2.7")
    assert raised.value.retry_after == pytest.approx(ATTEMPT_SECONDS - ATTEMPTS)
    attempts.require("192.0.2.8")
    clock.now += raised.value.retry_after
    attempts.require("192.0.2.7")


@pytest.mark.parametrize(
    ("failing", "asking", "alike"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_an_owner_of_a_network_has_one_count(failing: str, asking: str, alike: bool) -> None:
    attempts = Attempts()
    for _ in range(ATTEMPTS):
        attempts.failed(failing)
    if alike:
        with pytest.raises(OverLimit):
            attempts.require(asking)
    else:
        attempts.require(asking)


def test_many_addresses_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 20)
    attempts = Attempts()
    for number in range(200):
        attempts.failed(f"10.0.0.{number}")
    assert len(attempts._failed) == 20
