"""Many live requests at once are answered as `System.answer` answers them, and what befalls one befalls no other."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twofold.answering.system import System, question
from twofold.errors import AccessDenied, BadRequest, Closing, DeadlinePassed, GenerationError, QueueFull
from twofold.plugins import loading
from twofold.plugins.live import TokenChance
from twofold.project import Project
from twofold.serving.dispatch import Dispatcher, Overrides, Ticket
from twofold.testing import projects
from twofold.types import Answer, Example, Filter, Message, Timing

QUESTIONS = 24


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Iterator[Project]:
    project = projects.make_project(tmp_path_factory.mktemp("serving") / "project", questions=QUESTIONS)
    project.sync()
    yield project
    project.close()


@pytest.fixture
def echo(synced: Project) -> Iterator[Callable[..., System]]:
    """Makes systems with the echo generator and these options."""
    base = synced.open_system(arm="rag")

    def make(**options: Any) -> System:
        return replace(base, generator=loading.make("generators", "echo", {"mode": "quote", **options}, adapter=None))

    yield make
    base.close()


@pytest.fixture(scope="module")
def answering(synced: Project, tiny: Path) -> Iterator[System]:
    """A real model on the OpenVINO runtime, its arithmetic exact, with the real index."""
    options = {"model": f"path:{tiny}", "runtime": "openvino", "dtype": "f32", "threads": 2}
    base = synced.open_system(arm="rag")
    generator = loading.make("generators", "local", options, adapter=None)
    yield replace(base, generator=generator, max_tokens=10)
    generator.close()


@pytest.fixture(scope="module")
def live(answering: System) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(answering)
    yield dispatcher
    dispatcher.close()


def fetched(ticket: Ticket) -> Answer:
    *_, answer = ticket.pieces()
    assert isinstance(answer, Answer)
    return answer


def same(answer: Answer, expected: Answer) -> bool:
    return replace(answer, timing=Timing()) == replace(expected, timing=Timing())


def test_live_answers_are_those_of_the_study(synced: Project, answering: System, live: Dispatcher) -> None:
    """Requests join at any time, some with a conversation, some leave: what stays is `System.answer`, whole."""
    turns = (Message(role="user", content="Where do potatoes grow?"), Message(role="assistant", content="In soil."))
    asked = [*synced.examples[:10], question("And at night?", turns), question("zzzz qqqq")]
    expected = [answering.answer([example])[0] for example in asked]
    for seed in range(3):
        chance = random.Random(seed)
        order = chance.sample(range(len(asked)), len(asked))
        tickets: list[tuple[int, Ticket]] = []
        for place in order:
            ticket = live.submit(asked[place])
            if chance.random() < 0.25:
                if chance.random() < 0.5:
                    next(ticket.pieces())
                ticket.cancel()
                continue
            tickets.append((place, ticket))
            time.sleep(chance.random() * 0.03)
        for place, ticket in tickets:
            assert same(fetched(ticket), expected[place])
    assert not live._open


def test_pieces_add_up_to_the_answer_on_an_event_loop_too(synced: Project, answering: System, live: Dispatcher) -> None:
    asked = synced.examples[:6]
    expected = answering.answer(asked)
    streams = [[piece for piece in answering.stream(one) if isinstance(piece, str)] for one in asked]

    async def fetch(example: Example) -> list[str | Answer]:
        return [piece async for piece in live.submit(example).apieces()]

    async def all_at_once() -> list[list[str | Answer]]:
        return list(await asyncio.gather(*map(fetch, asked)))

    for (*pieces, answer), stream, one in zip(asyncio.run(all_at_once()), streams, expected, strict=True):
        assert isinstance(answer, Answer)
        assert same(answer, one)
        assert "".join(map(str, pieces)) == "".join(stream)


def test_a_request_has_its_own_limit_stop_and_schema(
    synced: Project, answering: System, live: Dispatcher, echo: Any
) -> None:
    example = synced.examples[0]
    short = live.submit(example, overrides=Overrides(max_tokens=2))
    word = answering.answer([example])[0].raw[3:5]
    stopped = live.submit(example, overrides=Overrides(stop=(word,)))
    assert fetched(short).usage.completion_tokens == 2
    assert word not in fetched(stopped).raw
    dispatcher = Dispatcher(echo())
    schema = '{"type": "object", "properties": {"said": {"type": "string"}}}'
    assert fetched(dispatcher.submit(example, overrides=Overrides(schema=schema))).text.startswith('{"said"')
    assert not fetched(dispatcher.submit(example)).text.startswith("{")
    dispatcher.close()


def test_what_a_generator_cannot_do_is_refused_by_name(synced: Project, echo: Any) -> None:
    dispatcher = Dispatcher(echo(schemas=False))
    with pytest.raises(BadRequest) as caught:
        dispatcher.submit(synced.examples[0], overrides=Overrides(schema="{}"))
    assert caught.value.param == "response_format"
    dispatcher.close()


def test_how_likely_the_tokens_were(synced: Project, live: Dispatcher, echo: Any) -> None:
    ticket = live.submit(synced.examples[0], overrides=Overrides(logprobs=0))
    assert "".join(chance.token for chance in fetched_with(ticket)) == fetched(live.submit(synced.examples[0])).raw
    with pytest.raises(BadRequest) as caught:
        live.submit(synced.examples[0], overrides=Overrides(logprobs=3))
    assert caught.value.param == "top_logprobs"
    dispatcher = Dispatcher(echo())
    with pytest.raises(BadRequest) as caught:
        dispatcher.submit(synced.examples[0], overrides=Overrides(logprobs=0))
    assert caught.value.param == "logprobs"
    dispatcher.close()


def fetched_with(ticket: Ticket) -> tuple[TokenChance, ...]:
    assert fetched(ticket).failure is None
    return ticket.chances


def test_each_choice_has_a_seed_of_its_own_and_a_seed_gives_the_same_again(synced: Project, live: Dispatcher) -> None:
    def sampled(seed: int) -> str:
        return fetched(live.submit(synced.examples[0], overrides=Overrides(temperature=1.5, seed=seed))).raw

    texts = [sampled(seed) for seed in (1, 2, 3, 1, 2, 3)]
    assert texts[:3] == texts[3:]
    assert len(set(texts)) == 3


def test_who_reads_is_woken_when_the_request_is_cancelled(synced: Project, echo: Any) -> None:
    dispatcher = Dispatcher(echo(word_seconds=2))

    async def fetch() -> None:
        ticket = dispatcher.submit(synced.examples[0])
        reading = asyncio.ensure_future(anext(ticket.apieces()))
        await asyncio.sleep(0.05)
        ticket.cancel()
        with pytest.raises(GenerationError, match="cancelled"):
            await asyncio.wait_for(reading, 1.5)

    asyncio.run(fetch())
    ticket = dispatcher.submit(synced.examples[0])
    threading.Timer(0.05, ticket.cancel).start()
    began = time.monotonic()
    with pytest.raises(GenerationError, match="cancelled"):
        list(ticket.pieces())
    assert time.monotonic() - began < 1.5
    assert not dispatcher._open
    dispatcher.close()


class Fails:
    """A retriever that fails for a question that names a word."""

    def __init__(self, retriever: Any, word: str) -> None:
        self.retriever, self.word = retriever, word
        self.calls: list[int] = []

    def retrieve(self, queries: Any, k: int) -> Any:
        self.calls.append(len(queries))
        time.sleep(0.05)  # so that others wait together
        if any(self.word in one.question for one in queries):
            raise RuntimeError(f"no {self.word}")
        return self.retriever.retrieve(queries, k)


def test_a_failure_of_one_reaches_no_other(synced: Project, echo: Any) -> None:
    system = echo()
    retriever = Fails(system.retriever, "poison")
    system = replace(system, retriever=retriever)
    dispatcher = Dispatcher(system)
    tickets = [dispatcher.submit(one) for one in synced.examples[:8]]
    bad = dispatcher.submit(question("Is there poison?"))
    tickets += [dispatcher.submit(one) for one in synced.examples[8:12]]
    with pytest.raises(RuntimeError, match="no poison"):
        fetched(bad)
    expected = system.answer(synced.examples[:12])
    assert all(same(fetched(ticket), one) for ticket, one in zip(tickets, expected, strict=True))
    assert max(retriever.calls[:-1]) > 1, "those that wait are searched for together"
    dispatcher.close()


class NativePanic(BaseException):
    """As a library in Rust raises it: no `Exception`."""


def test_after_a_panic_in_a_search_others_are_answered(
    synced: Project, echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = Dispatcher(echo())
    retriever = dispatcher.system.retriever
    with monkeypatch.context() as patch:
        patch.setattr(retriever, "retrieve", lambda *_: (_ for _ in ()).throw(NativePanic("called `unwrap`")))
        with pytest.raises(RuntimeError, match="unwrap"):
            fetched(dispatcher.submit(synced.examples[0], deadline=10))
    assert fetched(dispatcher.submit(synced.examples[0], deadline=10)).text
    dispatcher.close()


def test_a_full_queue_says_when_to_come_again(synced: Project, echo: Any) -> None:
    dispatcher = Dispatcher(echo(word_seconds=0.02), queue=2)
    example = synced.examples[0]
    fetched(dispatcher.submit(example))
    first, second = dispatcher.submit(example), dispatcher.submit(example)
    with pytest.raises(QueueFull) as caught:
        dispatcher.submit(example)
    assert caught.value.retry_after >= 1
    first.cancel()  # a place is free at once
    third = dispatcher.submit(example)
    assert fetched(second).text == fetched(third).text
    dispatcher.close()


def test_a_request_ends_at_its_deadline(synced: Project, echo: Any) -> None:
    dispatcher = Dispatcher(echo(word_seconds=0.5))
    example = synced.examples[0]

    async def fetch() -> list[Any]:
        return [piece async for piece in dispatcher.submit(example, deadline=0.1).apieces()]

    for late in (lambda: fetched(dispatcher.submit(example, deadline=0.1)), lambda: asyncio.run(fetch())):
        with pytest.raises(DeadlinePassed, match=r"0\.1 s"):
            late()
    assert not dispatcher._open
    dispatcher.close()


def test_closing_lets_answers_end_and_takes_no_more(synced: Project, echo: Any) -> None:
    dispatcher = Dispatcher(echo(word_seconds=0.02), grace=30)
    tickets = [dispatcher.submit(one) for one in synced.examples[:4]]
    closing = threading.Thread(target=dispatcher.close)
    closing.start()
    while not dispatcher._closing:
        time.sleep(0.001)
    with pytest.raises(Closing):
        dispatcher.submit(synced.examples[0])
    assert all(fetched(ticket).failure is None for ticket in tickets)
    closing.join()
    left = {dispatcher._searcher, *dispatcher._batch._pool._threads}  # type: ignore[attr-defined]
    assert not any(thread.is_alive() for thread in left), "a thread was left behind"


def test_what_outlives_the_grace_is_ended(synced: Project, echo: Any) -> None:
    dispatcher = Dispatcher(echo(word_seconds=0.3), grace=0.05)
    ticket = dispatcher.submit(synced.examples[0])
    dispatcher.close()
    with pytest.raises(Closing, match="grace"):
        fetched(ticket)


def test_who_may_not_ask_is_refused_at_once_and_filters_are_not_mixed(synced: Project, echo: Any) -> None:
    system = replace(echo(), guarded=True)
    dispatcher = Dispatcher(system)
    with pytest.raises(AccessDenied):
        dispatcher.submit(synced.examples[0])
    for answer in (
        fetched(ticket)
        for ticket in [
            dispatcher.submit(one, filter=Filter(principal=(name,)))
            for one in synced.examples[:6]
            for name in ("ann", "bob")
        ]
    ):
        assert not answer.hits, "no document of this project names a reader"
    dispatcher.close()


def test_the_seed_after_the_largest_is_the_smallest() -> None:
    assert [Overrides(seed=2**63 - 1).numbered(number).seed for number in (0, 1)] == [2**63 - 1, -(2**63)]
    assert [Overrides(seed=-3).numbered(number).seed for number in (0, 2, 7)] == [-3, -1, 4]
