"""Nothing reaches who may not read it: every retriever, stage, arm and index path, by thousands of random requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from twofold import plugins
from twofold.answering import System, gold_chunks, question
from twofold.config import PRESETS, RetrievalSection
from twofold.errors import AccessDenied, ConfigError, MissingExtra, UnknownName
from twofold.plugins import Index, Parts, Retriever
from twofold.prompts import Template
from twofold.testing import conformance_access as suite
from twofold.types import Arm, Chunk, Completion, Example, Filter, Hit, Message, Prompt, Query, Retrieval

CHUNKS = suite.corpus()
PATHS = {
    "memory": ("memory", {}),
    "lancedb in memory": ("lancedb", {}),
    "lancedb indexed": ("lancedb", {"flat_limit": 0}),
}
QUICK = 200


class Recorder:
    """The echo generator, with all the prompts it was given."""

    def __init__(self) -> None:
        self.written: list[Prompt] = []
        self._inner = plugins.make("generators", "echo", {}, adapter=None)

    def generate(self, prompts: Sequence[Prompt], **rest: Any) -> list[Completion]:
        self.written += prompts
        made: list[Completion] = self._inner.generate(prompts, **rest)
        return made

    def stream(self, prompt: Prompt) -> Iterator[str]:
        self.written.append(prompt)
        return self._inner.stream(prompt)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module", params=PATHS)
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    name, options = PATHS[request.param]
    embedder = plugins.make("embedders", "hashing", {})
    try:
        index: Index = plugins.make(
            "indexes",
            name,
            options,
            directory=tmp_path_factory.mktemp("index"),
            fingerprint=embedder.fingerprint,
            dimension=embedder.dimension,
        )
    except MissingExtra as error:
        pytest.skip(str(error))
    index.upsert(CHUNKS, embedder.embed([c.text for c in CHUNKS]))
    echo = plugins.make("generators", "echo", {}, adapter=None)
    return Parts(embedder=embedder, index=index, generator=lambda: echo, collections={"a": "fields", "b": "offices"})


def made(kind: Any, name: str, parts: Parts, options: Any = None) -> Any:
    try:
        return plugins.make(kind, name, options or {}, parts=parts)
    except (MissingExtra, ConfigError) as error:
        if isinstance(error, UnknownName) or "needs a" in error.message:
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize("name", plugins.names("retrievers"))
def test_retrievers(name: str, parts: Parts) -> None:
    assert suite.check_retriever_access(made("retrievers", name, parts), CHUNKS, pairs=QUICK) > QUICK


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset: str, parts: Parts) -> None:
    options = RetrievalSection.model_validate({"preset": preset}).pipeline
    assert suite.check_retriever_access(made("retrievers", "pipeline", parts, options), CHUNKS, pairs=QUICK) > QUICK


def test_every_stage_at_once(parts: Parts) -> None:
    """All stages that need no weights of their own in one chain, each with what the one before it left."""
    options = {
        "rewriters": [{"name": n} for n in plugins.names("rewriters")],
        "rerankers": [{"name": n} for n in plugins.names("rerankers") if n != "cross_encoder"],
        "depth": 12,
    }
    assert suite.check_retriever_access(made("retrievers", "pipeline", parts, options), CHUNKS, pairs=60) > 60


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("rewriters", "rerankers") for name in plugins.names(kind)],  # type: ignore[arg-type]
)
def test_stages(kind: str, name: str, parts: Parts) -> None:
    suite.check_stage_access(made(kind, name, parts), CHUNKS, pairs=60)


def system(parts: Parts, written: Recorder, *, arm: Arm, retriever: Retriever | None = None, **more: Any) -> System:
    def gold(examples: Sequence[Example]) -> list[list[Chunk]]:
        return [gold_chunks(e, parts.index.chunks_of(e.sources)) for e in examples]

    return System(
        arm=arm,
        key="system:test",
        description={},
        generator=written,  # type: ignore[arg-type]
        template=Template(),
        max_tokens=40,
        retriever=retriever or plugins.make("retrievers", "hybrid", {}, parts=parts),
        guarded=True,
        sources=gold,
        gold=gold if arm.oracle else None,
        **more,
    )


def shots() -> tuple[Example, ...]:
    """Train examples whose answers are secrets of their documents; one does not tell its source."""
    found = []
    for number, chunk in enumerate(CHUNKS[::30]):
        told = (chunk.span.document,) if number else ()
        messages = (Message(role="user", content=f"what does {chunk.text} say?"),)
        found.append(Example(id=chunk.id, messages=messages, references=(chunk.text,), sources=told))
    return tuple(found)


ARMS = {
    "rag": Arm(name="rag", retrieval=True),
    "prompt and retrieval": Arm(name="both", retrieval=True, shots=4),
    "oracle": Arm(name="oracle", retrieval=True, oracle=True),
}


@pytest.mark.parametrize("name", ARMS)
def test_prompts_answers_and_traces(name: str, parts: Parts) -> None:
    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS[name], shots=shots() if ARMS[name].shots else ())
    assert suite.check_system_access(ready, recorder.written, CHUNKS, pairs=60) > 60


def test_gold_passages_obey_the_filter(parts: Parts) -> None:
    """The oracle arm is shown the passages of its example's sources, but for those its principal may not read."""
    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS["oracle"])
    hidden = next(c for c in CHUNKS if c.readers == ("user:cy", "hr") or c.readers is None)
    asked = dataclasses.replace(question("what?"), sources=(hidden.span.document,))
    which = Filter(principal=("everyone", "ann", "user:ann"))
    answer = ready.answer([asked], filter=which)[0]
    suite.check_silent([h.chunk.text for h in answer.hits], CHUNKS, which)


