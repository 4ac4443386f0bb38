"""Groups drawn at random for the bootstrap: signs of groups, and how often each is drawn. Pure.

A verdict asks for the same draws for every family of contrasts, and a forecast does so for every world it tries: they
are kept for the next to ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CELLS = 1 << 22
"""Floats at once: 32 MiB."""
_CACHED = 1 << 20
"""Floats of draws that are kept, 8 MiB: of 200 groups those of the 5,000 draws of a study."""


def signs(groups: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Blocks of 1 and -1, shape (draws, groups), `resamples` draws in all; nobody may change them."""
    if resamples * groups <= _CACHED:
        return iter(_same_signs(groups, resamples, seed))
    return _signs(groups, resamples, seed)


def times(groups: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Blocks of how often each group is drawn with replacement, shape (draws, groups); nobody may change them."""
    if resamples * groups <= _CACHED:
        return iter(_same_times(groups, resamples, seed))
    return _times(groups, resamples, seed)


def quantile(draws: Array, level: float) -> Array:
    """`numpy.quantile` of every column by the method "higher", in a third of its time: draws are few and often asked.

    Args:
        draws: Shape (draws,) or (draws, columns).
        level: Between 0 and 1.
    """
    place = int(np.ceil((len(draws) - 1) * level))
    # NaN stands last: where there is one, no order says anything.
    ordered = np.partition(draws, [place, len(draws) - 1], axis=0)
    return np.asarray(np.where(np.isnan(ordered[-1]), np.nan, ordered[place]))


@lru_cache(maxsize=2)
def _same_signs(groups: int, resamples: int, seed: int) -> tuple[Array, ...]:
    return tuple(_signs(groups, resamples, seed))


@lru_cache(maxsize=2)
def _same_times(groups: int, resamples: int, seed: int) -> tuple[Array, ...]:
    return tuple(_times(groups, resamples, seed))


def _blocks(groups: int, resamples: int) -> Iterator[int]:
    """Numbers of draws that memory bears at once."""
    step = max(1, min(resamples, _CELLS // max(1, groups)))
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def _signs(groups: int, resamples: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for many in _blocks(groups, resamples):
        block = rng.integers(0, 2, (many, groups), dtype=np.int8).astype(float) * 2 - 1
        block.flags.writeable = False
        yield block


def _times(groups: int, resamples: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for many in _blocks(groups, resamples):
        places = rng.integers(0, groups, (many, groups)) + np.arange(many)[:, None] * groups
        block = np.bincount(places.reshape(-1), minlength=many * groups).reshape(many, groups).astype(float)
        block.flags.writeable = False
        yield block
