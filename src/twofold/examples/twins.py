"""The same document under two ids, and a document that stands whole in another one. Pure.

A text is stood for by the smallest hashes of its character 5-grams (bottom-k sketches, Broder 1997), so that a
corpus of unlike texts is compared at the price of reading it once. Texts filled in from one template are compared pair
by pair: by their numbers (800 sheets: a second), and by their sketches only where these agree (half a minute). The
Jaccard similarity that two sketches of 256 hashes show is right to ± .05 (two standard errors) at .8.

A chapter and the book that holds it are no copies of one another. Containment is read off a fixed share of the hashes
of longer runs (FracMinHash, Irber et al. 2022), which a text keeps wherever it stands.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from twofold.examples.near_duplicates import NEAR
from twofold.types import Document

VERSION = 2
"""Raised when other documents are found to be the same, or to hold others."""
_SIZE = 256
"""Hashes kept of a text (bottom-k sketch): the standard error of a similarity near .8 is .025."""
_BANDS, _ROWS = 32, 4
"""Two texts are compared where a band of least hashes is equal (`near`): missed at .8 with probability below 10^-6."""
_LIKELY = 0.6
"""Share of equal minima below which two texts are not compared: over four standard errors under `NEAR`."""
# Odd, so that multiplication modulo 2^64 permutes all hashes; seeded, as sketches are compared across runs.
_FACTORS = np.random.default_rng(20210).integers(1, 1 << 62, 128, dtype=np.uint64) * np.uint64(4) + np.uint64(1)
_GRAM = 5
"""Characters of a gram, as in `near_duplicates`."""
_NUMBERS = re.compile(r"\d+")
_RUN = 16
"""Characters of a run of which a text and another one that holds it are compared."""
_KEPT = np.uint64(4)
"""The share of runs that is kept: one in so many."""
_LEAST = 80
"""Characters from which a text is looked for in others: shorter ones stand there by chance."""
_RARE = 8
"""Runs of a text, its rarest, that say which documents may hold it."""
_COMMON = 200
"""Documents that share a run beyond which it stands for none of them."""


def compared(documents: Sequence[Document]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """What `same_documents` and `holders` find."""
    same = same_documents(documents)
    return same, holders(documents, same)


def same_documents(documents: Iterable[Document]) -> dict[str, str]:
    """Document id → the first id, by name, of the documents that are the same text or nearly the same.

    Nearly the same is a similarity of at least `NEAR` with at least that share of numbers in common: sheets filled in
    from one template with other figures are not the same document.
    """
    ordered = sorted(documents, key=lambda document: document.id)
    first = {document.id: document.id for document in ordered}

    def find(name: str) -> str:
        while first[name] != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    sketches: dict[str, NDArray[np.uint64]] = {}
    numbers: dict[str, Counter[str]] = {}
    buckets: defaultdict[bytes, list[int]] = defaultdict(list)
    marks = np.zeros((len(ordered), _BANDS * _ROWS), dtype=np.uint64)
    for number, document in enumerate(ordered):
        name = document.id
        text = " ".join(document.text.split())
        if not text:
            continue
        mine = sketches[name] = _sketch(text)  # (at most 256,) sorted hashes
        numbers[name] = Counter(_NUMBERS.findall(text))
        marks[number] = _minima(mine)
        keys = [bytes([band]) + row.tobytes() for band, row in enumerate(marks[number].reshape(_BANDS, _ROWS))]
        near = np.array(sorted(set(chain.from_iterable(buckets[key] for key in keys))), dtype=np.int64)
        for place in near[(marks[near] == marks[number]).mean(axis=1) >= _LIKELY].tolist():
            other = ordered[place].id
            if find(other) == find(name) or _shared(numbers[name], numbers[other]) < NEAR:
                continue  # the cheap questions first: sheets of one template differ in their numbers
            if _similarity(mine, sketches[other]) >= NEAR:
                # The first by name stands for all, whatever the order in which copies are met.
                low, high = sorted((find(other), find(name)))
                first[high] = low
        for key in keys:
            buckets[key].append(number)
    return {name: find(name) for name in first}


def copies(same: Mapping[str, str]) -> dict[str, str]:
    """The part of `same_documents` worth storing: the documents that are a copy of another."""
    return {name: first for name, first in same.items() if name != first}


def holders(documents: Iterable[Document], same: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Document id → ids of the longer documents in which its text stands, all of it or nearly; others are left out.

    Nearly all is a share of `NEAR` of its runs and of its numbers; a text of nearly its length is a copy, or none. A
    text that stands in more than `_COMMON` documents is a form that they share, and held by none.

    Args:
        documents: All of them.
        same: What `same_documents` gives: of copies only the first is looked at, and named.
    """
    texts = {one.id: " ".join(one.text.split()) for one in documents if same.get(one.id, one.id) == one.id}
    names = sorted(name for name, text in texts.items() if len(text) >= _LEAST)
    runs = [_runs(texts[name]) for name in names]
    numbers = [Counter(_NUMBERS.findall(texts[name])) for name in names]
    everything = np.concatenate(runs) if runs else np.zeros(0, dtype=np.uint64)
    order = np.argsort(everything, kind="stable")
    owners = np.repeat(np.arange(len(names)), [len(mine) for mine in runs])[order]
    known, starts, often = np.unique(everything[order], return_index=True, return_counts=True)
    longer: dict[str, tuple[str, ...]] = {}
    for number, mine in enumerate(runs):
        if not len(mine):
            continue  # a text of one character over and over may have no run that is kept
        places = np.searchsorted(known, mine)  # (runs of this text,)
        shared = places[(often[places] > 1) & (often[places] <= _COMMON)]
        if (often[places] > 1).mean() < NEAR or not len(shared):
            continue  # too much of it stands nowhere else
        rarest = shared[np.argsort(often[shared], kind="stable")][:_RARE]
        counts = Counter(np.concatenate([owners[starts[r] : starts[r] + often[r]] for r in rarest]).tolist())
        holding = []
        for other, count in sorted(counts.items()):
            if (
                other != number
                and count >= _LIKELY * len(rarest)
                and NEAR * len(texts[names[other]]) > len(texts[names[number]])
                and _contained(mine, runs[other]) >= NEAR
                and _within(numbers[number], numbers[other])
            ):
                holding.append(names[other])
        if holding:
            longer[names[number]] = tuple(holding)
    return longer


