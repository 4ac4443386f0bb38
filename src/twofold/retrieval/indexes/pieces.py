"""Rows in memory as a few immutable pieces: a change of the rows touches only the smallest pieces. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FACTOR = 8
"""Each piece has at least so many times the rows of the next one."""
_DIGITS = 6
"""Decimals of a score that count: smaller differences are rounding, and the chunk id decides."""
LEAST = 0.5 * 10**-_DIGITS
"""Smallest word score that is a match; smaller ones round to 0."""


def settled(pieces: Sequence[NDArray[np.bool_]]) -> int:
    """The number of first pieces that can stay as they are; the caller joins the others into one.

    A row is copied about `_FACTOR` times for each `_FACTOR`-fold growth, and there are few pieces to search.

    Args:
        pieces: Mask of the rows that still live, for each piece, the newest piece last.
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
    """The `k` best of these rows with their scores; rows with equal scores by name.

    Args:
        rows: Row numbers.
        scores: The rows' scores.
        k: Number of rows to return.
        names: Returns the names of rows; called only for rows that may be among the best.
    """
    scores = np.round(scores, _DIGITS)
    # with all rows that tie with the k-th: their names decide which of them count
    if len(rows) > k:
        near = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        rows, scores = rows[near], scores[near]
    ranked = zip((-scores).tolist(), names(rows), rows.tolist(), strict=True)
    return [(row, -score) for score, _, row in sorted(ranked)[:k]]
