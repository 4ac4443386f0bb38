"""The retriever ``agentic``: a bounded loop around any other retriever and the live tools.

    plan → search or call a tool → judge → refine or stop → passages, or "insufficient"

The first step of the rules is the plain search for the question, so a simple question is answered as without the loop;
passages of later steps take the last places. Calls, tokens, seconds and money have caps that no planner can exceed: a
step that could exceed a cap is not begun. The time of a single search is known only afterwards: tools and endpoint
enforce the cap on seconds, and the loop checks it before each search. Every step is in the trace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, Literal

from pydantic import Field

from twofold.errors import DataError
from twofold.metadata.conditions import written
from twofold.plugins import loading, protocols
from twofold.plugins.protocols import Parts, Retriever
from twofold.plugins.results import ToolAnswer
from twofold.retrieval.retrievers.agentic.budget import Caps, Ledger
from twofold.retrieval.retrievers.agentic.judge import EvidenceChain, salient
from twofold.retrieval.retrievers.agentic.planner import Decision, Model, Planner, PlanningState, RulePlanner, mark
from twofold.settings.sections import Part
from twofold.types import Chunk, Hit, Query, Retrieval


class AgenticRetriever:
    """See the module.

    Args:
        options: See `Options`.
        parts: The search's parts; tools, collections and generator for the loop.
    """

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Options of the retriever ``agentic``."""

        search: Part = Part(name="hybrid")
        """The retriever that searches the documents."""
        planner: Literal["rules", "model"] = "rules"
        """``model``: the configured generator calls tools; where it cannot, or makes no sense, the rules go on."""
        sufficient: float = Field(default=0.7, ge=0, le=1)
        """Share of the question's words, names double, that the passages must contain."""
        abstain: float = Field(default=0.15, ge=0, le=1)
        """A final share below this counts as "the passages do not contain the answer"."""
        max_calls: int = Field(default=6, ge=1, le=100)
        """Searches, tool calls and model calls for one question."""
        max_tokens: int = Field(default=20_000, ge=0)
        """Tokens of the planning model for one question. Before a call its prompt counts by its bytes."""
        max_seconds: float = Field(default=20.0, gt=0)
        """Wall time for one question."""
        max_cost: float = Field(default=1.0, ge=0)
        """Money for one question, in the currency of the prices."""
        price_per_call: Mapping[str, float] = Field(default_factory=dict)
        """Tool, collection, ``search`` or ``model`` → price of one call."""
        price_per_million_prompt: float = Field(default=0.0, ge=0)
        """Price of a million tokens that the planning model reads."""
        price_per_million_completion: float = Field(default=0.0, ge=0)
        """Price of a million tokens that the planning model writes."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        self._search: Retriever = loading.make("retrievers", options.search.name, options.search.options, parts=parts)

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index. Tools have no versions."""
        self._search.pin(version)

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, tool passages first, then those of the search; every step is in the trace."""
        states = [self._state(query) for query in queries]
        if self._options.planner == "rules":
            self._first(states, k)
        return [self._loop(state, k) for state in states]

    def _state(self, query: Query) -> PlanningState:
        allowed = query.filter.collections
        last = query.question or query.text
        # "and at night?" cannot be judged by its own words: then the text with the turns before it
        question = last if len(salient(last)) >= 2 or not query.text else query.text
        named = [name for name in self._parts.collections if not allowed or name in allowed]
        o = self._options
        return PlanningState(
            query=query,
            question=question,
            tools={name: tool for name, tool in self._parts.tools.items() if tool.allows(query.filter)},
            collections={name: self._parts.collections[name] for name in self._open(named, query)},
            evidence=EvidenceChain(question),
            ledger=Ledger(
                caps=Caps(calls=o.max_calls, tokens=o.max_tokens, seconds=o.max_seconds, cost=o.max_cost),
                price_per_call=o.price_per_call,
                price_prompt=o.price_per_million_prompt / 1e6,
                price_completion=o.price_per_million_completion / 1e6,
            ),
        )

    def _open(self, names: Sequence[str], query: Query) -> list[str]:
        """The collections with anything that this principal may read; neither trace nor planner may name others."""
        # without a principal every collection may be read
        if query.filter.principal is None:
            return list(names)
        vectors = self._parts.embedder.embed([query.text or query.question])

        def holds(name: str) -> bool:
            which = replace(query.filter, collections=(name,))
            # a single hit is enough to know
            return bool(self._parts.index.search([""], vectors, 1, leg="dense", filter=which)[0])

        return [name for name in names if holds(name)]

    def _first(self, states: Sequence[PlanningState], k: int) -> None:
        """The plain search of all questions at once."""
        step = Decision(action="search", why="what was asked")
        able = [state for state in states if not state.ledger.closed("search")]
        began = time.monotonic()
        retrievals = self._search.retrieve([state.query for state in able], k) if able else []
        share = (time.monotonic() - began) / max(1, len(able))
        for state, retrieval in zip(able, retrievals, strict=True):
            # one search for all questions: each is charged its share of the time
            state.ledger.earlier = share
            self._took(state, replace(step, text=state.query.text), retrieval, share)

    def _loop(self, state: PlanningState, k: int) -> Retrieval:
        # Loops run one after the other: what those before took is not this question's time.
        state.ledger.restart()
        planner: Planner = RulePlanner(self._options.sufficient)
        if self._options.planner == "model":
            generator: Any = self._parts.generator() if self._parts.generator else None
            if isinstance(generator, protocols.Converses):
                planner = Model(generator, state)
            else:
                why = "the generator cannot call tools" if generator else "there is no generator"
                state.trace.append({"step": "agent fallback", "planner": "rules", "why": why})
        # each turn spends or stops: the caps end it
        while True:
            step = planner.decide(state)
            if step.action == "give up":
                planner = RulePlanner(self._options.sufficient)
                state.trace.append({"step": "agent fallback", "planner": "rules", "why": step.why})
                continue
            if step.action == "stop":
                break
            priced = step.tool or (step.collections[0] if len(step.collections) == 1 else "search")
            closed = state.ledger.closed(priced)
            # a model may repeat a step, which would cost and bring nothing new
            if not closed and mark(step) in state.tried:
                closed = "repeats"
            if closed:
                step = Decision(action="stop", why=f"cap on {closed}", sufficient=step.sufficient)
                break
            chunks, note = self._call(state, step) if step.action == "tool" else (self._searched(state, step, k), "")
            planner.heard(chunks, note)
        return self._ended(state, step, k, ruled=isinstance(planner, RulePlanner))

    def _searched(self, state: PlanningState, step: Decision, k: int) -> list[Chunk]:
        which = state.query.filter
        # conditions add up, and a planner chooses among allowed collections only: the filter is never widened
        which = replace(
            which, collections=step.collections or which.collections, where=(*which.conditions, *step.where)
        )
        began = time.monotonic()
        retrieval = self._search.retrieve([replace(state.query, text=step.text, filter=which)], k)[0]
        self._took(state, step, retrieval, time.monotonic() - began)
        return [hit.chunk for hit in retrieval.hits]

    def _took(self, state: PlanningState, step: Decision, retrieval: Retrieval, seconds: float) -> None:
        """Charge a search to the ledger, judge its hits, and add it to the trace."""
        priced = step.collections[0] if len(step.collections) == 1 else "search"
        cost = state.ledger.spend(priced, retrieval.usage)
        chunks = [hit.chunk for hit in retrieval.hits]
        state.tried.add(mark(step))
        state.searched.append(retrieval.hits)
        evidence = state.evidence
        if step.link or (step.part and evidence.chain):
            joined = evidence.extend(chunks, step.link)
        else:  # a new beginning must suffice alone: a weak one would push out the plain search's passages
            joined = evidence.begin(chunks, least=self._options.sufficient if evidence.chain else 0.0)
        state.trace += [
            *retrieval.trace,
            {
                "step": "agent search",
                "query": step.text,
                "collections": list(step.collections),
                **({"where": written(step.where)} if step.where else {}),
                "why": step.why,
                "hits": len(retrieval.hits),
                "judgement": {"useful": joined, "coverage": round(evidence.coverage, 3), "open": evidence.open},
                "seconds": round(seconds, 4),
                "tokens": retrieval.usage.prompt_tokens + retrieval.usage.completion_tokens,
                "cost": round(cost, 6),
            },
        ]

    def _call(self, state: PlanningState, step: Decision) -> tuple[list[Chunk], str]:
        began = time.monotonic()
        cost = state.ledger.spend(step.tool)
        state.tried.add(mark(step))
        answer = ToolAnswer()
        try:
            answer = state.tools[step.tool].call(step.arguments, filter=state.query.filter, seconds=state.ledger.left)
            note = answer.note
        except DataError as error:
            note = error.message
        known = {chunk.id for chunk in state.live}
        chunks = [chunk for chunk in answer.chunks if chunk.id not in known]
        state.live += chunks
        if not answer.chunks:
            state.notes.append(note)
        state.trace.append(
            {
                "step": "agent tool",
                "tool": step.tool,
                "arguments": dict(step.arguments),
                "why": step.why,
                "hits": len(answer.chunks),
                "note": note,
                "cached": answer.cached,
                "stale": answer.stale,
                **({"down": True} if answer.down else {}),
                "judgement": {"useful": bool(answer.chunks)},
                "seconds": round(time.monotonic() - began, 4),
                "tokens": 0,
                "cost": round(cost, 6),
            }
        )
        return chunks, note

    def _ended(self, state: PlanningState, step: Decision, k: int, *, ruled: bool) -> Retrieval:
        chunks = _chosen(state, k) if ruled else _shared(state, k)
        coverage = state.evidence.coverage
        enough = bool(state.live) or coverage >= self._options.sufficient
        # a planner's own judgement, or a tool's answer, decides; else the words do
        if step.sufficient is not None:
            enough = step.sufficient
            insufficient = not enough
        else:
            insufficient = not enough and (coverage < self._options.abstain or bool(state.notes))
        insufficient = insufficient or not chunks
        state.trace.append(
            {
                "step": "agent stop",
                "why": step.why,
                "judgement": {"sufficient": enough and bool(chunks), "coverage": round(coverage, 3)},
                "abstain": insufficient,
                **({"notes": list(state.notes)} if state.notes else {}),
                **state.ledger.report(),
            }
        )
        # reversed: for a passage of several searches the first search's score counts
        scores = {hit.chunk.id: hit for hit in chain.from_iterable(reversed(state.searched))}
        hits = []
        for rank, chunk in enumerate(chunks, 1):
            known = scores.get(chunk.id)
            # a tool's passage has no score of a search: one that falls with the rank
            hits.append(replace(known, rank=rank) if known else Hit(chunk=chunk, score=1.0 / rank, rank=rank))
        return Retrieval(
            hits=tuple(hits), trace=tuple(state.trace), insufficient=insufficient, usage=state.ledger.usage
        )


def _chosen(state: PlanningState, k: int) -> list[Chunk]:
    """Tool passages, then the first search's; the chain's others take the last places, never the search's first."""
    live = state.live[:k]
    plain = [hit.chunk for hit in state.searched[0]] if state.searched else []
    room = k - len(live)
    shown = {chunk.id for chunk in plain[:room]}
    further = [chunk for chunk in state.evidence.chain if chunk.id not in shown]
    further = further[: max(0, room - 1) if plain else room]
    taken = {chunk.id for chunk in further}
    plain_rest = [chunk for chunk in plain[: room - len(further)] if chunk.id not in taken]
    return [*live, *plain_rest, *further]


def _shared(state: PlanningState, k: int) -> list[Chunk]:
    """Tool passages, then the first of every search, the second of every search, and so on."""
    merged = list(state.live)
    for rank in range(max((len(hits) for hits in state.searched), default=0)):
        merged += [hits[rank].chunk for hits in state.searched if rank < len(hits)]
    return list({chunk.id: chunk for chunk in merged}.values())[:k]
