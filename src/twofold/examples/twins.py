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
from functools import lru_cache
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

    texts = [" ".join(document.text.split()) for document in ordered]
    marks = np.zeros((len(ordered), _BANDS * _ROWS), dtype=np.uint64)
    for number, text in enumerate(texts):
        if text:
            marks[number] = _minima(_sketch(text))
    alike = _Bands(marks, np.array([bool(text) for text in texts]))
    # Of the few that resemble another one, not of a million that do not.
    sketch = lru_cache(maxsize=1 << 14)(lambda number: _sketch(texts[number]))
    numbers = lru_cache(maxsize=1 << 14)(lambda number: Counter(_NUMBERS.findall(texts[number])))
    for number, document in enumerate(ordered):
        name = document.id
        near = alike.before(number)
        for place in near[(marks[near] == marks[number]).mean(axis=1) >= _LIKELY].tolist():
            other = ordered[place].id
            if find(other) == find(name) or _shared(numbers(number), numbers(place)) < NEAR:
                continue  # the cheap questions first: sheets of one template differ in their numbers
            if _similarity(sketch(number), sketch(place)) >= NEAR:
                # The first by name stands for all, whatever the order in which copies are met.
                low, high = sorted((find(other), find(name)))
                first[high] = low
    return {name: find(name) for name in first}


class _Bands:
    """Which texts have a band of least hashes in common: per band the texts in the order of its hash.

    Arrays, since a million texts have 32 million bands: a dictionary of them takes 8 GiB, these .4.
    """

    def __init__(self, marks: NDArray[np.uint64], counts: NDArray[np.bool_]) -> None:
        """Sort the bands.

        Args:
            marks: Least hashes, (texts, bands × rows).
            counts: Which texts are compared, (texts,).
        """
        self._near: list[tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]] = []
        some = np.flatnonzero(counts).astype(np.uint32)
        crowded = np.zeros(len(marks), dtype=bool)
        for band in range(_BANDS):
            rows = marks[some, band * _ROWS : (band + 1) * _ROWS]
            # Sorted by all its rows at once, as bytes: no two bands are taken for one.
            order = np.argsort(np.ascontiguousarray(rows).view(f"V{8 * _ROWS}").ravel(), kind="stable")
            new = np.ones(len(some), dtype=bool)
            new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
            starts = np.flatnonzero(new)
            sizes = np.diff(np.append(starts, len(some)))
            crowded[some[order[np.repeat(sizes > 1, sizes)]]] = True
            start = np.zeros(len(marks), dtype=np.uint32)
            start[some[order]] = np.repeat(starts, sizes)
            rank = np.zeros(len(marks), dtype=np.uint32)
            rank[some[order]] = np.arange(len(some))
            self._near.append((some[order], start, rank))
        self._crowded = crowded

    def before(self, number: int) -> NDArray[np.int64]:
        """The texts before this one that have a band in common with it, in their order."""
        if not self._crowded[number]:
            return np.zeros(0, dtype=np.int64)
        # The sorting is stable: of a band's texts those before this one stand from the band's start to its own rank.
        return np.unique(
            np.concatenate([order[start[number] : rank[number]] for order, start, rank in self._near])
        ).astype(np.int64)


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
    # Computed again in each pass: the runs of a million texts take some GiB, and few texts are looked at twice.
    runs = lru_cache(maxsize=1 << 12)(lambda name: _runs(texts[name]))
    known, often = _repeated(map(runs, names))
    rarest: dict[str, NDArray[np.uint64]] = {}
    for name in names:
        mine = runs(name)
        places, again = _places(mine, known)
        counts = often[places[again]]
        shared = mine[again][counts <= _COMMON]
        # Else too much of it stands nowhere else. A text of one character over and over may have no run that is kept.
        if len(mine) and again.mean() >= NEAR and len(shared):
            rarest[name] = shared[np.argsort(counts[counts <= _COMMON], kind="stable")][:_RARE]
    looked_for = np.unique(np.concatenate([*rarest.values(), np.zeros(0, dtype=np.uint64)]))
    owners: defaultdict[int, list[str]] = defaultdict(list)
    for name in names if rarest else ():
        for run in runs(name)[_places(runs(name), looked_for)[1]].tolist():
            owners[run].append(name)
    numbers = lru_cache(maxsize=1 << 12)(lambda name: Counter(_NUMBERS.findall(texts[name])))
    longer: dict[str, tuple[str, ...]] = {}
    for name, few in rarest.items():
        seen = Counter(chain.from_iterable(owners[run] for run in few.tolist()))
        holding = tuple(
            other
            for other, count in sorted(seen.items())
            if other != name
            and count >= _LIKELY * len(few)
            and NEAR * len(texts[other]) > len(texts[name])
            and _contained(runs(name), runs(other)) >= NEAR
            and _within(numbers(name), numbers(other))
        )
        if holding:
            longer[name] = holding
    return longer


def _repeated(sets: Iterable[NDArray[np.uint64]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hashes that are in more than one of these sets, sorted, and in how many; of unlike texts they are few."""
    buffer = bytearray()  # grows in its place, where a list of arrays and their concatenation would take twice the room
    for hashes in sets:
        buffer += hashes.tobytes()
    everything = np.frombuffer(buffer, dtype=np.uint64)
    everything.sort()
    known, counts = np.unique(everything[1:][everything[1:] == everything[:-1]], return_counts=True)
    return known, counts + 1


def _places(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each hash stands among the known, which are sorted, and whether it does."""
    if not len(known):
        return np.zeros(len(hashes), dtype=np.int64), np.zeros(len(hashes), dtype=bool)
    # A hash above all others would have its place behind the last.
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return places, known[places] == hashes


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
    return float(_places(mine, others)[1].mean())


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
