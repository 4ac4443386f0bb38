"""Conformance suite of the `Generator` protocol, for plugin authors and for our own generators.

Each of `PROMISES` checks one behaviour, so that a broken one hides none of the others::

    @pytest.fixture(scope="module")
    def subject():
        yield from conformance_generator.opened(lambda: MyGenerator(MyGenerator.Options()))

    @pytest.mark.parametrize("promise", conformance_generator.PROMISES)
    def test_promise(promise, subject):
        promise(subject)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from typing import Any

from twofold.errors import TwofoldError
from twofold.plugins import protocols
from twofold.types import Completion, Message, Prompt

QUESTIONS = (
    "What is the capital of France?",
    "What is 2+2?",
    "What is the opposite of hot?",
    "Name a colour.",
    "[1] Bees need water.\n[2] Soil should be tested every three years.\n\nQuestion: How often is soil tested?",
)
PATIENCE = 120.0
"""Seconds to wait for one piece of a running batch."""


def prompt(question: str, *, max_tokens: int = 12) -> Prompt:
    """A plain prompt."""
    return Prompt(messages=(Message(role="user", content=question),), max_tokens=max_tokens)


@dataclass(kw_only=True)
class Subject:
    """The generator that is examined. What it gives is computed once, for all promises that share the subject."""

    make: Callable[[], protocols.Generator]
    """Makes a fresh generator with greedy sampling and no deliberate failures."""
    max_tokens: int = 12
    """Limit of the completions asked for."""
    usage: bool = True
    """False for endpoints that do not report tokens."""
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    """Calls of `progress` while the prompts were completed."""

    @cached_property
    def generator(self) -> protocols.Generator:
        """The first one made; `opened` closes it."""
        return self.make()

    @cached_property
    def prompts(self) -> list[Prompt]:
        """A prompt for each of `QUESTIONS`."""
        return [prompt(question, max_tokens=self.max_tokens) for question in QUESTIONS]

    @cached_property
    def completions(self) -> list[Completion]:
        """Of `prompts`, in one batch."""
        return self.generator.generate(self.prompts, progress=lambda *state: self.progress.append(state))

    @property
    def texts(self) -> list[str]:
        """The completions' texts."""
        return [completion.text for completion in self.completions]

    @cached_property
    def streamed(self) -> list[str | Completion]:
        """The first prompt's stream."""
        return list(self.generator.stream(self.prompts[0]))


def opened(make: Callable[[], protocols.Generator], *, max_tokens: int = 12, usage: bool = True) -> Iterator[Subject]:
    """A subject for all promises, its generator closed afterwards: the body of a fixture. See `Subject`."""
    subject = Subject(make=make, max_tokens=max_tokens, usage=usage)
    try:
        yield subject
    finally:
        if "generator" in vars(subject):
            subject.generator.close()


def has_every_member(subject: Subject) -> None:
    """It has the members of the protocol; `version` is an integer."""
    assert isinstance(subject.generator, protocols.Generator), (
        "a generator needs key, description, follows_schema, generate, stream and close"
    )
    assert isinstance(type(subject.generator).version, int), "`version` must be an integer"


def refuses_unknown_options(subject: Subject) -> None:
    """A misspelled option is an error, not ignored."""
    options = type(subject.generator).Options  # type: ignore[attr-defined]
    assert options.model_config.get("extra") == "forbid", "`Options` must refuse unknown keys"


def says_whether_it_follows_schemas(subject: Subject) -> None:
    """`follows_schema` is true or false."""
    follows: Any = subject.generator.follows_schema
    assert isinstance(follows, bool), "`follows_schema` must tell whether it can hold to a JSON schema"


def describes_itself(subject: Subject) -> None:
    """The parts of the key, readable."""
    description: Any = subject.generator.description
    assert isinstance(description, dict), "the description must be a JSON object"


def the_key_stays(subject: Subject) -> None:
    """It is not empty, and using the generator does not change it."""
    before = subject.generator.key
    assert before, "the key must not be empty"
    assert subject.completions, "there are no completions"
    assert subject.streamed, "the stream is empty"
    assert subject.generator.key == before, "the key changed by use"


def no_prompts_give_no_completions(subject: Subject) -> None:
    """An empty batch is no error."""
    assert subject.generator.generate([]) == [], "no prompts, no completions"


def has_a_completion_for_every_prompt(subject: Subject) -> None:
    """As many completions as prompts."""
    prompts, completions = len(subject.prompts), len(subject.completions)
    assert completions == prompts, f"{prompts} prompts gave {completions} completions"


def completions_are_whole(subject: Subject) -> None:
    """Each has a text, no failure, seconds and a known finish."""
    for question, completion in zip(QUESTIONS, subject.completions, strict=True):
        assert completion.failure is None, f"{question!r} failed: {completion.failure}"
        assert completion.text.strip(), f"{question!r} gave no text"
        assert completion.seconds >= 0, "negative seconds"
        assert completion.finish in ("stop", "length"), f"unknown finish {completion.finish!r}"


