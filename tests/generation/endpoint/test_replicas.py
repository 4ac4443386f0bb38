"""The generator ``openai`` over several servers: slow, dying, failing, silent, limited, lying, and answering twice."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replica_servers import BROKEN, SILENT, Replica, running
from twofold.errors import ConfigError, EndpointUnreachable, GenerationError
from twofold.generation.endpoint import pool
from twofold.generation.endpoint.measured import FILE
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.plugins import loading
from twofold.plugins.results import EndpointState
from twofold.testing.conformance_generator import prompt
from twofold.types import Completion

OPENED: list[OpenAIGenerator] = []


def generator(*replicas: Replica, directory: Path | None = None, **options: Any) -> OpenAIGenerator:
    first, *others = [replica.url for replica in replicas]
    values = {"model": "m", "base_url": first, "replicas": others, "backoff": 0.01, "timeout": 5.0, **options}
    made: OpenAIGenerator = loading.make("generators", "openai", values)
    if directory is not None:
        made.remember(directory)
    OPENED.append(made)
    return made


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Generators that a test opened look at their servers until they are closed."""
    yield
    while OPENED:
        OPENED.pop().close()


def answers(made: OpenAIGenerator, number: int) -> list[str]:
    """Texts of the completions, none of which may have failed."""
    completions = made.generate([prompt(f"p{place}") for place in range(number)])
    assert [completion.failure for completion in completions] == [None] * number
    return [completion.text for completion in completions]


def expected(number: int) -> list[str]:
    return [f"to p{place}" for place in range(number)]


def states(made: OpenAIGenerator) -> dict[str, EndpointState]:
    return {state["address"]: state for state in made.endpoints()}


def test_every_replica_takes_its_share() -> None:
    with running(Replica(), Replica(), Replica()) as replicas:
        made = generator(*replicas)
        assert answers(made, 90) == expected(90)
        assert min(len(replica.answered) for replica in replicas) >= 20
        assert sum((replica.answered for replica in replicas), Counter()).total() == 90
        told = made.endpoints()
        assert sum(state["answered"] for state in told) == 90
        assert {state["serves"] for state in told} == {"vllm 0.32.0"}


def test_replicas_change_neither_key_nor_description() -> None:
    """The key is the one that versions without replicas made."""
    alone = OpenAIGenerator(OpenAIGenerator.Options(model="m", base_url="http://a.example/v1"))
    several = OpenAIGenerator(
        OpenAIGenerator.Options(model="m", base_url="http://a.example/v1", replicas=("http://b.example/v1",))
    )
    assert several.key == alone.key == "generator:1a325b11071f368951bb3463019f1bd6"
    assert several.description == alone.description, "a server shows an arm as measured by it"


def test_a_slow_replica_holds_up_nobody() -> None:
    with running(Replica(), Replica(workers=1, seconds=0.4), Replica()) as replicas:
        begun = time.monotonic()
        assert answers(generator(*replicas), 120) == expected(120)
        assert time.monotonic() - begun < 3, "eight of the slow one after each other would take as long"
        assert len(replicas[1].answered) < 12


def test_a_replica_that_dies_on_the_way_costs_nothing_but_its_requests() -> None:
    with running(Replica(seconds=0.02), Replica(seconds=0.02)) as replicas:
        made = generator(*replicas)
        assert answers(made, 30) == expected(30)
        replicas[1].status, replicas[1].looks = BROKEN, 503
        assert answers(made, 60) == expected(60)
        state = states(made)[replicas[1].url]
        assert state["state"] == "down"
        assert 1 <= state["lost"] <= 24, "each request that was under way is counted, and no more are sent"
        # and comes back
        replicas[1].status, replicas[1].looks = 200, 200
        until = time.monotonic() + 10
        while states(made)[replicas[1].url]["state"] != "up" and time.monotonic() < until:
            answers(made, 5)
        before = len(replicas[1].answered)
        assert answers(made, 60) == expected(60)
        assert len(replicas[1].answered) > before


