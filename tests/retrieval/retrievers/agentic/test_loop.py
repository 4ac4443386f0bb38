"""The loop: chains of documents, caps that hold whatever a planner decides, models that call tools or talk nonsense."""

from __future__ import annotations

import json
import random
import time
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import CROPS, FARMS, PEOPLE
from twofold.answering import access
from twofold.corpus.chunkers.cutting import chunk_of
from twofold.plugins import loading, protocols
from twofold.plugins.results import ToolAnswer
from twofold.retrieval.retrievers.agentic import loop
from twofold.retrieval.retrievers.agentic.budget import Caps, Ledger
from twofold.retrieval.retrievers.agentic.planner import Decision
from twofold.types import Document, Filter, Query, Retrieval, Usage


class Shop:
    """A tool that knows one price, or is down."""

    version = 1
    name = "shop"
    description = "Prices"
    schema: ClassVar[dict[str, Any]] = {"type": "object", "properties": {}}

    def __init__(self, *, down: bool = False) -> None:
        self.down = down

    def allows(self, filter: Filter) -> bool:
        return filter.principal is None

    def arguments(self, question: str) -> dict[str, Any] | None:
        return {} if "price" in question else None

    def call(self, arguments: Any, *, filter: Filter, seconds: float) -> ToolAnswer:
        text = "The price of barley is 7."
        document = Document(id="tool:shop:", text=text, collection="shop")
        return ToolAnswer(note="shop is down") if self.down else ToolAnswer(chunks=(chunk_of(document, 0, len(text)),))


def ask(parts: Any, text: str, k: int = 3, *, filter: Filter | None = None, **options: Any) -> Retrieval:
    made = loading.make("retrievers", "agentic", options, parts=parts)
    return made.retrieve([Query(text=text, filter=filter or Filter())], k)[0]


def names(found: Retrieval) -> set[str]:
    return {hit.chunk.span.document for hit in found.hits}


def test_a_chain_over_two_documents_is_found_where_one_search_fails(make_parts: Any) -> None:
    parts = make_parts()
    plain = loading.make("retrievers", "hybrid", {}, parts=parts)
    naive = solved = 0
    for person, farm in zip(PEOPLE, FARMS, strict=True):
        question = f"Which crop was sowed on the upper terraces of the estate that {person} has managed?"
        wanted = {f"person {person}", f"farm {farm}"}
        naive += wanted <= {h.chunk.span.document for h in plain.retrieve([Query(text=question)], 3)[0].hits}
        solved += wanted <= names(ask(parts, question, sufficient=0.8))
    assert solved == len(CROPS) > 2 * naive, f"naive {naive}, agentic {solved}"


def test_a_simple_question_is_answered_by_the_plain_search(make_parts: Any) -> None:
    parts = make_parts()
    question = "What did Estate Tolmere sow on its upper terraces?"
    plain = loading.make("retrievers", "hybrid", {}, parts=parts).retrieve([Query(text=question)], 3)[0]
    found = ask(parts, question)
    assert [h.chunk.id for h in found.hits] == [h.chunk.id for h in plain.hits]
    assert found.trace[-1]["calls"] == 1
    assert found.trace[-1]["why"] == "sufficient"


def test_what_the_documents_do_not_hold_is_insufficient_after_looking_further(make_parts: Any) -> None:
    found = ask(make_parts(), "Who won the football championship in Lisbon?")
    assert found.insufficient
    assert found.trace[-1]["abstain"]
    assert found.trace[-1]["calls"] > 1


def test_a_live_tool_goes_first_and_one_that_is_down_is_a_note(make_parts: Any) -> None:
    found = ask(make_parts(tools={"shop": Shop()}), "What is the price of barley?")
    assert found.hits[0].chunk.text == "The price of barley is 7."
    assert not found.insufficient
    down = ask(make_parts(tools={"shop": Shop(down=True)}), "What is the price of barley?")
    assert down.trace[-1]["notes"] == ["shop is down"]
    assert down.insufficient


