"""Near copies among texts: MinHash finds candidates, every one is checked exactly. Pure.

Candidates come from signatures of 128 minima in 32 bands of 4 (Broder 1997; Leskovec, Rajaraman & Ullman, ch. 3). A
pair at similarity .8 shares no band with probability (1 - .8^4)^32 < 10^-7; what is found is compared set by set, so
nothing is reported that is not near.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

NEAR = 0.8
"""Jaccard similarity of character 5-grams from which two texts count as near copies."""
_BANDS, _ROWS = 32, 4
_PRIME = (1 << 31) - 1
"""Modulus of the permutations: a Mersenne prime, so that products of two residues fit into 64 bits."""
_LIKELY = 0.62
"""Share of equal minima below which a pair is not compared: five standard deviations under `NEAR`."""


class NearTexts:
    """Texts that can be asked which of those taken in so far are near copies of another one.

    Args:
        texts: All texts that will be added or asked for, as `leaking.bare` makes them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._grams = [grams(text) for text in texts]
        self._marks = _signatures(self._grams)
        self._buckets: defaultdict[bytes, list[int]] = defaultdict(list)

    def add(self, number: int) -> None:
        """Take in the text of that number."""
        for band in self._bands(number):
            self._buckets[band].append(number)

    def near(self, number: int) -> list[int]:
        """Numbers taken in whose texts have a similarity of at least `NEAR` to this one, in order."""
        candidates = set(chain.from_iterable(self._buckets.get(band, ()) for band in self._bands(number))) - {number}
        if not candidates:
            return []
        others = np.array(sorted(candidates))
        # Estimated from the minima first: comparing sets gram by gram is what takes the time.
        likely = (self._marks[others] == self._marks[number]).mean(axis=1) >= _LIKELY
        # Rounding must not lose a pair at exactly `NEAR`.
        return [int(o) for o in others[likely] if self.similarity(number, int(o)) >= NEAR - 1e-9]

    def similarity(self, first: int, second: int) -> float:
        """Jaccard similarity of two texts' character 5-grams."""
        a, b = self._grams[first], self._grams[second]
        both = len(a & b)
        return both / (len(a) + len(b) - both)

    def _bands(self, number: int) -> Iterator[bytes]:
        minima = self._marks[number].tobytes()
        width = len(minima) // _BANDS
        for band in range(_BANDS):
            # With the band's number: equal minima meet in one and the same band only.
            yield band.to_bytes(1, "big") + minima[band * width : (band + 1) * width]


def grams(text: str) -> set[str]:
    """Character 5-grams; a shorter text is its own only one."""
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def _signatures(sets: Sequence[set[str]]) -> NDArray[np.uint32]:
    """(texts × 128) minima under random permutations, the same in every process."""
    chance = np.random.default_rng(20210)
    size = _BANDS * _ROWS
    factor = chance.integers(1, _PRIME, size, dtype=np.uint64)
    offset = chance.integers(0, _PRIME, size, dtype=np.uint64)
    numbers = _Numbers()
    out = np.empty((len(sets), size), dtype=np.uint32)
    for row, members in enumerate(sets):
        # (grams,) × (128,): a minimum under each permutation.
        values = np.fromiter(map(numbers.__getitem__, members), dtype=np.uint64, count=len(members))
        out[row] = ((values[:, None] * factor + offset) % _PRIME).min(axis=0)
    return out


class _Numbers(dict[str, int]):
    """The number of every gram that was asked for: most grams of a text stand in others too."""

    def __missing__(self, gram: str) -> int:
        # `hash` of a text differs from process to process.
        number = self[gram] = zlib.crc32(gram.encode("utf-8", "surrogatepass")) % _PRIME
        return number