def test_a_replica_that_only_fails_is_left_out() -> None:
    with running(Replica(), Replica(status=500), Replica()) as replicas:
        made = generator(*replicas)
        assert answers(made, 80) == expected(80)
        failing = states(made)[replicas[1].url]
        assert failing["failed"] <= 30
        assert failing["state"] == "down"
        assert failing["reason"] == "ordered fault"


def test_a_silent_replica_is_found_out_before_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_HUNG", 0.3)
    monkeypatch.setattr(pool, "PATIENCE", 0.3)
    with running(Replica(), Replica()) as replicas:
        made = generator(*replicas, timeout=25.0)
        assert answers(made, 20) == expected(20)
        replicas[1].status = replicas[1].looks = SILENT
        begun = time.monotonic()
        assert answers(made, 40) == expected(40)
        assert time.monotonic() - begun < 10
        state = states(made)[replicas[1].url]
        assert state["state"] == "down"
        assert state["lost"] >= 1


def test_a_limited_replica_gets_what_it_takes() -> None:
    with running(Replica(workers=2, most=2, seconds=0.03), Replica(workers=8, seconds=0.03)) as replicas:
        made = generator(*replicas, concurrency=16)
        assert answers(made, 200) == expected(200)
        limited = states(made)[replicas[0].url]
        assert limited["at_once"] <= 3
        assert limited["refused"] < 40
        assert limited["answered"] > 20
        assert states(made)[replicas[1].url]["at_once"] > 8


def test_a_demanded_wait_is_kept_while_others_answer() -> None:
    with running(Replica(most=0, retry_after="30"), Replica()) as replicas:
        made = generator(*replicas)
        begun = time.monotonic()
        assert answers(made, 40) == expected(40)
        assert time.monotonic() - begun < 5
        assert len(replicas[0].names) <= 8, "those under way when it first refused"


def test_an_answer_that_is_sent_twice_is_no_answer_to_the_next_prompt() -> None:
    with running(Replica(twice=True), Replica(twice=True)) as replicas:
        made = generator(*replicas, concurrency=2)
        for _ in range(3):
            assert answers(made, 20) == expected(20)


def test_a_liar_about_its_model_gets_no_prompt(caplog: pytest.LogCaptureFixture) -> None:
    liar = Replica(serves={"id": "m", "owned_by": "vllm", "root": "/w/m-70b"})
    other = Replica(serves={"id": "another"})
    later = Replica(version="0.33.0")
    with running(Replica(), liar, other, later) as replicas, caplog.at_level(logging.WARNING):
        made = generator(*replicas)
        assert answers(made, 20) == expected(20)
        assert not [replica for replica in (liar, other, later) if replica.names]
        told = states(made)
    assert told[liar.url]["state"] == told[other.url]["state"] == told[later.url]["state"] == "out"
    assert told[liar.url]["reason"] == "serves root 'm-70b' instead of 'm-8b'"
    assert told[other.url]["reason"] == "lists another, not 'm'"
    assert told[later.url]["reason"] == "serves version '0.33.0' instead of '0.32.0'"
    assert f"{liar.url} is left out: it serves root 'm-70b' instead of 'm-8b'" in caplog.text


def test_another_model_under_the_measured_name_is_refused(tmp_path: Path) -> None:
    with running(Replica()) as (replica,):
        made = generator(replica, directory=tmp_path)
        assert answers(made, 2) == expected(2)
        assert json.loads((tmp_path / FILE).read_text())["models"][f"m at {replica.url}"]["root"] == "m-8b"
        replica.serves = {**replica.serves, "root": "/w/m-70b"}
        swapped = generator(replica, directory=tmp_path)
        with pytest.raises(GenerationError, match="no endpoint serves the model 'm' as it was measured") as caught:
            swapped.generate([prompt("a")])
        assert "serves root 'm-70b' instead of 'm-8b'" in caught.value.message
        with pytest.raises(GenerationError, match="as it was measured"):
            list(swapped.stream(prompt("a")))
        assert len(replica.names) == 2, "no prompt was answered by the other model"
        assert answers(generator(replica, directory=tmp_path, check_model=False), 1) == expected(1)
        replica.serves = {**replica.serves, "root": "/elsewhere/m-8b"}
        assert answers(swapped, 1) == expected(1), "corrected: the same generator goes on"


