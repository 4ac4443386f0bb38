"""The pipeline: rewriters → search → fusion → rerankers → budget, every stage a plugin by name.

    rewriter.rewrite → retriever.retrieve (every query) → fuse → reranker.rerank → hits within the budget

Each query keeps its filter from end to end, and each stage adds a step to the trace: its name, seconds, the number of
hits that it left, and its own notes. Without configured stages the pipeline is the search alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from twofold.plugins import loading, protocols
from twofold.plugins.protocols import Parts, Reranker, Retriever, Rewriter
from twofold.retrieval.fusion import distinct, fuse
from twofold.settings.sections import Part
from twofold.types import Hit, Json, Query, Retrieval, Rewritten, Usage

T = TypeVar("T")


class Pipeline:
    """The stages of `[retrieval]` around a search.

    Args:
        options: See `Options`.
        parts: Embedder, index, generator and documents for the stages.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """The settings of `[retrieval]`."""

        rewriters: tuple[Part, ...] = ()
        """Stages on the query."""
        retriever: Part = Part(name="hybrid")
        """The search."""
        rerankers: tuple[Part, ...] = ()
        """Stages on its hits."""
        depth: int = Field(default=40, ge=1)
        """Hits handed to the rerankers, never fewer than requested."""
        budget: int = Field(default=0, ge=0)
        """Most tokens of all hits together (the first always stays); 0: no limit."""

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
        """Top `k` hits per query, best first, ranks from 1; the trace has the steps that found them."""
        if not queries:
            return []
        *_, (_, shown) = self.stages(queries, k)
        return shown

    def stages(self, queries: Sequence[Query], k: int) -> Iterator[tuple[str, list[Retrieval]]]:
        """What each stage leaves of `retrieve`: the search, every reranker, and what is shown."""
        rewritten = [Rewritten(queries=(query,)) for query in queries]
        for name, rewriter in self._rewriters:
            rewritten = _rewrite(name, rewriter, rewritten)
        retrievals = self._searched(rewritten, max(k, self._options.depth) if self._rerankers else k)
        yield f"search {self._options.retriever.name}", retrievals
        for name, reranker in self._rerankers:
            # only a final stage cuts to k: later stages choose among all remaining hits
            keep = k if reranker.final else max((len(retrieval.hits) for retrieval in retrievals), default=0)
            retrievals = _rerank(name, reranker, queries, retrievals=retrievals, k=max(1, keep))
            yield f"rerank {name}", retrievals
        retrievals = [replace(retrieval, hits=retrieval.hits[:k]) for retrieval in retrievals]
        yield "shown", [self._fitted(retrieval) for retrieval in retrievals] if self._options.budget else retrievals

    def _searched(self, rewritten: Sequence[Rewritten], depth: int) -> list[Retrieval]:
        """The hits of each question's queries, fused by reciprocal rank where there are several."""
        began = time.perf_counter()
        # one search for all queries: the embedder and the index work in batches
        parts = _dealt(iter(self._search.retrieve(_queries(rewritten), depth)), rewritten)
        seconds = (time.perf_counter() - began) / len(rewritten)
        # without stages no step is added: the trace is that of the search alone
        staged = bool(self._rewriters or self._rerankers or self._options.budget)
        retrievals = []
        for query, searched in zip(rewritten, parts, strict=True):
            inner = tuple(chain.from_iterable(each.trace for each in searched))
            hits = searched[0].hits if len(searched) == 1 else tuple(_fused([each.hits for each in searched], depth))
            step = {
                "step": f"search {self._options.retriever.name}",
                "queries": [variant.text for variant in query.queries],
                "hits": len(hits),
                "seconds": seconds,
            }
            if collections := set(chain.from_iterable(variant.filter.collections for variant in query.queries)):
                step["collections"] = sorted(collections)
            retrievals.append(
                Retrieval(
                    hits=hits,
                    trace=(*query.trace, *inner, step) if staged else inner,
                    insufficient=all(each.insufficient for each in searched),
                    usage=_added(query.usage, *(each.usage for each in searched)),
                )
            )
        return retrievals

    def _fitted(self, retrieval: Retrieval) -> Retrieval:
        """Keep the first hits whose tokens fit into the budget, and the first hit in any case."""
        left = self._options.budget
        spent = 0
        fitting: list[Hit] = []
        for hit in retrieval.hits:
            tokens = len(self._parts.embedder.offsets(hit.chunk.text))
            if fitting and spent + tokens > left:
                break
            spent += tokens
            fitting.append(hit)
        step = {"step": "budget", "tokens": spent, "hits": len(fitting), "left_out": len(retrieval.hits) - len(fitting)}
        return replace(retrieval, hits=tuple(fitting), trace=(*retrieval.trace, step))


