"""The shards of a race: whole groups of questions, in an order that is fixed before any answer. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain

from twofold.hashing import digest
from twofold.types import Example

SHARDS = 10
"""A race has at least about so many shards: with one batch a shard a study of two batches could stop only once."""
LEAST = 8
"""Questions of a shard, at least: smaller batches make answering slower than looking often saves."""


def shards(test: Sequence[Example], *, seed: int, batch: int) -> list[list[int]]:
    """Places of the questions of each shard, whole groups in the order of a hash, about a batch of questions each.

    Args:
        test: The questions.
        seed: [study].seed.
        batch: Answers made at a time.
    """
    places: dict[str, list[int]] = {}
    for place, example in enumerate(test):
        places.setdefault(example.group, []).append(place)
    order = order_of(places, seed=seed)
    size = size_of(len(test), batch=batch)
    out: list[list[int]] = [[]]
    for group in order:
        if len(out[-1]) >= size:
            out.append([])
        out[-1] += places[group]
    return out


def order_of(groups: Iterable[str], *, seed: int) -> list[str]:
    """The groups in the order of a race."""
    # By hash alone: an order by document, length or time would let the past tell of what is to come.
    return sorted(groups, key=lambda group: digest("race", [seed, group]))


def size_of(planned: int, *, batch: int) -> int:
    """Questions from which a shard is full, of a race over so many."""
    return max(LEAST, min(batch, math.ceil(planned / SHARDS)))


def groups_of(test: Sequence[Example], blocks: Sequence[Sequence[int]]) -> list[list[int]]:
    """Places of the questions of each group, in the order of these shards."""
    places: dict[str, list[int]] = {}
    for place in chain.from_iterable(blocks):
        places.setdefault(test[place].group, []).append(place)
    return list(places.values())