def test_nothing_that_says_its_model_changes_nothing(tmp_path: Path) -> None:
    with running(Replica(serves={"id": "m"}), Replica(looks=404)) as replicas:
        assert answers(generator(*replicas, directory=tmp_path), 4) == expected(4)
    assert not (tmp_path / FILE).exists()


def test_all_down_is_a_failure_that_names_them() -> None:
    with running(Replica(status=503, looks=503), Replica(status=500, looks=503)) as replicas:
        made = generator(*replicas, retries=1)
        (completion,) = made.generate([prompt("a")])
        assert completion.failure is not None
        assert completion.failure.code == "generation.connection"
        for replica in replicas:
            assert f"{replica.url}: it answers 503" in completion.failure.message
        with pytest.raises(EndpointUnreachable, match="none of 2 endpoints answers"):
            list(made.stream(prompt("a")))


def test_a_wrong_key_at_one_is_no_end_and_at_all_is_one() -> None:
    with running(Replica(status=401), Replica()) as replicas:
        made = generator(*replicas)
        assert answers(made, 20) == expected(20)
        assert states(made)[replicas[0].url]["state"] == "out"
    with running(Replica(status=401), Replica(status=401)) as replicas, pytest.raises(GenerationError, match="401"):
        generator(*replicas).generate([prompt("a")])


def test_streams_go_to_another_replica_before_their_first_piece() -> None:
    with running(Replica(status=BROKEN), Replica()) as replicas:
        made = generator(*replicas)
        for place in range(6):
            *pieces, last = made.stream(prompt(f"p{place}"))
            assert isinstance(last, Completion)
            assert "".join(map(str, pieces)) == last.text == f"to p{place}"
        received: SimpleQueue[Any] = SimpleQueue()
        batch = made.live()
        batch.submit(prompt("live"), received.put)
        assert "".join(received.get(timeout=5) for _ in range(2)) == received.get(timeout=5).text == "to live"
        batch.close()


def test_a_repetition_of_the_unknown_has_the_same_name_and_of_the_answered_another() -> None:
    with running(Replica(status=BROKEN), Replica(status=500)) as replicas:
        generator(*replicas, retries=1, concurrency=1).generate([prompt("a")])
        names = [name for replica in replicas for _, name in replica.names]
        assert all(names)
        by = {replica.status: [name for _, name in replica.names] for replica in replicas}
        assert by[BROKEN][0] == by[500][0], "nobody knows whether the first was computed"
        assert len(set(by[500])) == len(by[500]), "an error is not asked for again by its name"


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (["b.example/v1"], "'b.example/v1' is no address; start it with http:// or https://"),
        (["http://a.example/v1/"], "is named twice, or is base_url"),
        (["http://b.example/v1", "http://b.example/v1"], "is named twice, or is base_url"),
    ],
)
def test_addresses_that_are_none_or_are_named_twice_are_refused(addresses: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        loading.make("generators", "openai", {"model": "m", "base_url": "http://a.example/v1", "replicas": addresses})


FAULTY = st.builds(
    Replica,
    workers=st.integers(1, 4),
    seconds=st.sampled_from([0.0, 0.002]),
    most=st.sampled_from([1, 2, 100]),
    status=st.sampled_from([200, 200, 500, 503, BROKEN, 401]),
    twice=st.booleans(),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FAULTY, min_size=1, max_size=3), st.integers(1, 25))
def test_every_prompt_has_one_answer_in_its_place(faulty: list[Replica], number: int) -> None:
    with running(Replica(workers=2, seconds=0.001), *faulty) as replicas:
        made = generator(*replicas, concurrency=4)
        assert answers(made, number) == expected(number)
        used = sum(state["answered"] for state in made.endpoints())
        computed = sum((replica.answered for replica in replicas), Counter())
        assert used == number
        assert computed.total() == number, "no prompt was computed twice: none was lost without an end"