def test_the_filter_holds_in_every_step(make_parts: Any) -> None:
    texts = [
        Document(id="own", text="Mira Holt has managed Estate Quillan.", readers=("ann",)),
        Document(id="secret", text="Estate Quillan sowed zq12345x in spring.", readers=("bob",)),
    ]
    parts = make_parts(texts, tools={"shop": Shop()})
    which = Filter(principal=access.principal("ann"))
    found = ask(parts, "At what price did the estate that Mira Holt has managed sow zz in spring?", filter=which)
    assert names(found) == {"own"}
    assert "zq12345x" not in repr(found.trace)
    assert not any(step["step"] == "agent tool" for step in found.trace)


class Anything:
    """A planner that decides at random, and never stops of itself."""

    seed = 0

    def __init__(self, _sufficient: float) -> None:
        self._chance = random.Random(self.seed)

    def decide(self, state: Any) -> Decision:
        kind = self._chance.choice(["tool", "search", "search"])
        state.tried.clear()
        word = self._chance.choice(["barley", "Estate", "terraces"])
        return Decision(action=kind, text=word, tool="shop" if kind == "tool" else "", why="chance")  # type: ignore[arg-type]

    def heard(self, found: Any, note: str) -> None:
        pass


@settings(max_examples=40, deadline=None)
@given(calls=st.integers(1, 7), cost=st.floats(0, 3), price=st.floats(0.1, 1), seed=st.integers(0, 999))
def test_no_planner_passes_the_caps(calls: int, cost: float, price: float, seed: int) -> None:
    class Search:
        Options = protocols.Options

        def __init__(self, options: Any, *, parts: Any) -> None:
            pass

        def retrieve(self, queries: Any, k: int) -> list[Retrieval]:
            return [Retrieval(hits=()) for _ in queries]

    with pytest.MonkeyPatch.context() as patch, loading.registered("retrievers", "hybrid", Search):
        patch.setattr(Anything, "seed", seed)
        patch.setattr(loop, "RulePlanner", Anything)
        options = loop.AgenticRetriever.Options(
            max_calls=calls, max_cost=cost, price_per_call={"search": price, "shop": price / 2}
        )
        parts = protocols.Parts(embedder=None, index=None, tools={"shop": Shop()})  # type: ignore[arg-type]
        end = loop.AgenticRetriever(options, parts=parts).retrieve([Query(text="barley")], 3)[0].trace[-1]
    assert end["calls"] <= calls
    assert end["cost"] <= cost + 1e-6
    assert end["why"] in ("cap on calls", "cap on cost")


def test_seconds_and_tokens_are_looked_at_before_a_step() -> None:
    now = [0.0]
    caps = Caps(calls=9, tokens=100, seconds=5, cost=1)
    ledger = Ledger(caps=caps, price_per_call={}, price_completion=0.01, clock=lambda: now[0])
    assert not ledger.closed("model", prompt=60, completion=40)
    assert ledger.closed("model", prompt=61, completion=40) == "tokens"
    ledger.spend("model", Usage(prompt_tokens=10, completion_tokens=80))
    assert ledger.closed("model", completion=10) == ""
    assert ledger.closed("model", prompt=1, completion=10) == "tokens"
    ledger.cost = 0.95
    assert ledger.closed("model", completion=9) == "cost"
    now[0] = 5.0
    assert ledger.closed("search") == "seconds"


class SlowShop(Shop):
    """Takes a while for every price."""

    def call(self, arguments: Any, *, filter: Filter, seconds: float) -> ToolAnswer:
        time.sleep(0.05)
        return super().call(arguments, filter=filter, seconds=seconds)


def test_no_question_pays_for_the_time_of_the_others_of_its_batch(make_parts: Any) -> None:
    parts = make_parts(tools={"shop": SlowShop()})
    retriever = loading.make("retrievers", "agentic", {"max_seconds": 0.4}, parts=parts)
    batch = retriever.retrieve([Query(text=f"What is the price of barley {n}?") for n in range(12)], 3)
    ends = [one.trace[-1] for one in batch]
    assert {end["why"] for end in ends} == {"a live tool answered"}
    assert max(end["seconds"] for end in ends) < 0.4 < sum(end["seconds"] for end in ends)


def said(*calls: tuple[str, Any], text: str = "") -> tuple[int, dict[str, str], Any]:
    asked = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": given}}
        for n, (name, given) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text or None, "tool_calls": asked}
    return 200, {}, {"choices": [{"message": message}], "usage": {"prompt_tokens": 50, "completion_tokens": 9}}


