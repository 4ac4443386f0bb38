"""The generator ``openai`` before a real engine: llama.cpp's server, with a small model that Twofold wrote as GGUF."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llama_engine import Engine, started
from twofold.errors import GenerationError
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.generation.export.gguf import write_gguf
from twofold.plugins import loading
from twofold.testing.conformance_generator import prompt
from twofold.types import Completion

pytest.importorskip("xllamacpp")
SLOW = {"logprobs": True, "top_logprobs": 5000}
"""Fields that make this model take ten seconds and more for 400 tokens, instead of a tenth of one."""


@pytest.fixture(scope="module")
def weights(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    write_gguf(tiny, target)
    return target


@pytest.fixture(scope="module")
def engine(weights: Path) -> Iterator[Engine]:
    with started(weights) as running:
        yield running


def generator(engine: Engine, **options: Any) -> OpenAIGenerator:
    chosen = {"model": "tiny", "base_url": f"{engine.url}/v1", "retries": 0, **options}
    made: OpenAIGenerator = loading.make("generators", "openai", chosen)
    return made


def streamed(generator: OpenAIGenerator, *args: Any, **fields: Any) -> tuple[str, Completion]:
    *pieces, last = generator.stream(prompt(*args, **fields))
    assert isinstance(last, Completion)
    return "".join(map(str, pieces)), last


def test_whole_and_streamed_answers_are_the_same(engine: Engine) -> None:
    llama = generator(engine)
    (whole,) = llama.generate([prompt("What is rust?")])
    text, last = streamed(llama, "What is rust?")
    assert whole.failure is None
    assert text == last.text == whole.text
    assert text
    assert last.usage == whole.usage
    assert whole.usage.completion_tokens <= 12


def test_a_stop_string_ends_the_text(engine: Engine) -> None:
    llama = generator(engine)
    (whole,) = llama.generate([prompt("What is rust?")])
    mark = whole.text[len(whole.text) // 2 :][:3]
    (cut,) = llama.generate([replace(prompt("What is rust?"), stop=(mark,))])
    assert cut.text == whole.text[: whole.text.index(mark)]
    assert cut.finish == "stop"


def test_a_seed_decides_what_is_sampled(engine: Engine) -> None:
    texts = []
    for seed in (1, 1, 2):
        llama = generator(engine, temperature=1.5, extra={"seed": seed})
        texts.append(llama.generate([prompt("What is rust?")])[0].text)
    assert texts[0] == texts[1] != texts[2]


def test_a_schema_is_kept(engine: Engine) -> None:
    held = replace(prompt("Is rust bad?"), schema=json.dumps({"type": "boolean"}))
    (answer,) = generator(engine).generate([held])
    assert isinstance(json.loads(answer.text), bool), answer


def test_who_leaves_a_stream_frees_the_engine(engine: Engine) -> None:
    stream = generator(engine, extra=SLOW).stream(prompt("What is rust?", max_tokens=400))
    next(stream)
    assert engine.busy == 1
    stream.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 5
    while engine.busy:
        assert time.monotonic() < end, "the engine still computes"
        time.sleep(0.02)


def test_an_engine_that_is_killed_fails_what_ran_and_answers_again_when_it_is_back(weights: Path) -> None:
    with started(weights) as first:
        llama = generator(first)
        (before,) = llama.generate([prompt("What is rust?")])
        stream = generator(first, extra=SLOW).stream(prompt("What is rust?", max_tokens=400))
        next(stream)
        first.process.kill()
        with pytest.raises(GenerationError):
            list(stream)
        (down,) = llama.generate([prompt("What is rust?")])
        assert down.failure is not None
    with started(weights, port=int(first.url.rsplit(":", 1)[1])):
        assert llama.generate([prompt("What is rust?")])[0].text == before.text