def _rewrite(name: str, rewriter: Rewriter, before: Sequence[Rewritten]) -> list[Rewritten]:
    """Run one stage on all queries of the stages before it; equal queries are searched once."""
    began = time.perf_counter()
    after = _dealt(iter(rewriter.rewrite(_queries(before))), before)
    seconds = (time.perf_counter() - began) / len(before)
    rewritten = []
    for old, variants in zip(before, after, strict=True):
        # the same text in other collections is another search
        queries = list({(query.text, query.filter.collections): query for query in _queries(variants)}.values())
        notes: list[Json] = []
        for variant in variants:
            notes += map(dict, variant.trace)
        step = _step(f"rewrite {name}", notes, queries=[query.text for query in queries], seconds=seconds)
        rewritten.append(
            Rewritten(
                queries=tuple(queries),
                trace=(*old.trace, step),
                usage=_added(old.usage, *(new.usage for new in variants)),
            )
        )
    return rewritten


def _queries(rewritten: Sequence[Rewritten]) -> list[Query]:
    """The queries of all questions in a row."""
    return list(chain.from_iterable(each.queries for each in rewritten))


def _dealt(flat: Iterator[T], rewritten: Sequence[Rewritten]) -> list[list[T]]:
    """Split results for `_queries` by the question that each query came from."""
    parts = []
    for query in rewritten:
        parts.append([next(flat) for _ in query.queries])
    return parts


def _rerank(
    name: str, reranker: Reranker, queries: Sequence[Query], *, retrievals: Sequence[Retrieval], k: int
) -> list[Retrieval]:
    began = time.perf_counter()
    after = reranker.rerank(queries, retrievals, k)
    seconds = (time.perf_counter() - began) / len(queries)
    reranked = []
    for old, new in zip(retrievals, after, strict=True):
        notes = [dict(note) for note in new.trace[len(old.trace) :]]
        step = _step(f"rerank {name}", notes, given=len(old.hits), hits=len(new.hits), seconds=seconds)
        reranked.append(replace(new, trace=(*old.trace, step)))
    return reranked


def _step(name: str, notes: Sequence[Json], **known: Any) -> Json:
    """A step of the trace with the notes of its stage; several notes (of several queries) stand in a list."""
    if len(notes) == 1:
        return {"step": name, **notes[0], **known}
    return {"step": name, **({"notes": list(notes)} if notes else {}), **known}


def _fused(rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """Reciprocal rank fusion over several queries; a hit keeps its best rank in each leg."""
    legs: dict[str, dict[str, int]] = {}
    for hits in rankings:
        for hit in hits:
            # `fuse` knows the queries as legs; what people see are the ranks in the index's own
            best = legs.setdefault(hit.chunk.id, {})
            for leg, rank in hit.legs.items():
                best[leg] = min(rank, best.get(leg, rank))
    # `fuse` goes through the rankings in the order of their names: leading zeros keep theirs
    named = {f"{number:03d}": hits for number, hits in enumerate(rankings)}
    fused = fuse(named, sum(len(hits) for hits in rankings))
    return distinct([replace(hit, legs=legs[hit.chunk.id]) for hit in fused], k)


def _added(*spent: Usage) -> Usage:
    return Usage(
        prompt_tokens=sum(one.prompt_tokens for one in spent),
        completion_tokens=sum(one.completion_tokens for one in spent),
    )
