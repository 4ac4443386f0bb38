"""One at a time: what opens a clock does not count, a failed answer is not a fast one, and turns are taken."""

from __future__ import annotations

import random
import time

import pytest

from twofold.host import timing


def clock(asked: list[str], *, slow: float = 0.0, fails: str = "", **more: float) -> timing.Clock[str]:
    def ask(item: str) -> bool:
        asked.append(item)
        time.sleep(slow)
        return item not in fails

    return timing.Clock(ask, name=lambda item: f"name {item}", **more)  # type: ignore[arg-type]


def test_what_is_loaded_at_the_first_answer_does_not_count() -> None:
    asked: list[str] = []
    one = clock(asked)
    one.open("warm", load=lambda: time.sleep(0.05))
    timing.in_turns([one], ["a", "b"], chance=random.Random(0))
    assert asked == ["warm", "a", "b"]
    assert one.opening >= 0.05
    assert list(one.spent) == ["name a", "name b"]
    assert max(one.spent.values()) < 0.05
    assert one.summary()["n"] == 2


def test_every_clock_answers_a_question_before_the_next_one_in_an_order_that_changes() -> None:
    asked: list[str] = []
    clocks = [timing.Clock[str](lambda item, n=n: not asked.append(f"{n}{item}"), name=str) for n in range(3)]  # type: ignore[misc]
    told: list[tuple[int, int]] = []
    timing.in_turns(clocks, list("abcdefgh"), chance=random.Random(1), progress=lambda *at: told.append(at))
    turns = [asked[at : at + 3] for at in range(0, len(asked), 3)]
    assert [{one[1] for one in turn} for turn in turns] == [{letter} for letter in "abcdefgh"]
    assert len({tuple(one[0] for one in turn) for turn in turns}) > 1
    assert told[0] == (0, 8)
    assert told[-1] == (8, 8)


def test_a_failed_answer_counts_as_long_as_the_slowest_or_the_limit() -> None:
    one = clock([], fails="b")
    one.spent, one.failed = {"a": 3.0, "b": 0.1}, {"b"}
    assert one.seconds() == {"a": 3.0, "b": 3.0}
    one.limit = 60.0
    assert one.seconds() == {"a": 3.0, "b": 60.0}
    assert one.summary() == {"p50": pytest.approx(31.5), "p95": pytest.approx(57.15), "n": 2}


def test_where_every_answer_failed_there_is_no_latency() -> None:
    one = clock([], fails="ab")
    timing.in_turns([one], ["a", "b"], chance=random.Random(0))
    assert one.failed == {"name a", "name b"}
    assert one.summary() == {"p50": None, "p95": None, "n": 0}


def test_a_clock_that_has_had_its_time_is_asked_no_more_than_the_least() -> None:
    asked: list[str] = []
    one = clock(asked, slow=0.02, most=0.001, least=2)
    timing.in_turns([one], list("abcd"), chance=random.Random(0))
    assert asked == ["a", "b"]