def _runs(text: str) -> NDArray[np.uint64]:
    """Hashes of one in `_KEPT` of the runs of `_RUN` characters of a text, sorted, each once."""
    points = np.frombuffer(text.casefold().encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    # From 1: a hash of 0 would stay 0 under multiplication.
    hashes, width = points + np.uint64(1), 1
    while width < _RUN:  # two runs side by side make one of twice the width
        # Multipliers of splitmix64 and xxHash, which spread near hashes apart.
        hashes = (hashes[:-width] * np.uint64(0x9E3779B97F4A7C15)) ^ (hashes[width:] * np.uint64(0xC2B2AE3D27D4EB4F))
        hashes ^= hashes >> np.uint64(29)
        width *= 2
    hashes = hashes * np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    return np.unique(hashes[hashes % _KEPT == 0])


def _contained(mine: NDArray[np.uint64], others: NDArray[np.uint64]) -> float:
    """Share of sorted hashes that are among other sorted ones; the time hardly grows with how many these are."""
    # A hash above all others would have its place behind the last.
    places = np.minimum(np.searchsorted(others, mine), len(others) - 1)
    return float((others[places] == mine).mean())


def _within(mine: Counter[str], others: Counter[str]) -> bool:
    """Are these numbers among the others, but for a few?"""
    shared = sum(min(count, others[one]) for one, count in mine.items())
    return shared >= NEAR * mine.total()


def _minima(sketch: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The least of a sketch's hashes under each of 128 multiplications."""
    least: NDArray[np.uint64] = (sketch[:, None] * _FACTORS).min(axis=0)  # (128,); odd factors permute all hashes
    return least


def _sketch(text: str) -> NDArray[np.uint64]:
    """The smallest hashes of a text's character 5-grams, sorted."""
    points = np.frombuffer(text.casefold().encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = max(1, len(points) - _GRAM + 1)
    mixed = np.zeros(count, dtype=np.uint64)
    # All grams at once: each character is mixed into the hash of every gram that holds it at this place.
    for place in range(min(_GRAM, len(points))):
        mixed = (mixed + points[place : place + count]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.unique(mixed)[:_SIZE]


def _similarity(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    # The least of both are the sketch of the union; beyond it one side knows too little.
    least = np.union1d(first, second)[:_SIZE]
    return float((np.isin(least, first) & np.isin(least, second)).mean())


def _shared(first: Counter[str], second: Counter[str]) -> float:
    union = (first | second).total()
    return (first & second).total() / union if union else 1.0
