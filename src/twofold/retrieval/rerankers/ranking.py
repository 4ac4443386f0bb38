"""The hits of a stage, ranked in their new order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twofold.types import Hit, Json, Retrieval


def reordered(retrieval: Retrieval, hits: Sequence[Hit], *notes: Json) -> Retrieval:
    """`retrieval` with these hits, ranked from 1 in their order, and the notes of the stage in the trace."""
    ranked = tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, 1))
    return replace(retrieval, hits=ranked, trace=(*retrieval.trace, *notes))
