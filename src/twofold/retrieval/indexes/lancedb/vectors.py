"""Unit vectors held in memory, and the nearest of them. Pure (numpy only)."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_PLAIN = 8192
"""Up to so many rows every one is compared in full."""
_FIRST, _SECOND = 80, 112
"""Principal axes of the first bound, for all rows, and of the second, for rows still possible. With 48 first axes the
search fell back to comparing everything (docs/notebook.md)."""
_SAMPLE = 4096
"""Rows from which the axes are computed."""
_REST = 0.5
"""Assumption: the rests of two vectors, without their leading axes, have at most this cosine."""
_SHARE = 8
"""From one row in so many that must be compared, all rows are: reading memory in order is that much faster."""


class Vectors:
    """Rows of length 1. Never changed; may be used from several threads.

    A large set is searched in three steps. A row's coordinates on the set's leading principal axes, with the length of
    what they leave of it, bound its cosine with the query from above, if the two rests have a cosine of at most
    `_REST`. The rows with the highest bounds are compared in full; those whose bound reaches the k-th best cosine found
    are looked at on more axes, and compared in full if their new bound still does. No row for which the assumption
    holds is missed, whatever the filter; where vectors do not lie near few axes, most rows are compared.

    Args:
        matrix: float32 of shape (rows, dimension).
    """

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self.matrix = matrix

    def nearest(
        self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Rows among which the `k` nearest allowed ones are, and their cosines with `vector`."""
        allowed_rows = None if allowed is None else np.flatnonzero(allowed)
        count = len(self.matrix) if allowed_rows is None else len(allowed_rows)
        if count <= max(_PLAIN, 8 * k) or self.matrix.shape[1] < 2 * (_FIRST + _SECOND):
            return self._compared(vector, allowed_rows)
        axes, first, second = self._sketch
        seen = axes @ vector  # (axes,): the query's coordinates
        known = first.coordinates @ seen[:_FIRST]
        # bound: (rows,), from above, on the first axes; in place, for it is as long as the set
        bound = first.rest * np.float32(_REST * _left(seen[:_FIRST]))
        bound += known
        if allowed is not None:
            bound[~allowed] = -2  # below any cosine
        high = _high(bound, 4 * k)
        if high < -1:
            return self._compared(vector, allowed_rows)
        near = self.matrix.take(np.flatnonzero(bound >= high), axis=0) @ vector
        floor = np.partition(near, len(near) - k)[len(near) - k] if len(near) > k else np.float32(-1)
        rows = np.flatnonzero(bound >= min(floor, high))
        if len(rows) * 2 > len(bound):
            return self._compared(vector, allowed_rows)
        # those compared above stay whatever their second bound: their cosines made `floor`
        compared = bound[rows] >= high
        bound = second.coordinates.take(rows, axis=0) @ seen[_FIRST:]
        bound += known[rows]
        bound += second.rest[rows] * np.float32(_REST * _left(seen))
        return self._compared(vector, rows[(bound >= floor) | compared])

    def _compared(
        self, vector: NDArray[np.float32], rows: NDArray[Any] | None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        if rows is None:
            return np.arange(len(self.matrix)), self.matrix @ vector
        if len(rows) * _SHARE > len(self.matrix):
            return rows, (self.matrix @ vector)[rows]
        return rows, self.matrix.take(rows, axis=0) @ vector

    @cached_property
    def _sketch(self) -> tuple[NDArray[np.float32], _Sketch, _Sketch]:
        """The axes, and what is known of every row on the first of them, and on the others and all of them."""
        some = self.matrix[:: max(1, len(self.matrix) // _SAMPLE)]
        # eigh gives the axes in ascending order, as columns
        axes = np.ascontiguousarray(np.linalg.eigh(some.T @ some)[1][:, ::-1][:, : _FIRST + _SECOND].T)
        first = self.matrix @ axes[:_FIRST].T
        second = np.empty((len(first), _SECOND), dtype=np.float32)
        left = 1 - np.einsum("ij,ij->i", first, first)  # the rows have length 1
        rest = np.sqrt(np.maximum(left, 0))
        for start in range(0, len(first), _PLAIN):  # in pieces: the products need no second copy of the set
            part = self.matrix[start : start + _PLAIN] @ axes[_FIRST:].T
            second[start : start + _PLAIN] = part
            left[start : start + _PLAIN] -= np.einsum("ij,ij->i", part, part)
        return axes, _Sketch(first, rest), _Sketch(second, np.sqrt(np.maximum(left, 0)))


class _Sketch(NamedTuple):
    coordinates: NDArray[Any]
    rest: NDArray[np.float32]
    """Length of what the axes leave of each row."""


def _left(seen: NDArray[np.float32]) -> float:
    return float(np.sqrt(max(0.0, 1.0 - float(seen @ seen))))


def _high(values: NDArray[np.float32], count: int) -> np.float32:
    """Some value that about `count` of `values` reach, found among the maxima of many groups."""
    groups = max(1, min(len(values) // 2, 2 * count))
    tops = values[: len(values) // groups * groups].reshape(-1, groups).max(axis=0)
    reached: np.float32 = np.partition(tops, len(tops) - min(count, len(tops)))[len(tops) - min(count, len(tops))]
    return reached
