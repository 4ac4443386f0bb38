"""Nothing reaches who may not read it: every retriever, stage, arm and index path, by thousands of random requests."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from twofold.answering import access
from twofold.answering.system import System, gold_chunks, question
from twofold.errors import AccessDenied, ConfigError, MissingExtra, UnknownName
from twofold.hashing import plain
from twofold.plugins import loading
from twofold.plugins.presets import PRESETS
from twofold.plugins.protocols import Index, Parts, Retriever
from twofold.prompts import Template
from twofold.settings.sections import RetrievalSection
from twofold.testing import conformance_access as suite
from twofold.testing.memory_index import MemoryIndex
from twofold.types import (
    Arm,
    Chunk,
    Completion,
    Document,
    Example,
    Filter,
    Hit,
    Message,
    Prompt,
    Query,
    Retrieval,
    Span,
)


def whole(chunks: Sequence[Chunk]) -> dict[str, Document]:
    """The documents that were cut into these chunks, a line each."""
    texts: dict[str, list[str]] = {}
    for chunk in chunks:
        texts.setdefault(chunk.span.document, []).append(chunk.text)
    return {name: Document(id=name, text="\n".join(lines)) for name, lines in texts.items()}


DOCUMENTS = whole(suite.corpus())
CHUNKS = [
    dataclasses.replace(c, metadata={**c.metadata, "parent_span": f"0-{len(DOCUMENTS[c.span.document].text)}"})
    for c in suite.corpus()
]
"""Every one was cut from a parent, which is its whole document."""
LIVE = {"ann": "zq90001x", "bob": "zq90002x", "o'neil": "zq90003x"}
"""What a live tool tells each user of their own."""
PLANS = "zq90004x"
"""What a live tool tells the board."""
SECRETS = [
    *CHUNKS,
    *(
        Chunk(id=word, span=Span(document=word, start=0, end=8), text=word, readers=(reader,))
        for word, reader in [*((word, f"user:{user}") for user, word in LIVE.items()), (PLANS, "group:board")]
    ),
]
PATHS = {
    "memory": ("memory", {}),
    "lancedb in memory": ("lancedb", {}),
    "lancedb indexed": ("lancedb", {"flat_limit": 0}),
}
QUICK = 200
FEW = 60
"""Requests of what is made of retrievers that the same index answers `QUICK` times, where its search is slow."""


LEGS = ("dense", "lexical", "hybrid")
"""Retrievers that search the index themselves."""


class Recorder:
    """The echo generator, with all the prompts it was given."""

    def __init__(self) -> None:
        self.written: list[Prompt] = []
        self._inner = loading.make("generators", "echo", {}, adapter=None)

    def generate(self, prompts: Sequence[Prompt], **rest: Any) -> list[Completion]:
        self.written += prompts
        made: list[Completion] = self._inner.generate(prompts, **rest)
        return made

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        self.written.append(prompt)
        return self._inner.stream(prompt)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._inner.close()


def live_tools(place: Path) -> dict[str, Any]:
    """Two live sources that are asked with every question, and keep what they told: one's notes, the board's plans."""
    with sqlite3.connect(place / "notes.db") as notes:
        notes.execute("CREATE TABLE notes (owner TEXT, note TEXT)")
        notes.executemany("INSERT INTO notes VALUES (?, ?)", [*LIVE.items(), ("board", PLANS)])
    notes.close()
    made = {}
    for name, owner, parameters, readers in (
        ("own", ":who", {"who": {"asker": True}}, ("everyone",)),
        ("plans", "'board'", {}, ("group:board",)),
    ):
        options = {"url": "sqlite:///notes.db", "when": ".", "parameters": parameters, "fresh": 3600}
        options["statement"] = f"SELECT note FROM notes WHERE owner = {owner}"
        made[name] = loading.make(
            "tools", "sql", options, name=name, description=name, readers=readers, root=place, scratch=place / name
        )
    return made


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny cross-encoder with random weights."""
    transformers = pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("scorer")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "maize", "soil", "budget", "trial"]
    (place / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    shape = transformers.BertConfig(vocab_size=len(words), num_labels=1, **sizes)
    transformers.BertForSequenceClassification(shape).save_pretrained(place)
    transformers.BertTokenizerFast(str(place / "vocab.txt")).save_pretrained(place)
    return f"path:{place}"


TIMELY = [pytest.param(name, marks=pytest.mark.slow) if name == "lancedb in memory" else name for name in PATHS]


@pytest.fixture(scope="module", params=TIMELY)
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    name, options = PATHS[request.param]
    embedder = loading.make("embedders", "hashing", {})
    try:
        index: Index = loading.make(
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
    echo = loading.make("generators", "echo", {}, adapter=None)
    return Parts(
        embedder=embedder,
        index=index,
        generator=lambda: echo,
        collections={"a": "fields", "b": "offices"},
        texts=lambda names: [DOCUMENTS[name] for name in names if name in DOCUMENTS],
        tools=live_tools(tmp_path_factory.mktemp("tools")),
    )


@pytest.fixture
def pairs(parts: Parts) -> int:
    """Requests of a retriever that is made of others: `QUICK` in memory, `FEW` where those have made `QUICK` alone."""
    return QUICK if isinstance(parts.index, MemoryIndex) else FEW


def made(kind: Any, name: str, parts: Parts, options: Any = None) -> Any:
    try:
        return loading.make(kind, name, options or {}, parts=parts)
    except (MissingExtra, ConfigError) as error:
        if isinstance(error, UnknownName) or "needs a" in error.message:
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize("name", loading.names("retrievers"))
def test_retrievers(name: str, parts: Parts, pairs: int) -> None:
    pairs = QUICK if name in LEGS else pairs
    assert suite.check_retriever_access(made("retrievers", name, parts), CHUNKS, pairs=pairs) > pairs


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset: str, parts: Parts, pairs: int) -> None:
    options = RetrievalSection.model_validate({"preset": preset}).pipeline
    assert suite.check_retriever_access(made("retrievers", "pipeline", parts, options), CHUNKS, pairs=pairs) > pairs


def test_every_stage_at_once(parts: Parts, scorer: str) -> None:
    """All stages in one chain, each with what the one before it left."""
    options = {
        "rewriters": [{"name": n} for n in loading.names("rewriters")],
        "rerankers": [
            {"name": n, "options": {"model": scorer} if n == "cross_encoder" else {}}
            for n in loading.names("rerankers")
        ],
        "depth": 12,
    }
    assert suite.check_retriever_access(made("retrievers", "pipeline", parts, options), CHUNKS, pairs=60) > 60


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("rewriters", "rerankers")
        for name in loading.names(kind)  # type: ignore[arg-type]
        if name != "cross_encoder"  # below, with a model
    ],
)
def test_stages(kind: str, name: str, parts: Parts) -> None:
    suite.check_stage_access(made(kind, name, parts), CHUNKS, pairs=60)