def endpoint(server: Any) -> Any:
    options = {"model": "m", "base_url": server.url, "retries": 0}
    made = loading.make("generators", "openai", options, adapter=None)
    return lambda: made


def test_a_model_searches_calls_a_tool_and_finishes(make_parts: Any, server: Any) -> None:
    script = [
        said(("search", json.dumps({"query": "Mira Holt managed"}))),
        said(("search", json.dumps({"query": "Estate Quillan sowed"})), ("shop", "{}")),
        said(("finish", '{"sufficient": true}')),
    ]
    server.answer = lambda _p, _b, n: script[n - 1]
    parts = make_parts(generator=endpoint(server), tools={"shop": Shop()})
    found = ask(parts, "What grows where Mira Holt works, and at what price?", 4, planner="model")
    assert {"tool:shop:", "person Mira Holt", "farm Quillan"} <= names(found)
    assert not found.insufficient
    assert found.trace[-1]["calls"] == 6
    assert found.usage.prompt_tokens == 150
    roles = [message["role"] for message in server.bodies[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "tool"]
    assert "Estate Quillan" in server.bodies[-1]["messages"][3]["content"]


def test_a_model_narrows_its_search_by_fields_that_it_was_shown_and_never_widens_the_request(
    make_parts: Any, server: Any
) -> None:
    texts = [
        Document(
            id=f"r{year}", text=f"The yield of barley was {year % 7} tons.", metadata={"year": str(year), "site": "N"}
        )
        for year in range(2020, 2040)
    ]
    script = [
        said(("search", json.dumps({"query": "yield of barley"}))),
        said(("search", json.dumps({"query": "yield of barley", "where": ["year <"]}))),
        said(("search", json.dumps({"query": "yield of barley", "where": ["year >= 2037", "site = N"]}))),
        said(("finish", '{"sufficient": true}')),
    ]
    server.answer = lambda _p, _b, n: script[n - 1]
    parts = make_parts(texts, generator=endpoint(server))
    seen = Filter(where=["year < 2039"])
    found = ask(parts, "What was the yield of barley since 2037?", 5, planner="model", filter=seen)
    assert {"r2037", "r2038"} <= names(found)
    assert "r2039" not in names(found)
    searches = [step for step in found.trace if step["step"] == "agent search"]
    assert [step.get("where") for step in searches] == [None, ["year >= 2037", 'site = "N"']]
    assert searches[1]["hits"] == 2, "the request's condition holds beside the model's"
    told = [message["content"] for message in server.bodies[-1]["messages"] if message["role"] == "tool"]
    assert told[0].endswith("Fields: year, site")
    assert told[1].startswith("Not possible: 'year <' names no value")


@pytest.mark.parametrize(
    "reply",
    [
        said(("search", '{"query": "barley", "where": [7]}')),
        said(text="I am a teapot."),
        said(("explode", "{}")),
        said(("search", "{not json")),
        said(("search", '{"query": 7}')),
        (500, {}, {}),
        (200, {}, {"choices": []}),
    ],
)
def test_a_model_that_makes_no_sense_gives_way_to_the_rules(make_parts: Any, server: Any, reply: Any) -> None:
    server.answer = lambda *_: reply
    question = "What did Estate Tolmere sow on its upper terraces?"
    found = ask(make_parts(generator=endpoint(server)), question, planner="model")
    assert "farm Tolmere" in names(found)
    assert [step["planner"] for step in found.trace if step["step"] == "agent fallback"] == ["rules"]
    assert found.trace[-1]["calls"] <= 6


def test_a_model_that_goes_round_is_cut_and_one_that_gives_up_abstains(make_parts: Any, server: Any) -> None:
    server.answer = lambda *_: said(("search", '{"query": "barley"}'))
    round_ = ask(make_parts(generator=endpoint(server)), "Who sowed barley?", planner="model", max_calls=20)
    assert len(server.asked) <= 5
    assert round_.hits
    poor = ask(make_parts(generator=endpoint(server)), "Who sowed barley?", planner="model", max_tokens=100)
    assert "cap on tokens" in [s["why"] for s in poor.trace if s["step"] == "agent fallback"]
    assert poor.hits
    assert poor.usage == Usage()
    server.answer = lambda *_: said(("finish", '{"sufficient": false}'))
    assert ask(make_parts(generator=endpoint(server)), "Who sowed barley?", planner="model").insufficient
