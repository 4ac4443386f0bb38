"""The pipeline: rewriters → search → fusion → rerankers → budget, every stage a plugin by name.

    rewriter.rewrite → retriever.retrieve (every query) → fuse → reranker.rerank → what fits

Each query keeps its filter from end to end, and each stage leaves a step in the trace: its name, seconds, how many
hits it left, and what it has to tell itself. With no stage configured it is the search, untouched.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from twofold.config import Part
from twofold.plugins import loading, protocols
from twofold.plugins.protocols import Parts, Reranker, Retriever, Rewriter
from twofold.retrieval.fusion import distinct, fuse
from twofold.types import Hit, Json, Query, Retrieval, Rewritten, Usage


class Pipeline:
    """The stages of `[retrieval]` around a search.

    Args:
        options: See `Options`.
        parts: Embedder, index, generator and documents for the stages.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """What `[retrieval]` says."""

        rewriters: tuple[Part, ...] = ()
        """Stages on the query."""
        retriever: Part = Part(name="hybrid")
        """The search."""
        rerankers: tuple[Part, ...] = ()
        """Stages on its hits."""
        depth: int = Field(default=40, ge=1)
        """Hits handed to the rerankers, never fewer than asked for."""
        budget: int = Field(default=0, ge=0)
        """Tokens that all hits may have together, the first apart; 0: no limit."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        self._rewriters: list[tuple[str, Rewriter]] = [
            (part.name, loading.make("rewriters", part.name, part.options, parts=parts)) for part in options.rewriters
        ]
        self._search: Retriever = loading.make(
            "retrievers", options.retriever.name, options.retriever.options, parts=parts
        )
        self._rerankers: list[tuple[str, Reranker]] = [
            (part.name, loading.make("rerankers", part.name, part.options, parts=parts)) for part in options.rerankers
        ]

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index."""
        self._search.pin(version)

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, best first, ranks from 1, and what was done to find them."""
        if not queries:
            return []
        rewritten = [Rewritten(queries=(query,)) for query in queries]
        for name, rewriter in self._rewriters:
            rewritten = _rewrite(name, rewriter, rewritten)
        found = self._searched(rewritten, max(k, self._options.depth) if self._rerankers else k)
        for name, reranker in self._rerankers:
            keep = k if reranker.final else max((len(one.hits) for one in found), default=0)
            found = _rerank(name, reranker, queries, found=found, k=max(1, keep))
        found = [replace(one, hits=one.hits[:k]) for one in found]
        return [self._fitted(one) for one in found] if self._options.budget else found

    def _searched(self, rewritten: Sequence[Rewritten], depth: int) -> list[Retrieval]:
        """The hits of every query's queries, fused by reciprocal rank where there are several."""
        began = time.perf_counter()
        flat = iter(self._search.retrieve([query for one in rewritten for query in one.queries], depth))
        parts = [[next(flat) for _ in one.queries] for one in rewritten]
        seconds = (time.perf_counter() - began) / len(rewritten)
        staged = bool(self._rewriters or self._rerankers or self._options.budget)
        found = []
        for one, own in zip(rewritten, parts, strict=True):
            inner = tuple(step for each in own for step in each.trace)
            hits = own[0].hits if len(own) == 1 else tuple(_fused([each.hits for each in own], depth))
            step = {
                "step": f"search {self._options.retriever.name}",
                "queries": [query.text for query in one.queries],
                "hits": len(hits),
                "seconds": seconds,
            }
            if any(query.filter.collections for query in one.queries):
                step["collections"] = sorted({c for query in one.queries for c in query.filter.collections})
            found.append(
                Retrieval(
                    hits=hits,
                    trace=(*one.trace, *inner, step) if staged else inner,
                    insufficient=all(each.insufficient for each in own),
                    usage=_added(one.usage, *(each.usage for each in own)),
                )
            )
        return found

    def _fitted(self, found: Retrieval) -> Retrieval:
        """The first hits whose tokens fit into the budget; the first always stays."""
        left, spent = self._options.budget, 0
        kept: list[Hit] = []
        for hit in found.hits:
            tokens = len(self._parts.embedder.offsets(hit.chunk.text))
            if kept and spent + tokens > left:
                break
            spent += tokens
            kept.append(hit)
        step = {"step": "budget", "tokens": spent, "hits": len(kept), "left_out": len(found.hits) - len(kept)}
        return replace(found, hits=tuple(kept), trace=(*found.trace, step))


def _rewrite(name: str, rewriter: Rewriter, before: Sequence[Rewritten]) -> list[Rewritten]:
    """One stage over all queries that the stages before it made; equal queries are searched once."""
    began = time.perf_counter()
    flat = iter(rewriter.rewrite([query for one in before for query in one.queries]))
    after = [[next(flat) for _ in one.queries] for one in before]
    seconds = (time.perf_counter() - began) / len(before)
    made = []
    for one, own in zip(before, after, strict=True):
        queries = list({(q.text, q.filter.collections): q for each in own for q in each.queries}.values())
        told = [dict(note) for each in own for note in each.trace]
        step = _step(f"rewrite {name}", told, queries=[query.text for query in queries], seconds=seconds)
        made.append(
            Rewritten(
                queries=tuple(queries),
                trace=(*one.trace, step),
                usage=_added(one.usage, *(each.usage for each in own)),
            )
        )
    return made


def _rerank(
    name: str, reranker: Reranker, queries: Sequence[Query], *, found: Sequence[Retrieval], k: int
) -> list[Retrieval]:
    began = time.perf_counter()
    after = reranker.rerank(queries, found, k)
    seconds = (time.perf_counter() - began) / len(queries)
    made = []
    for old, new in zip(found, after, strict=True):
        told = [dict(note) for note in new.trace[len(old.trace) :]]
        step = _step(f"rerank {name}", told, given=len(old.hits), hits=len(new.hits), seconds=seconds)
        made.append(replace(new, trace=(*old.trace, step)))
    return made


def _step(name: str, told: Sequence[Json], **known: Any) -> Json:
    """A step of the trace: what a stage tells is part of it; several notes (several queries) stand in a list."""
    notes: Json = dict(told[0]) if len(told) == 1 else ({"notes": list(told)} if told else {})
    return {"step": name, **notes, **known}


def _fused(rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """Reciprocal rank fusion over several queries; a hit keeps its best rank in each leg."""
    legs: dict[str, dict[str, int]] = {}
    for hits in rankings:
        for hit in hits:
            best = legs.setdefault(hit.chunk.id, {})
            for leg, rank in hit.legs.items():
                best[leg] = min(rank, best.get(leg, rank))
    named = {f"{number:03d}": hits for number, hits in enumerate(rankings)}
    fused = fuse(named, sum(len(hits) for hits in rankings))
    return distinct([replace(hit, legs=legs[hit.chunk.id]) for hit in fused], k)


def _added(*spent: Usage) -> Usage:
    return Usage(
        prompt_tokens=sum(one.prompt_tokens for one in spent),
        completion_tokens=sum(one.completion_tokens for one in spent),
    )
