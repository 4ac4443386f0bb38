"""The same document under two ids: texts that are equal or nearly so. Pure.

A text is stood for by the smallest hashes of its character 5-grams (bottom-k sketches, Broder 1997), so that a
corpus of unlike texts is compared at the price of reading it once. Texts filled in from one template are compared pair
by pair: by their numbers (800 sheets: a second), and by their sketches only where these agree (half a minute). The
Jaccard similarity that two sketches of 256 hashes show is right to ± .05 (two standard errors) at .8.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from twofold.examples.near_duplicates import NEAR
from twofold.types import Document

VERSION = 1
"""Raised when other documents are found to be the same."""
_SIZE = 256
_BANDS, _ROWS = 32, 4
"""Two texts are compared where a band of least hashes is equal (`near`): missed at .8 with probability below 10^-6."""
_LIKELY = 0.6
"""Share of equal minima below which two texts are not compared: over four standard errors under `NEAR`."""
_FACTORS = np.random.default_rng(20210).integers(1, 1 << 62, 128, dtype=np.uint64) * np.uint64(4) + np.uint64(1)
_GRAM = 5
_NUMBERS = re.compile(r"\d+")


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
        name, text = document.id, " ".join(document.text.split())
        if not text:
            continue
        mine = sketches[name] = _sketch(text)  # (at most 256,) sorted hashes
        numbers[name] = Counter(_NUMBERS.findall(text))
        marks[number] = _minima(mine)
        keys = [bytes([band]) + row.tobytes() for band, row in enumerate(marks[number].reshape(_BANDS, _ROWS))]
        near = np.array(sorted({other for key in keys for other in buckets[key]}), dtype=np.int64)
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
    """What of `same_documents` is worth keeping: the documents that are a copy of another."""
    return {name: first for name, first in same.items() if name != first}


def _minima(sketch: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The least of a sketch's hashes under each of 128 multiplications."""
    least: NDArray[np.uint64] = (sketch[:, None] * _FACTORS).min(axis=0)  # (128,); odd factors permute all hashes
    return least


def _sketch(text: str) -> NDArray[np.uint64]:
    """The smallest hashes of a text's character 5-grams, sorted."""
    points = np.frombuffer(text.casefold().encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = max(1, len(points) - _GRAM + 1)
    mixed = np.zeros(count, dtype=np.uint64)
    for place in range(min(_GRAM, len(points))):
        mixed = (mixed + points[place : place + count]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.unique(mixed)[:_SIZE]


def _similarity(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    least = np.union1d(first, second)[:_SIZE]
    return float((np.isin(least, first) & np.isin(least, second)).mean())


def _shared(first: Counter[str], second: Counter[str]) -> float:
    union = (first | second).total()
    return (first & second).total() / union if union else 1.0
