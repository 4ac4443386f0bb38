"""Several rankings → one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from twofold.types import Hit

RRF_K = 60
"""Damping constant of Cormack et al. 2009."""
LEXICAL_WEIGHT = 0.5
"""Chosen on the open questions of nine data sets (docs/notebook.md): on none is the blend more than .004 nDCG@10 below
its better leg. Less is a little better where the embedder knows the language of the domain, and far worse where not."""


def fuse(
    rankings: Mapping[str, Sequence[Hit]], k: int, *, weights: Mapping[str, float] | None = None, rrf_k: int = RRF_K
) -> list[Hit]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009): score = Σ weight / (rrf_k + rank).

    Args:
        rankings: Hits of each leg, by the leg's name, best first.
        k: Hits returned.
        weights: Weight of each leg, 1 where not named; a leg of weight 0 adds no hits.
        rrf_k: Damping; smaller trusts the first ranks more.

    Returns:
        At most `k` hits, ranks from 1, with their rank in each leg; ties go by chunk id.
    """
    scores: dict[str, float] = {}
    legs: dict[str, dict[str, int]] = {}
    seen: dict[str, Hit] = {}
    for leg, hits in sorted(rankings.items()):
        weight = 1.0 if weights is None else weights.get(leg, 1.0)
        if weight <= 0:
            continue
        for rank, hit in enumerate(hits, 1):
            name = hit.chunk.id
            seen.setdefault(name, hit)
            scores[name] = scores.get(name, 0.0) + weight / (rrf_k + rank)
            legs.setdefault(name, {})[leg] = rank
    best = sorted(scores, key=lambda name: (-round(scores[name], 12), name))[:k]
    return [
        replace(seen[name], score=scores[name], rank=rank, legs=dict(legs[name])) for rank, name in enumerate(best, 1)
    ]


def blend(dense: Sequence[Hit], lexical: Sequence[Hit], k: int, *, lexical_weight: float = LEXICAL_WEIGHT) -> list[Hit]:
    """Convex score fusion (Bruch, Gai & Ingber, TOIS 2023): cosine + weight · BM25 / (the query's best BM25).

    Unlike ranks, scores tell how sure a leg is. A hit that the dense leg did not return counts with the least cosine
    it did return; one that the lexical leg did not return counts 0 there.

    Args:
        dense: Hits by cosine (their scores are cosines), best first.
        lexical: Hits by BM25, best first.
        k: Hits returned.
        lexical_weight: What the best lexical match is worth, in cosine.

    Returns:
        As `fuse`.
    """
    found = {"dense": {hit.chunk.id: hit for hit in dense}, "lexical": {hit.chunk.id: hit for hit in lexical}}
    near, words = found["dense"], found["lexical"]
    floor = min((hit.score for hit in dense), default=0.0)
    worth = lexical_weight / max(*(hit.score for hit in lexical), 1e-9) if lexical else 0.0
    scores = {name: (near[name].score if name in near else floor) for name in {**near, **words}}
    for name, hit in words.items():
        scores[name] += worth * hit.score
    ranks = {leg: {name: rank for rank, name in enumerate(own, 1)} for leg, own in found.items()}
    best = sorted(scores, key=lambda name: (-round(scores[name], 6), name))[:k]
    return [
        Hit(
            chunk=(near.get(name) or words[name]).chunk,
            score=scores[name],
            rank=rank,
            legs={leg: own[name] for leg, own in ranks.items() if name in own},
        )
        for rank, name in enumerate(best, 1)
    ]


def distinct(hits: Sequence[Hit], k: int) -> list[Hit]:
    """The first `k` hits with different texts (white space apart), ranked anew."""
    kept: dict[str, Hit] = {}
    for hit in hits:
        kept.setdefault(" ".join(hit.chunk.text.split()), hit)
        if len(kept) == k:
            break
    return [replace(hit, rank=rank) for rank, hit in enumerate(list(kept.values())[:k], 1)]


def fetch_size(k: int) -> int:
    """Hits taken from each leg so that `k` fused ones are sound."""
    return max(4 * k, 50)
