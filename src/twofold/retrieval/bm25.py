"""Exact BM25 over terms (`analysis`). Pure (numpy only)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
"""Saturation of term frequency (Lucene's and Lance's value)."""
B = 0.75
"""Weight of passage length (likewise)."""


class Words:
    """Which passages contain a term, and how often. Immutable.

    Args:
        codes: Term number of every token of every passage, one after the other.
        lengths: Tokens in each passage.
        vocabulary: Term → number.
    """

    __slots__ = ("_counts", "_owners", "_starts", "lengths", "vocabulary")

    def __init__(self, codes: NDArray[Any], lengths: NDArray[Any], vocabulary: Mapping[str, int]) -> None:
        size = max(len(lengths), 1)
        owners = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
        # one number for a term and a passage: sorted by it, the passages of a term stand together and in order
        pairs, counts = np.unique(codes.astype(np.int64) * size + owners, return_counts=True)
        term, owner = np.divmod(pairs, size)
        self._set(term, owner, counts, lengths=lengths, vocabulary=vocabulary)

    def _set(
        self,
        term: NDArray[Any],
        owners: NDArray[Any],
        counts: NDArray[Any],
        *,
        lengths: NDArray[Any],
        vocabulary: Mapping[str, int],
    ) -> None:
        self.vocabulary = vocabulary
        self.lengths = lengths.astype(np.float32)
        # (terms + 1,): where each term's passages begin
        self._starts = np.searchsorted(term, np.arange(len(vocabulary) + 1))
        self._owners = owners.astype(np.int32)
        self._counts = counts.astype(np.float32)

    @classmethod
    def of(cls, passages: Sequence[Sequence[str]]) -> Words:
        """From each passage's terms."""
        vocabulary: dict[str, int] = {}
        codes = [vocabulary.setdefault(term, len(vocabulary)) for term in chain.from_iterable(passages)]
        lengths = np.array([len(passage) for passage in passages], dtype=np.int64)
        return cls(np.array(codes, dtype=np.int64), lengths, vocabulary)

    @classmethod
    def joined(cls, parts: Sequence[tuple[Words, NDArray[np.bool_]]]) -> Words:
        """Join parts, each with a mask of the passages to keep, one part after the other."""
        vocabulary: dict[str, int] = {}
        postings: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        start = 0
        for words, living in parts:
            numbers = [vocabulary.setdefault(term, len(vocabulary)) for term in words.vocabulary]
            old_numbers = np.fromiter(words.vocabulary.values(), dtype=np.int64, count=len(numbers))
            renamed = np.empty(len(numbers), dtype=np.int64)
            renamed[old_numbers] = numbers
            here = living[words._owners]
            # number of each living passage in the joined part; those that do not live have none, and are not read
            place = np.cumsum(living) - 1 + start
            term = np.repeat(renamed, np.diff(words._starts))[here]
            postings.append((term, place[words._owners[here]], words._counts[here]))
            start += int(living.sum())
        term, owners, counts = (np.concatenate(column) for column in zip(*postings, strict=True))
        # stable: the passages of a term stay in order
        order = np.argsort(term, kind="stable")
        out = cls.__new__(cls)
        lengths = np.concatenate([words.lengths[living] for words, living in parts])
        out._set(term[order], owners[order], counts[order], lengths=lengths, vocabulary=vocabulary)
        return out

    def having(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The passages that contain a term, in order, and how often each contains it."""
        number = self.vocabulary.get(term)
        here = slice(0, 0) if number is None else slice(self._starts[number], self._starts[number + 1])
        return self._owners[here], self._counts[here]


class Bm25:
    """Okapi BM25 (Robertson et al. 1994; idf in Lucene's non-negative form) over passages held in memory.

    Weights are made when a query asks for them, so that adding or dropping passages costs nothing.

    Args:
        parts: Passages, and which of them count; the others score 0.
    """

    def __init__(self, parts: Sequence[tuple[Words, NDArray[np.bool_]]]) -> None:
        self._parts = [(words, None if living.all() else living) for words, living in parts]
        self._count = int(sum(living.sum() for _, living in parts))
        total = sum(float(words.lengths[living].sum(dtype=np.float64)) for words, living in parts)
        self._mean = max(total / max(self._count, 1), 1e-9)  # passages without a term: no division by zero
        self._sizes = [len(living) for _, living in parts]

    @classmethod
    def of(cls, passages: Sequence[Sequence[str]]) -> Bm25:
        """From each passage's terms."""
        return cls([(Words.of(passages), np.ones(len(passages), dtype=np.bool_))])

    def scores(self, query: Sequence[str]) -> NDArray[np.float32]:
        """One score per passage of every part, one part after the other; 0 where no term is shared."""
        out = np.zeros(sum(self._sizes), dtype=np.float32)
        for term, times in Counter(query).items():
            postings = [self._having(term, part) for part in range(len(self._parts))]
            holding = sum(len(owners) for owners, _ in postings)
            idf = math.log1p((self._count - holding + 0.5) / (holding + 0.5))
            start = 0
            for (owners, counts), (words, _), size in zip(postings, self._parts, self._sizes, strict=True):
                # counts · idf · (K1 + 1) / (counts + K1 · (1 − B + B · length / mean)), in place over one copy
                norm = words.lengths[owners]
                norm *= K1 * B / self._mean
                norm += K1 * (1 - B)
                norm += counts
                np.divide(counts, norm, out=norm)
                norm *= times * idf * (K1 + 1)
                out[start : start + size][owners] += norm
                start += size
        return out

    def _having(self, term: str, part: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        words, living = self._parts[part]
        owners, counts = words.having(term)
        if living is None or not len(owners):
            return owners, counts
        here = living[owners]
        return owners[here], counts[here]