def test_without_a_principal_nothing_is_answered(parts: Parts) -> None:
    ready = system(parts, Recorder(), arm=ARMS["rag"])
    for which in (None, Filter(), Filter(collections=("a",))):
        with pytest.raises(AccessDenied, match="principal"):
            ready.answer([question("soil")], filter=which)
        with pytest.raises(AccessDenied, match="principal"):
            list(ready.stream(question("soil"), filter=which))
        with pytest.raises(AccessDenied, match="principal"):
            ready.retrieve([question("soil")], which)


def test_tuned_weights_answer_only_who_may_read_all_they_saw(parts: Parts) -> None:
    tuned = Arm(name="ft+rag", retrieval=True, tuning="open-book")
    ready = system(parts, Recorder(), arm=tuned, filter=Filter(principal=("everyone", "staff")))
    assert ready.answer([question("soil")], filter=Filter(principal=("ann", "everyone", "staff")))[0].failure is None
    with pytest.raises(AccessDenied, match="tuned weights"):
        ready.answer([question("soil")], filter=Filter(principal=("ann", "everyone")))


def test_a_retriever_that_leaks_is_stopped_and_named(parts: Parts) -> None:
    class Careless:
        version = 1

        def pin(self, version: int | None) -> None: ...

        def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
            hits = tuple(Hit(chunk=c, score=1.0, rank=n) for n, c in enumerate(CHUNKS[:k], 1))
            return [Retrieval(hits=hits) for _ in queries]

    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS["rag"], retriever=Careless())
    with pytest.raises(AccessDenied, match="Careless"):
        ready.answer([question("soil")], filter=Filter(principal=("nobody",)))
    assert not recorder.written
    with pytest.raises(AssertionError):
        suite.check_retriever_access(Careless(), CHUNKS, pairs=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", plugins.names("retrievers"))
def test_retrievers_at_length(name: str, parts: Parts) -> None:
    assert suite.check_retriever_access(made("retrievers", name, parts), CHUNKS, pairs=3000, seed=1) > 3000


@pytest.mark.slow
def test_prompts_at_length(parts: Parts) -> None:
    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS["prompt and retrieval"], shots=shots())
    assert suite.check_system_access(ready, recorder.written, CHUNKS, pairs=3000, seed=1) > 1000
