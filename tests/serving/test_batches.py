"""Arms with the same weights share a running batch, and of other weights so many are loaded at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from twofold.errors import Closing, GenerationError
from twofold.plugins.live import LiveBatch, Receive
from twofold.serving.batches import JoinedGenerator, RunningBatches, SharedBatch
from twofold.testing.echo_generator import EchoGenerator, EchoOptions
from twofold.types import Completion, Message, Prompt


class Batch:
    """A running batch whose requests end when the test says so."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.under_way: list[Receive] = []

    def submit(self, prompt: Prompt, receive: Receive, **_sampling: Any) -> Callable[[], None]:
        self.under_way.append(receive)
        return lambda: self.under_way.remove(receive) if receive in self.under_way else None

    def end(self) -> None:
        self.under_way.pop(0)(Completion(text=self.weights.options.fixed))

    def close(self) -> None:
        assert not self.under_way, "weights with requests under way were closed"
        self.weights.events.append(f"closed {self.weights.options.fixed}")


class Weights(EchoGenerator):
    """A generator that tells when its weights are loaded and freed; its key is its text."""

    def __init__(self, text: str, events: list[str]) -> None:
        super().__init__(EchoOptions(mode="fixed", fixed=text))
        self.events = events
        self.broken = False

    def live(self) -> LiveBatch:
        if self.broken:
            raise GenerationError("no memory")
        self.events.append(f"loaded {self.options.fixed}")
        self.batch = Batch(self)
        return self.batch


PROMPT = Prompt(messages=(Message(role="user", content="Which?"),), max_tokens=5)


def waited(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not until():
        assert time.monotonic() < end
        time.sleep(0.002)


class Asker:
    """Hands a request to a batch in a thread of its own, for it may have to wait."""

    def __init__(self, shared: SharedBatch) -> None:
        self.arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.began = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(shared,))
        self.thread.start()

    def _run(self, shared: SharedBatch) -> None:
        try:
            self.leave = shared.submit(PROMPT, self.arrived.put)
        except Exception as error:
            self.arrived.put(error)
        self.began.set()


@pytest.fixture
def events() -> list[str]:
    return []


def test_arms_with_one_key_share_one_batch_until_the_last_has_gone(events: list[str]) -> None:
    with RunningBatches(1) as batches:
        first, again = Weights("a", events), Weights("a", events)
        one, other = batches.share(first), batches.share(again)
        assert one.generator is other.generator is first
        with pytest.raises(GenerationError, match="closed"):
            again.generate([PROMPT])
        assert not one.loaded
        asker = Asker(other)
        assert asker.began.wait(10)
        assert one.loaded
        one.close()
        other.close()
        assert events == ["loaded a"]  # its request is still under way
        first.batch.end()
        assert asker.arrived.get(timeout=10).text == "a"
        waited(lambda: events == ["loaded a", "closed a"])


def test_the_weights_used_longest_ago_go_first_and_never_those_in_use(events: list[str]) -> None:
    with RunningBatches(2) as batches:
        a, b, c = (Weights(text, events) for text in "abc")
        shared = {one.options.fixed: batches.share(one) for one in (a, b, c)}
        shared["a"].load()
        shared["b"].load()
        shared["a"].load()
        shared["c"].load()
        assert events == ["loaded a", "loaded b", "closed b", "loaded c"]
        busy = Asker(shared["a"])
        assert busy.began.wait(10)
        shared["b"].load()  # not a, though c was used later
        assert events[4:] == ["closed c", "loaded b"]
        a.batch.end()


def test_where_all_are_in_use_requests_wait_in_the_order_in_which_they_came(events: list[str]) -> None:
    with RunningBatches(1) as batches:
        a, b = Weights("a", events), Weights("b", events)
        of_a, of_b = batches.share(a), batches.share(b)
        first, second = Asker(of_a), Asker(of_a)
        assert first.began.wait(10)
        assert second.began.wait(10)
        waiting = Asker(of_b)
        assert not waiting.began.wait(0.05)
        # Came later, though its weights are loaded: else a stream of such requests would keep the other out for good.
        later = Asker(of_a)
        assert not later.began.wait(0.05)
        a.batch.end()
        assert not waiting.began.wait(0.05)
        a.batch.end()
        assert waiting.began.wait(10)
        assert not later.began.wait(0.05)
        b.batch.end()
        assert later.began.wait(10)
        a.batch.end()
    assert events == ["loaded a", "closed a", "loaded b", "closed b", "loaded a", "closed a"]


def test_one_who_leaves_makes_room(events: list[str]) -> None:
    with RunningBatches(1) as batches:
        a, b = Weights("a", events), Weights("b", events)
        busy = Asker(batches.share(a))
        assert busy.began.wait(10)
        waiting = Asker(batches.share(b))
        assert not waiting.began.wait(0.05)
        busy.leave()
        busy.leave()  # again: without effect
        assert waiting.began.wait(10)
        b.batch.end()


def test_weights_that_do_not_start_fail_their_askers_and_are_tried_again(events: list[str]) -> None:
    with RunningBatches(1) as batches:
        weights = Weights("a", events)
        shared = batches.share(weights)
        weights.broken = True
        for _ in range(2):
            with pytest.raises(GenerationError, match="no memory"):
                shared.load()
        assert not shared.loaded
        weights.broken = False
        shared.load()
        assert events == ["loaded a"]


def test_who_waits_when_the_server_stops_is_told(events: list[str]) -> None:
    batches = RunningBatches(1)
    a, b = Weights("a", events), Weights("b", events)
    busy = Asker(batches.share(a))
    assert busy.began.wait(10)
    waiting = Asker(batches.share(b))
    assert not waiting.began.wait(0.05)
    a.batch.under_way.clear()
    batches.close()
    assert isinstance(waiting.arrived.get(timeout=10), Closing)


def test_a_search_stage_writes_in_the_batch_and_gets_what_the_generator_writes() -> None:
    plain = EchoGenerator(EchoOptions(mode="echo", fail_every=3))
    prompts = [Prompt(messages=(Message(role="user", content=f"Question {n}?"),), max_tokens=9) for n in range(12)]
    expected = [(one.text, one.failure) for one in plain.generate(prompts)]
    assert any(failure for _, failure in expected)
    whole = [prompt for prompt, (_, failure) in zip(prompts, expected, strict=True) if not failure]
    seen: list[int] = []
    with RunningBatches(1) as batches:
        joined = JoinedGenerator(batches.share(EchoGenerator(EchoOptions(mode="echo", fail_every=3))))
        assert (joined.key, joined.description) == (plain.key, plain.description)
        written = joined.generate(whole, progress=lambda _stage, done, _total: seen.append(done))
        assert [one.text for one in written] == [text for text, failure in expected if not failure]
        assert seen == list(range(1, len(whole) + 1))
        assert next(one for one in joined.stream(whole[0]) if isinstance(one, Completion)).text == written[0].text
        assert [(one.text, one.failure) for one in joined.generate(prompts)] == expected
        failing = next(prompt for prompt, (_, failure) in zip(prompts, expected, strict=True) if failure)
        [last] = joined.stream(failing)
        assert isinstance(last, Completion)
        assert last.failure is not None, "streamed, a failure has its code as well"
