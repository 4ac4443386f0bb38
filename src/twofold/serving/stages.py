"""A search taken apart: for every passage its score in each leg and after each stage of the configured pipeline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.answering import access
from twofold.assembly.searching import Search
from twofold.plugins import loading
from twofold.plugins.protocols import Retriever
from twofold.retrieval.retrievers.pipeline import Pipeline
from twofold.types import Chunk, Filter, Hit, Json, Query

LEGS = {"dense": "meaning", "lexical": "words"}
"""The legs of an index, and their names for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCell:
    """A passage's place in one stage."""

    rank: int
    """From 1."""
    score: float | None
    """None under access control, where a score would tell how often a word stands in closed documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """A passage that some stage found."""

    chunk: Chunk
    """The passage."""
    cells: tuple[StageCell | None, ...]
    """By stage; None where the stage does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTable:
    """The passages of a search, those shown to a model first."""

    stages: tuple[str, ...]
    """Names of the stages, in the order in which they run."""
    rows: tuple[StageRow, ...]
    """By rank in the last stage that has the passage."""
    shown: int
    """So many rows are what an answer is given with."""
    trace: tuple[Json, ...]
    """The steps of the search; see `Retrieval.trace`. Empty under access control."""
    seconds: float
    """Of everything together."""


def staged(search: Search, question: str, seen: Filter | None, *, depth: int = 20) -> StageTable:
    """Search as the project is configured, and keep what every stage says.

    Args:
        search: Of the project.
        question: What is searched for.
        seen: What the caller may see; None where access control is off.
        depth: Passages of each leg at least.

    Raises:
        AccessDenied: access control is enabled and the caller is nobody, or a plugin ignores the filter.
        IndexMismatch: the index was made by another embedder.
    """
    began = time.perf_counter()
    enabled = search.config.access.enabled
    which = access.granted(seen, search.filter, enabled=enabled, tuned=False)
    query = Query(text=question, filter=which)
    k = search.config.retrieval.k
    columns: list[tuple[str, Sequence[Hit]]] = []
    for leg, words in LEGS.items():
        # Each leg alone: the pipeline's first stage shows only what is left after fusion.
        retriever: Retriever = loading.make("retrievers", leg, {}, parts=search.parts)
        columns.append((words, retriever.retrieve([query], max(depth, k))[0].hits))
    trace: tuple[Json, ...] = ()
    if isinstance(search.retriever, Pipeline):
        for name, retrievals in search.retriever.stages([query], k):
            columns.append((name, retrievals[0].hits))
            # The last stage's trace holds the steps before it.
            trace = retrievals[0].trace
        columns[len(LEGS)] = (columns[len(LEGS)][0], _deeper(search, query, columns[len(LEGS)][1], depth))
    for name, hits in columns:
        # Every column, not the last alone: a plugin's leg that ignores the filter would show closed passages here.
        access.checked([hit.chunk for hit in hits], which, name)
    return StageTable(
        stages=tuple(name for name, _ in columns),
        rows=_rows(columns, scores=not enabled),
        shown=len(columns[-1][1]),
        trace=() if enabled else trace,
        seconds=time.perf_counter() - began,
    )


def _deeper(search: Search, query: Query, hits: Sequence[Hit], depth: int) -> Sequence[Hit]:
    """More hits of the search where no stage after it asks for them, so that also what is not shown has its rank."""
    section = search.config.retrieval
    if section.rerankers or section.rewriters or not isinstance(search.retriever, Pipeline):
        return hits
    _, retrievals = next(search.retriever.stages([query], max(depth, section.k)))
    more = retrievals[0].hits
    # Fetched wider a search can order its hits otherwise: then what it does in an answer counts.
    return more if [hit.chunk.id for hit in more[: len(hits)]] == [hit.chunk.id for hit in hits] else hits


def _rows(columns: Sequence[tuple[str, Sequence[Hit]]], *, scores: bool) -> tuple[StageRow, ...]:
    chunks: dict[str, Chunk] = {}
    cells: dict[str, list[StageCell | None]] = {}
    for number, (_, hits) in enumerate(columns):
        for rank, hit in enumerate(hits, 1):
            chunks.setdefault(hit.chunk.id, hit.chunk)
            row = cells.setdefault(hit.chunk.id, [None] * len(columns))
            row[number] = StageCell(rank=rank, score=hit.score if scores else None)

    def place(name: str) -> tuple[tuple[bool, int], ...]:
        # the last stage decides; of what it does not have, the one before it
        return tuple((cell is None, cell.rank if cell else 0) for cell in reversed(cells[name]))

    return tuple(StageRow(chunk=chunks[name], cells=tuple(cells[name])) for name in sorted(cells, key=place))
