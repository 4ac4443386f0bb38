"""Rows held in memory as a few pieces, each never changed: a change of the rows touches the smallest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FACTOR = 8
"""Each piece has at least so many times the rows of the one after it."""
_DIGITS = 6
"""Of a score: what differs less is rounding, and goes by chunk id."""
LEAST = 0.5 * 10**-_DIGITS
"""A word score below this is none."""


def settled(pieces: Sequence[NDArray[np.bool_]]) -> int:
    """How many of the first pieces can stay as they are; the others are to be joined into one.

    A row is copied about `_FACTOR` times for each `_FACTOR`-fold growth, and there are few pieces to search.

    Args:
        pieces: Which rows of each piece still live, the newest piece last.
    """
    living = [int(mask.sum()) for mask in pieces]
    # a piece with more dead rows than living ones is written anew, and with it all after it
    wasted = (n for n, mask in enumerate(pieces) if 2 * living[n] < len(mask))
    stay, tail = len(pieces), 0
    while stay and (stay == len(pieces) or living[stay - 1] < _FACTOR * tail):
        stay -= 1
        tail += living[stay]
    first = next(wasted, len(pieces))
    # the last piece alone has nothing to be joined with
    return min(first, stay if stay < len(pieces) - 1 else len(pieces))


def best(
    rows: NDArray[Any], scores: NDArray[np.float32], k: int, *, names: Callable[[NDArray[Any]], Sequence[str]]
) -> list[tuple[int, float]]:
    """The `k` best of these rows with their scores, equal ones by name.

    Args:
        rows: Row numbers.
        scores: Score of each.
        k: How many.
        names: Names of rows; asked for those that may be among the best only.
    """
    scores = np.round(scores, _DIGITS)
    # with all that tie with the k-th: which of them count, their names decide
    if len(rows) > k:
        near = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        rows, scores = rows[near], scores[near]
    ranked = zip((-scores).tolist(), names(rows), rows.tolist(), strict=True)
    return [(row, -score) for score, _, row in sorted(ranked)[:k]]
