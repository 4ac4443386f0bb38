"""Conformance suite of the `Generator` protocol, for plugin authors and for our own generators."""

from __future__ import annotations

from collections.abc import Callable

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


def check_generator(make: Callable[[], protocols.Generator], *, max_tokens: int = 12, usage: bool = True) -> None:
    """Assert everything the protocol promises.

    As many completions as prompts, in their order; an empty list gives an empty list; the same prompts give the same
    texts, again and from a second generator with the same key; tokens are counted; limits are kept; a stream joins to
    the text that `generate` returns, ends with its completion, and may be abandoned; progress reaches its total; after
    `close`, using the generator is an error of the tree, and closing again is not.

    Args:
        make: Makes a fresh generator with greedy sampling and no deliberate failures.
        max_tokens: Limit of the completions asked for.
        usage: False for endpoints that do not report tokens.

    Raises:
        AssertionError: naming the promise that was broken.
    """
    generator = make()
    kind = type(generator)
    assert isinstance(generator, protocols.Generator), (
        "a generator needs key, description, follows_schema, generate, stream and close"
    )
    assert isinstance(kind.version, int), "`version` must be an integer"
    options = kind.Options  # type: ignore[attr-defined]
    assert options.model_config.get("extra") == "forbid", "`Options` must refuse unknown keys"
    key = generator.key
    assert key, "the key must not be empty"
    assert key == generator.key, "the key must not change"
    assert generator.generate([]) == [], "no prompts, no completions"
    prompts = [prompt(question, max_tokens=max_tokens) for question in QUESTIONS]
    progress_states: list[tuple[str, int, int]] = []
    first = generator.generate(prompts, progress=lambda *state: progress_states.append(state))
    assert len(first) == len(prompts), f"{len(prompts)} prompts gave {len(first)} completions"
    for question, completion in zip(prompts, first, strict=True):
        _whole(completion, question, usage=usage)
    assert [state[1:] for state in progress_states[-1:]] == [(len(prompts),) * 2], (
        f"progress ended at {progress_states[-1:]}"
    )
    texts = [completion.text for completion in first]
    assert len(set(texts)) > 1, "all prompts gave one text: order cannot be told"
    assert [c.text for c in generator.generate(prompts)] == texts, "the same prompts gave other texts"
    turned = [c.text for c in generator.generate(prompts[::-1])][::-1]
    assert turned == texts, f"completions are not in the order of their prompts: {turned} for {texts}"
    *pieces, last = generator.stream(prompts[0])
    assert isinstance(last, Completion), "a stream must end with the completion"
    assert all(isinstance(piece, str) for piece in pieces), "a stream has one completion, at its end"
    assert "".join(map(str, pieces)) == texts[0] == last.text, "the stream does not join to the completion's text"
    assert last.finish == first[0].finish, f"streamed, it ended by {last.finish!r}, else by {first[0].finish!r}"
    assert isinstance(generator.follows_schema, bool), "`follows_schema` must tell whether it can hold to a JSON schema"
    abandoned = iter(generator.stream(prompts[-1]))
    next(abandoned)
    closing = getattr(abandoned, "close", None)
    if closing is not None:
        closing()
    assert generator.generate(prompts[:1])[0].text == texts[0], "an abandoned stream has left something behind"
    assert generator.key == key, "the key changed by use"
    assert isinstance(generator.description, dict), "the description must be a JSON object"
    generator.close()
    generator.close()
    _closed(generator, prompts[0])
    second = make()
    try:
        assert second.key == key, "two generators made alike have two keys"
        assert second.generate(prompts[:1])[0].text == texts[0], "one key, two answers"
    finally:
        second.close()


def prompt(question: str, *, max_tokens: int = 12) -> Prompt:
    """A plain prompt."""
    return Prompt(messages=(Message(role="user", content=question),), max_tokens=max_tokens)


def _whole(completion: Completion, prompt: Prompt, *, usage: bool) -> None:
    assert completion.failure is None, f"{prompt.messages[-1].content!r} failed: {completion.failure}"
    assert completion.text.strip(), f"{prompt.messages[-1].content!r} gave no text"
    assert completion.seconds >= 0, "negative seconds"
    assert completion.finish in ("stop", "length"), f"unknown finish {completion.finish!r}"
    if usage:
        assert completion.usage.prompt_tokens > 0, "no prompt tokens counted"
        assert 0 < completion.usage.completion_tokens <= prompt.max_tokens, (
            f"{completion.usage.completion_tokens} completion tokens, limit {prompt.max_tokens}"
        )


def _closed(generator: protocols.Generator, prompt: Prompt) -> None:
    try:
        generator.generate([prompt])
    except TwofoldError:
        return
    raise AssertionError("a closed generator still answers")