@pytest.mark.parametrize("to", ["parent", "around", "document"])
def test_what_is_shown_around_a_hit(to: str, parts: Parts) -> None:
    stage = made("rerankers", "expand", parts, {"to": to})
    suite.check_stage_access(stage, CHUNKS, pairs=60)
    one = [Retrieval(hits=(Hit(chunk=CHUNKS[1], score=1.0, rank=1),))]
    assert stage.rerank([Query(text="q")], one, 1)[0].hits[0].chunk.text == DOCUMENTS["d0"].text, "it does expand"


def test_pairs_read_by_a_model(parts: Parts, scorer: str) -> None:
    suite.check_stage_access(made("rerankers", "cross_encoder", parts, {"model": scorer}), CHUNKS, pairs=60)


def agentic(parts: Parts) -> Retriever:
    """The loop around a search with parents, beside the live tools."""
    search = {"name": "pipeline", "options": {"rerankers": [{"name": "expand", "options": {"to": "parent"}}]}}
    retriever: Retriever = made("retrievers", "agentic", parts, {"search": search})
    return retriever


def test_live_tools_tell_each_what_is_theirs_also_from_what_they_kept(parts: Parts) -> None:
    loop, asked = agentic(parts), []
    for _ in range(2):  # the second time from the cache
        for user, groups in (("ann", ()), ("bob", ("board",)), ("o'neil", ()), ("cy", ()), ("nobody", ("staff",))):
            which = Filter(principal=access.principal(user, groups))
            found = loop.retrieve([Query(text="soil budget", filter=which)], 5)[0]
            told = {word for hit in found.hits for word in (*LIVE.values(), PLANS) if word in hit.chunk.text}
            assert told == {word for word in (LIVE.get(user), PLANS if "board" in groups else None) if word}
            suite.check_silent(plain(found), SECRETS, which)
            asked += [step["cached"] for step in found.trace if step["step"] == "agent tool"]
    assert True in asked


def test_the_loop_with_live_tools(parts: Parts, pairs: int) -> None:
    assert suite.check_retriever_access(agentic(parts), SECRETS, pairs=pairs) > pairs
    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS["rag"], retriever=agentic(parts))
    assert suite.check_system_access(ready, recorder.written, SECRETS, pairs=60) > 60


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
        retriever=retriever or loading.make("retrievers", "hybrid", {}, parts=parts),
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
@pytest.mark.parametrize("name", loading.names("retrievers"))
def test_retrievers_at_length(name: str, parts: Parts) -> None:
    assert suite.check_retriever_access(made("retrievers", name, parts), SECRETS, pairs=3000, seed=1) > 3000


@pytest.mark.slow
def test_the_loop_with_live_tools_at_length(parts: Parts) -> None:
    assert suite.check_retriever_access(agentic(parts), SECRETS, pairs=1500, seed=2) > 1500
    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS["rag"], retriever=agentic(parts))
    assert suite.check_system_access(ready, recorder.written, SECRETS, pairs=1500, seed=2) > 1500


@pytest.mark.slow
def test_prompts_at_length(parts: Parts) -> None:
    recorder = Recorder()
    ready = system(parts, recorder, arm=ARMS["prompt and retrieval"], shots=shots())
    assert suite.check_system_access(ready, recorder.written, CHUNKS, pairs=3000, seed=1) > 1000