def tokens_are_counted_and_limited(subject: Subject) -> None:
    """Tokens read and written are reported; no more are written than asked for."""
    for completion in subject.completions if subject.usage else ():
        written = completion.usage.completion_tokens
        assert completion.usage.prompt_tokens > 0, "no prompt tokens counted"
        assert 0 < written <= subject.max_tokens, f"{written} completion tokens, limit {subject.max_tokens}"


def progress_reaches_its_total(subject: Subject) -> None:
    """Progress ends at the number of prompts."""
    assert subject.completions, "there are no completions"
    assert subject.progress, "progress was never called"
    assert subject.progress[-1][1:] == (len(QUESTIONS), len(QUESTIONS)), f"progress ended at {subject.progress[-1]}"


def prompts_differ_in_their_completions(subject: Subject) -> None:
    """Otherwise their order could not be told."""
    assert len(set(subject.texts)) > 1, "all prompts gave one text: order cannot be told"


def asked_again_it_says_the_same(subject: Subject) -> None:
    """The same prompts give the same texts."""
    again = [completion.text for completion in subject.generator.generate(subject.prompts)]
    assert again == subject.texts, "the same prompts gave other texts"


def completions_follow_the_prompts(subject: Subject) -> None:
    """Completion n is of prompt n, whatever the generator sorts by."""
    turned = [completion.text for completion in subject.generator.generate(subject.prompts[::-1])][::-1]
    assert turned == subject.texts, f"completions are not in the order of their prompts: {turned} for {subject.texts}"


def a_stream_ends_with_its_completion(subject: Subject) -> None:
    """Pieces of text, and at the end the one completion."""
    *pieces, last = subject.streamed
    assert isinstance(last, Completion), "a stream must end with the completion"
    assert all(isinstance(piece, str) for piece in pieces), "a stream has one completion, at its end"


def a_stream_joins_to_the_text(subject: Subject) -> None:
    """The pieces are the text that `generate` returns, and end as it does."""
    pieces = [piece for piece in subject.streamed if isinstance(piece, str)]
    last = [piece for piece in subject.streamed if isinstance(piece, Completion)][-1]
    first = subject.completions[0]
    assert "".join(pieces) == first.text == last.text, "the stream does not join to the completion's text"
    assert last.finish == first.finish, f"streamed, it ended by {last.finish!r}, else by {first.finish!r}"


def a_stream_may_be_abandoned(subject: Subject) -> None:
    """Whoever stops reading leaves nothing behind."""
    stream = iter(subject.generator.stream(subject.prompts[-1]))
    next(stream)
    # An iterator that is no generator has nothing to close.
    if isinstance(stream, Generator):
        stream.close()
    after = subject.generator.generate(subject.prompts[:1])[0].text
    assert after == subject.texts[0], "an abandoned stream has left something behind"


def a_running_batch_says_the_same(subject: Subject) -> None:
    """Where there is one (`Batches`): each request gets its own pieces and completion, whatever is cancelled beside."""
    if not isinstance(subject.generator, protocols.Batches):
        return
    batch = subject.generator.live()
    try:
        coming: list[SimpleQueue[str | Completion | Exception]] = [SimpleQueue() for _ in subject.prompts]
        batch.submit(subject.prompts[0], lambda _: None)()  # cancelled at once
        for question, queue in zip(subject.prompts, coming, strict=True):
            batch.submit(question, queue.put)
        for queue, text in zip(coming, subject.texts, strict=True):
            pieces = ""
            while isinstance(item := queue.get(timeout=PATIENCE), str):
                pieces += item
            assert isinstance(item, Completion), f"a request of the running batch failed: {item!r}"
            assert pieces == item.text == text, f"the running batch gave {item.text!r} for {text!r}"
    finally:
        batch.close()
    try:
        batch.submit(subject.prompts[0], lambda _: None)
    except TwofoldError:
        return
    raise AssertionError("a closed batch takes requests")


def one_key_gives_one_answer(subject: Subject) -> None:
    """A second generator made alike has the same key, and says the same."""
    second = subject.make()
    try:
        assert second.key == subject.generator.key, "two generators made alike have two keys"
        assert second.generate(subject.prompts[:1])[0].text == subject.texts[0], "one key, two answers"
    finally:
        second.close()


def closed_it_answers_nothing(subject: Subject) -> None:
    """After `close`, using it is an error of the tree; closing it again is not."""
    generator = subject.make()
    generator.generate(subject.prompts[:1])
    generator.close()
    generator.close()
    try:
        generator.generate(subject.prompts[:1])
    except TwofoldError:
        return
    raise AssertionError("a closed generator still answers")


PROMISES: Sequence[Callable[[Subject], None]] = (
    has_every_member,
    refuses_unknown_options,
    says_whether_it_follows_schemas,
    describes_itself,
    the_key_stays,
    no_prompts_give_no_completions,
    has_a_completion_for_every_prompt,
    completions_are_whole,
    tokens_are_counted_and_limited,
    progress_reaches_its_total,
    prompts_differ_in_their_completions,
    asked_again_it_says_the_same,
    completions_follow_the_prompts,
    a_stream_ends_with_its_completion,
    a_stream_joins_to_the_text,
    a_stream_may_be_abandoned,
    a_running_batch_says_the_same,
    one_key_gives_one_answer,
    closed_it_answers_nothing,
)
"""Everything the protocol promises, one behaviour each."""
