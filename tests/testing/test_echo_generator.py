"""The shipped fake: what it promises, and what it does on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from twofold.plugins import loading
from twofold.prompts import Template, read, render
from twofold.testing.conformance_generator import PROMISES, Subject, opened, prompt
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Adapter, Chunk, Hit, Message, Span

TEXTS = [
    "Bees need water. They fly far.",
    "Test soil every three years. Lime raises its pH.",
    "Potatoes like the dark.",
]
HITS = [
    Hit(chunk=Chunk(id=str(n), span=Span(document=f"d{n}", start=0, end=len(text)), text=text), score=1.0, rank=n)
    for n, text in enumerate(TEXTS, 1)
]
ADAPTER = Adapter(key="adapter:x", weights="x", path="", template="")


def echo(adapter: Adapter | None = None, **options: object) -> EchoGenerator:
    made: EchoGenerator = loading.make("generators", "echo", options, adapter=adapter)
    return made


@pytest.fixture(scope="module", params=[{}, {"mode": "echo"}, {"stall_seconds": 0.01, "mode": "quote"}], ids=str)
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    """Of the generator for the conformance suite."""
    return dict(request.param)


@pytest.fixture(scope="module", params=[None, ADAPTER], ids=["base", "tuned"])
def subject(request: pytest.FixtureRequest, options: dict[str, object]) -> Iterator[Subject]:
    """A generator for the conformance suite."""
    yield from opened(lambda: echo(request.param, **options))


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject) -> None:
    promise(subject)


def answer(generator: EchoGenerator, question: str = "How often should soil be tested?") -> object:
    rendered = render([Message(role="user", content=question)], template=Template(), hits=HITS)
    return read(generator.generate([rendered])[0], template=Template(), hits=HITS)


def test_it_quotes_the_best_sentence_and_cites_it() -> None:
    made = answer(echo(), "How many years between soil tests?")
    assert made.text == "Test soil every three years."
    assert [citation.number for citation in made.citations] == [2]
    assert made.citations[0].quote is not None


def test_it_abstains_cites_strangers_and_shortens() -> None:
    assert answer(echo(), "Who won?").abstained
    assert answer(echo(mode="abstain")).abstained
    assert echo().generate([prompt("Who won?")])[0].text == Template().abstention
    stranger = answer(echo(cite_unknown=True))
    assert (stranger.invalid_citations, stranger.citations) == (1, ())
    long = " ".join(f"word{n}" for n in range(20))
    tuned = echo(ADAPTER, mode="echo").generate([prompt(long, max_tokens=30)])[0].text
    assert tuned == " ".join(long.split()[:8])
    assert echo(ADAPTER).key != echo().key


def test_failures_are_the_same_every_time() -> None:
    asked = [prompt(f"question {n}") for n in range(300)]
    failed = [completion.failure is not None for completion in echo(fail_every=5, mode="echo").generate(asked)]
    assert 30 <= sum(failed) <= 90
    assert failed == [c.failure is not None for c in echo(fail_every=5, mode="echo").generate(asked[::-1])][::-1]
    assert failed != [False] * 300
    assert list(echo(fail_every=1).stream(asked[0])) == echo(fail_every=1).generate(asked[:1])
