"""Batches of prompts completed by workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from other_workers import OtherWorkers
from twofold.answering import completing
from twofold.assembly.spread import Generating, SpreadGenerator, spreads
from twofold.errors import WorkerUnlike
from twofold.plugins import loading
from twofold.plugins.live import SpreadsBatches
from twofold.plugins.protocols import Generator
from twofold.types import Message, Prompt


def prompts(count: int) -> list[Prompt]:
    return [Prompt(messages=(Message(role="user", content=f"What is {n}?"),), max_tokens=16) for n in range(count)]


def spread(*, key: str = "", batch: int = 4) -> SpreadGenerator:
    inner: Generator = loading.make("generators", "echo", {})
    work = Generating(name="echo", options={}, adapter=None, key=key or inner.key)
    return SpreadGenerator(inner=inner, work=work, executor=OtherWorkers, batch=batch)


def texts(completions: Sequence[Any]) -> list[str]:
    return [completion.text for completion in completions]


@pytest.mark.parametrize("count", [0, 1, 4, 21])
def test_workers_complete_what_the_generator_here_would(count: int) -> None:
    generator = spread()
    assert texts(generator.generate(prompts(count))) == texts(generator.inner.generate(prompts(count)))
    assert (generator.key, generator.description) == (generator.inner.key, generator.inner.description)


def test_batches_come_as_they_are_done_and_empty_ones_are_not_sent() -> None:
    generator = spread()
    assert isinstance(generator, SpreadsBatches)
    batches = [prompts(3), [], prompts(2), [], prompts(5), []]
    done = dict(completing.completed(generator, batches))
    assert sorted(done) == list(range(6))
    for place, batch in enumerate(batches):
        assert texts(done[place].completions) == texts(generator.inner.generate(batch))


def test_a_worker_with_other_weights_is_refused() -> None:
    with pytest.raises(WorkerUnlike, match="the command's has the key generator:other"):
        spread(key="generator:other").generate(prompts(2))


def test_what_an_endpoint_completes_stays_with_the_endpoint() -> None:
    endpoint: Generator = loading.make("generators", "openai", {"model": "m", "base_url": "http://127.0.0.1:1/v1"})
    assert not spreads(endpoint)
    assert spreads(spread().inner)
    endpoint.close()
