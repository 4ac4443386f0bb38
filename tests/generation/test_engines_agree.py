"""Engines beside the local generator: llama.cpp's server with the files that Twofold writes, and what must be equal.

Greedy texts of a random model turn at the slightest difference of prompt, template or weights, so most must be the same
and none of these settings may be another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installed import needs
from llama_engine import Engine, started
from twofold.generation.export import gguf_adapter
from twofold.generation.export.gguf import write_gguf
from twofold.plugins import loading
from twofold.testing.conformance_generator import prompt
from twofold.types import Adapter, Completion, Message, Prompt

pytest.importorskip("xllamacpp")
needs("peft")

QUESTIONS = [f"Tell me about number {n}, please: été, 中文, {n * 7}." for n in range(12)]
PROMPTS = [
    Prompt(messages=(Message(role="system", content="Be brief."), Message(role="user", content=text)), max_tokens=12)
    for text in QUESTIONS
]
SAME = 10
"""Of 12 texts, at least: f16 weights and another order of sums may turn the least decided ones."""


@pytest.fixture(scope="module")
def adapter(tiny: Path, random_adapter: Callable[..., Adapter], tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    # small, as trained ones are: f16 rounds a large one, with random weights behind it, into other texts
    return random_adapter(tiny, tmp_path_factory.mktemp("engines"), seed=3, scale=0.03)


@pytest.fixture(scope="module")
def engine(tiny: Path, adapter: Adapter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The base, with the adapter beside it that requests switch on."""
    folder = tmp_path_factory.mktemp("files")
    write_gguf(tiny, folder / "base.gguf")
    gguf_adapter.write_adapter(tiny, Path(adapter.path), folder / "adapter.gguf")
    with started(folder / "base.gguf", adapter=folder / "adapter.gguf") as running:
        yield running


def here(model: Path, adapter: Adapter | None = None, **options: Any) -> list[str]:
    chosen = {"model": f"path:{model}", "runtime": "transformers", "dtype": "f32", **options}
    generator = loading.make("generators", "local", chosen, adapter=adapter)
    try:
        return texts(generator.generate(PROMPTS))
    finally:
        generator.close()


def there(engine: Engine, *, scale: float = 0.0, prompts: list[Prompt] = PROMPTS, **options: Any) -> list[str]:
    extra = {"lora": [{"id": 0, "scale": scale}], **options.pop("extra", {})}
    chosen = {"model": "tiny", "base_url": f"{engine.url}/v1", "retries": 0, "extra": extra, **options}
    generator = loading.make("generators", "openai", chosen)
    try:
        return texts(generator.generate(prompts))
    finally:
        generator.close()


def texts(completions: list[Completion]) -> list[str]:
    assert all(completion.failure is None for completion in completions), completions
    return [completion.text for completion in completions]


def same(first: list[str], second: list[str]) -> int:
    return sum(a == b for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def base(tiny: Path) -> list[str]:
    return here(tiny)


@pytest.mark.usefixtures("own_cache")
def test_base_and_adapter_are_answered_alike(engine: Engine, tiny: Path, adapter: Adapter, base: list[str]) -> None:
    assert same(there(engine), base) >= SAME
    tuned = here(tiny, adapter)
    assert same(tuned, base) < SAME / 2, "the adapter does something"
    assert same(there(engine, scale=1.0), tuned) >= SAME


def test_what_must_be_equal_for_equal_answers(engine: Engine, base: list[str]) -> None:
    """Each of these settings, changed alone, is another system, which the agreement above would see."""
    assert same(there(engine, temperature=2.0, extra={"seed": 1}), base) < SAME
    # the model's template puts a system message of its own where there is none
    no_system = [replace(one, messages=one.messages[1:]) for one in PROMPTS]
    assert same(there(engine, prompts=no_system), base) < SAME
    assert same(there(engine, scale=0.5), base) < SAME


def test_stop_strings_and_limit_are_those_of_the_request(engine: Engine, base: list[str]) -> None:
    place, text = next((n, text) for n, text in enumerate(base) if len(text) > 12)
    mark = text[6:9]
    cut = there(engine, prompts=[replace(PROMPTS[place], stop=(mark,))])
    assert cut == [text[: text.index(mark)]]
    (short,) = there(engine, prompts=[replace(PROMPTS[place], max_tokens=3)])
    assert text.startswith(short)
    assert short != text


def test_the_prompt_has_the_same_tokens(engine: Engine, tiny: Path) -> None:
    """The beginning of the text is not doubled, and no blank is added."""
    local = loading.make("generators", "local", {"model": f"path:{tiny}", "runtime": "transformers", "dtype": "f32"})
    chosen = {"model": "tiny", "base_url": f"{engine.url}/v1", "retries": 0}
    remote = loading.make("generators", "openai", chosen)
    some = [prompt("What is rust?"), *PROMPTS[:3]]
    counts = [[one.usage.prompt_tokens for one in generator.generate(some)] for generator in (local, remote)]
    assert counts[0] == counts[1]
    local.close()
    remote.close()


def test_llama_cpp_names_itself_in_the_key(engine: Engine, tmp_path: Path) -> None:
    def made(directory: Path | None) -> Any:
        generator = loading.make("generators", "openai", {"model": "tiny", "base_url": f"{engine.url}/v1"})
        if directory is not None:
            generator.remember(directory)
        return generator

    named = made(tmp_path)
    assert named.description["engine"].startswith("llama.cpp ")
    assert named.key == made(tmp_path).key != made(None).key
    assert "llamacpp" not in json.dumps(named.description)
