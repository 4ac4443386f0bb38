"""Several rankings → one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from twofold.retrieval.analysis import searched_text, terms
from twofold.types import Chunk, Hit

RRF_K = 60
"""Damping constant of Cormack et al. 2009."""
LEXICAL_WEIGHT = 0.5
"""Worth of a passage with all words of the question, in cosine: chosen on open data sets (docs/notebook.md)."""
LEXICAL_ALONE = 2.0
"""The same where the embedder knows none of the question's words: more than cosines differ, so that words decide."""
_BLIND_FROM = 0.25
"""Share of a question's letters unknown to the embedder from which its cosines say nothing."""


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
    # rounded: sums in another order are the same score, and the tie goes by id
    best = sorted(scores, key=lambda name: (-round(scores[name], 12), name))[:k]
    fused: list[Hit] = []
    for rank, name in enumerate(best, 1):
        fused.append(replace(seen[name], score=scores[name], rank=rank, legs=dict(legs[name])))
    return fused


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
    near = {hit.chunk.id: hit for hit in dense}
    words = {hit.chunk.id: hit for hit in lexical}
    # a passage that words alone found is at most as near as the last one of the dense list
    floor = min((hit.score for hit in dense), default=0.0)
    worth = lexical_weight / max(*(hit.score for hit in lexical), 1e-9) if lexical else 0.0
    scores = {name: (near[name].score if name in near else floor) for name in {**near, **words}}
    for name, hit in words.items():
        scores[name] += worth * hit.score
    legs: dict[str, dict[str, int]] = {name: {} for name in scores}
    for leg, found_hits in (("dense", near), ("lexical", words)):
        for rank, name in enumerate(found_hits, 1):
            legs[name][leg] = rank
    # rounded: a cosine worked out in another order is the same score, and the tie goes by id
    best = sorted(scores, key=lambda name: (-round(scores[name], 6), name))[:k]
    blended: list[Hit] = []
    for rank, name in enumerate(best, 1):
        blended.append(Hit(chunk=(near.get(name) or words[name]).chunk, score=scores[name], rank=rank, legs=legs[name]))
    return blended


def word_weight(weight: float, *, covered: float, unknown: float) -> float:
    """The worth of the best match by words for one question, in cosine.

    BM25 scaled by the query's best says nothing of how good the best is. The share of the question's terms that it
    holds does: with few of them it is a match by chance, and meaning decides. The root of the share held on more sets
    than the share itself or its square (docs/notebook.md). It fails where the embedder cannot read the question, since
    the dense leg is then by chance as well: there words decide, whatever they cover.

    Args:
        weight: For a passage with all terms of the question; with 0 the dense leg is alone.
        covered: Share of the question's terms that the best passage by words holds, in [0, 1].
        unknown: Share of the question's letters that the embedder does not know, in [0, 1].
    """
    if weight <= 0:
        return 0.0
    known = max(0.0, 1 - unknown / _BLIND_FROM)
    return weight * math.sqrt(covered) * known + max(weight, LEXICAL_ALONE) * (1 - known)


def covered(question: str, best: Chunk) -> float:
    """Share of the question's different terms that a passage holds; 0 where there are none."""
    question_terms = _different_terms(question)
    if not question_terms:
        return 0.0
    return len(question_terms & _different_terms(searched_text(best))) / len(question_terms)


# A weight of the words is chosen by asking each question with nine weights: its terms and those of its best passage are
# looked for nine times, a seventh of what the choice takes.
@lru_cache(maxsize=1024)
def _different_terms(text: str) -> frozenset[str]:
    return frozenset(terms(text))


def distinct(hits: Sequence[Hit], k: int) -> list[Hit]:
    """The first `k` hits with different texts (white space apart), ranked anew."""
    by_text: dict[str, Hit] = {}
    for hit in hits:
        by_text.setdefault(" ".join(hit.chunk.text.split()), hit)
        if len(by_text) == k:
            break
    numbered = enumerate(list(by_text.values())[:k], 1)
    # Most hits have their rank already, and a copy of each is dear.
    return [hit if hit.rank == rank else replace(hit, rank=rank) for rank, hit in numbered]


def fetch_size(k: int) -> int:
    """Hits taken from each leg so that `k` fused ones are sound."""
    return max(4 * k, 50)
