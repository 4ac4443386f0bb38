"""Streams in threads: at most so many at once, each with its own failure, none left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from twofold.errors import GenerationError
from twofold.generation.live.threads import Threads
from twofold.types import Completion, Message, Prompt


def ask(text: str) -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),))


class Streams:
    """Streams the words of a question, and counts who streams."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = self.most = self.begun = 0
        self.go_on = threading.Event()

    def __call__(
        self, prompt: Prompt, temperature: float | None, seed: int | None, logprobs: int | None
    ) -> Iterator[str | Completion]:
        with self.lock:
            self.begun += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            text = prompt.messages[-1].content
            if text == "break":
                raise ValueError("out of order")
            if text == "endless":
                while not self.go_on.is_set():
                    yield "more "
                    time.sleep(0.005)
            time.sleep(0.02)
            yield text
            if text != "unfinished":
                yield Completion(text=f"{text} {temperature} {seed}")
        finally:
            with self.lock:
                self.running -= 1


@pytest.fixture
def streams() -> Streams:
    return Streams()


def last(queue: SimpleQueue[Any]) -> Any:
    while isinstance(item := queue.get(timeout=20), str):
        pass
    return item


def test_no_more_at_once_than_workers_and_each_has_its_own_sampling(streams: Streams) -> None:
    batch, queues = Threads(streams, workers=3), [SimpleQueue[Any]() for _ in range(9)]
    for number, queue in enumerate(queues):
        batch.submit(ask(f"n{number}"), queue.put, temperature=number / 10, seed=number)
    assert [last(queue).text for queue in queues] == [f"n{n} {n / 10} {n}" for n in range(9)]
    assert streams.most == 3
    batch.close()


def test_a_fault_is_an_error_of_its_own_request(streams: Streams) -> None:
    batch, queues = Threads(streams, workers=2), [SimpleQueue[Any]() for _ in range(3)]
    for text, queue in zip(("break", "fine", "unfinished"), queues, strict=True):
        batch.submit(ask(text), queue.put)
    fault = last(queues[0])
    assert isinstance(fault, GenerationError)
    assert fault.__cause__ is not None, "with the traceback of what was raised"
    assert last(queues[1]).text == "fine None None"
    assert isinstance(last(queues[2]), GenerationError)
    batch.close()


def test_what_is_cancelled_frees_its_worker_and_what_waits_is_never_begun(streams: Streams) -> None:
    batch, first, second = Threads(streams, workers=1), SimpleQueue[Any](), SimpleQueue[Any]()
    leave = batch.submit(ask("endless"), first.put)
    assert first.get(timeout=20) == "more "
    batch.submit(ask("waits"), print)()
    batch.submit(ask("next"), second.put)
    leave()
    assert last(second).text == "next None None"
    assert streams.begun == 2
    batch.close()


def test_closing_ends_what_runs_with_an_error(streams: Streams) -> None:
    batch, queue = Threads(streams, workers=1), SimpleQueue[Any]()
    batch.submit(ask("endless"), queue.put)
    assert queue.get(timeout=20) == "more "
    batch.close()
    assert isinstance(last(queue), GenerationError)
    assert not streams.running
    with pytest.raises(GenerationError, match="closed"):
        batch.submit(ask("more"), print)
