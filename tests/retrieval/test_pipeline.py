"""The pipeline: stages in order, one filter from end to end, everything in the trace, everything in the key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import ConfigError, UnknownName
from twofold.plugins import loading
from twofold.plugins.presets import PRESETS
from twofold.plugins.protocols import Parts
from twofold.retrieval.retrievers.pipeline import Pipeline
from twofold.settings.loading import laid_over, load, origins
from twofold.store.catalogue import Catalogue
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, chunk, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.memory_index import MemoryIndex
from twofold.types import Chunk, Filter, Json, Message, Query, Retrieval

EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
TEXTS = [
    "drip irrigation saves water in dry fields",
    "drip irrigation saves water in dry fields today",
    "sprinklers lose water in the wind",
    "wheat prices rise in spring",
    "barley needs less water than wheat",
    "the office opens at nine",
]


def secret(number: int, text: str) -> Chunk:
    from dataclasses import replace

    collection = "fields" if number % 2 else "offices"
    return replace(
        chunk(f"d{number}", text), readers=(f"user:{'ann' if number < 4 else 'bob'}",), collection=collection
    )


CHUNKS = [secret(number, text) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    index = MemoryIndex(
        MemoryIndex.Options(), directory=tmp_path_factory.mktemp("i"), fingerprint=FINGERPRINT, dimension=DIMENSION
    )
    put(index, CHUNKS)
    echo = loading.make("generators", "echo", {"mode": "fixed", "fixed": "How much water do sprinklers lose?"})
    return Parts(
        embedder=EMBEDDER, index=index, generator=lambda: echo, collections={"fields": "crops", "offices": "opening"}
    )


def pipeline(parts: Parts, **options: object) -> Pipeline:
    made: Pipeline = loading.make("retrievers", "pipeline", dict(options), parts=parts)
    return made


def texts(found: Retrieval) -> list[str]:
    return [hit.chunk.text for hit in found.hits]


def test_without_stages_it_is_the_search(parts: Parts) -> None:
    queries = [Query(text="drip water"), Query(text="wheat")]
    search = loading.make("retrievers", "hybrid", {}, parts=parts)
    assert pipeline(parts).retrieve(queries, 3) == search.retrieve(queries, 3)
    assert pipeline(parts).retrieve([], 3) == []


def test_stages_run_in_order_and_leave_steps(parts: Parts) -> None:
    made = pipeline(
        parts,
        rewriters=[{"name": "conversation"}, {"name": "multi_query"}],
        rerankers=[{"name": "near_duplicates"}, {"name": "mmr"}, {"name": "edges"}],
        budget=12,
    )
    talk = (Message(role="user", content="tell me about drip irrigation"), Message(role="assistant", content="Yes."))
    found = made.retrieve([Query(text="does it save water?", question="does it save water?", history=talk)], 3)[0]
    steps = [step["step"] for step in found.trace]
    assert steps == [
        "rewrite conversation", "rewrite multi_query", "search hybrid", "rerank near_duplicates", "rerank mmr",
        "rerank edges", "budget",
    ]  # fmt: skip
    assert all(step["seconds"] >= 0 for step in found.trace[:-1])
    assert "drip" in found.trace[0]["queries"][0]
    assert len(found.trace[2]["queries"]) == 2
    assert found.trace[3]["dropped"] == 1
    assert found.usage.completion_tokens > 0
    assert [hit.rank for hit in found.hits] == list(range(1, len(found.hits) + 1))
    assert sum(len(EMBEDDER.offsets(text)) for text in texts(found)) <= 12 or len(found.hits) == 1


def test_the_first_passage_stays_whatever_the_budget(parts: Parts) -> None:
    found = pipeline(parts, budget=1).retrieve([Query(text="drip water")], 3)[0]
    assert len(found.hits) == 1
    assert found.trace[-1] == {"step": "budget", "tokens": 7, "hits": 1, "left_out": 2}


STAGES: list[tuple[list[Json], list[Json]]] = [
    ([{"name": "conversation"}], [{"name": "near_duplicates"}]),
    ([{"name": "hyde"}], [{"name": "mmr"}, {"name": "expand"}]),
    ([{"name": "multi_query"}, {"name": "step_back"}], [{"name": "late_interaction"}, {"name": "edges"}]),
    ([{"name": "route", "options": {"rules": {"wheat|drip": ["fields"]}}}, {"name": "decompose"}], []),
]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(STAGES),
    st.sampled_from([*TEXTS, "", "???", "water wheat office"]),
    st.sampled_from([None, (), ("user:ann",), ("user:bob", "group:x")]),
    st.sampled_from([(), ("fields",), ("offices",)]),
)
def test_nothing_forbidden_comes_through(
    parts: Parts,
    stages: tuple[list[Json], list[Json]],
    text: str,
    principal: tuple[str, ...] | None,
    collections: tuple[str, ...],
) -> None:
    which = Filter(principal=principal, collections=collections)
    made = pipeline(parts, rewriters=stages[0], rerankers=stages[1])
    found = made.retrieve([Query(text=text, filter=which)], 4)[0]
    assert all(which.allows(hit.chunk) for hit in found.hits)
    assert len(found.hits) <= 4
    if principal == ():
        assert not found.hits


def test_a_batch_answers_as_one_alone(parts: Parts) -> None:
    made = pipeline(parts, rewriters=[{"name": "multi_query"}], rerankers=[{"name": "late_interaction"}])
    queries = [Query(text=text) for text in TEXTS]
    together = [texts(found) for found in made.retrieve(queries, 3)]
    assert together == [texts(made.retrieve([query], 3)[0]) for query in queries]


# ---------------------------------------------------------------- configuration


def config(values: Json) -> Config:
    return Config.model_validate({"retrieval": values})


def names(made: Config) -> tuple[str, list[str], list[str]]:
    retrieval = made.retrieval
    return retrieval.retriever.name, [p.name for p in retrieval.rewriters], [p.name for p in retrieval.rerankers]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset: str) -> None:
    says = PRESETS[preset]
    wanted = (says["retriever"]["name"], *([p["name"] for p in says[key]] for key in ("rewriters", "rerankers")))
    assert names(config({"preset": preset})) == wanted
    mine = config({"preset": preset, "rerankers": [{"name": "mmr"}], "retriever": {"name": "dense"}})
    assert names(mine) == ("dense", wanted[1], ["mmr"]), "what the file says counts"
    assert names(laid_over(mine, {"retrieval": {"preset": preset}})) == wanted, "a variant's preset brings its stages"
    assert names(laid_over(mine, {"retrieval": {"k": 5}})) == names(mine)


def test_a_retrievers_options_do_not_need_its_name() -> None:
    assert config({"retriever": {"options": {"lexical": 0.2}}}).retrieval.retriever.name == "hybrid"


def test_origins_tell_the_preset(tmp_path: Path) -> None:
    (tmp_path / "twofold.toml").write_text('[retrieval]\npreset = "advanced"\nk = 4\n', encoding="utf-8")
    rows = {key: (value, origin) for key, value, origin in origins(tmp_path)}
    assert rows["retrieval.rewriters"][1] == "preset advanced"
    assert rows["retrieval.k"] == (4, "twofold.toml")
    assert load(tmp_path).retrieval.preset == "advanced"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rewriters": [{"name": "hide"}]}, UnknownName),
        ({"rerankers": [{"name": "mmr", "options": {"relevanc": 1}}]}, ConfigError),
        ({"rerankers": [{"name": "cross_encoder"}]}, ConfigError),
        ({"rewriters": [{"name": "route", "options": {"rules": {"x": ["nowhere"]}}}]}, ConfigError),
        ({"rewriters": [{"name": "route", "options": {"rules": {"(": ["fields"]}}}]}, ConfigError),
    ],
)
def test_bad_stages_are_refused(parts: Parts, options: Json, error: type[Exception]) -> None:
    with pytest.raises(error):
        pipeline(parts, **options)


def test_every_stage_and_option_is_in_the_key(tmp_path: Path) -> None:
    base: Json = {"embedder": {"name": "hashing"}, "index": {"name": "memory"}}
    variants: Sequence[Json] = [
        {},
        {"rewriters": [{"name": "conversation"}]},
        {"rewriters": [{"name": "conversation", "options": {"words": 3}}]},
        {"rerankers": [{"name": "mmr"}]},
        {"rerankers": [{"name": "mmr"}], "depth": 20},
        {"rerankers": [{"name": "mmr"}, {"name": "edges"}]},
        {"rerankers": [{"name": "edges"}, {"name": "mmr"}]},
        {"budget": 100},
        {"retriever": {"name": "dense"}},
    ]
    with Catalogue(tmp_path / "c.sqlite") as catalogue:
        specs = [
            Workspace.open(tmp_path, config({**base, **values}), catalogue=catalogue).search.spec()
            for values in variants
        ]
    assert len({repr(spec) for spec in specs}) == len(variants)
