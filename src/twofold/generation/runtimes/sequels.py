"""Which prompts go on where a finished sequence ended, as the later turns of a conversation do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_KEPT = 8192
"""Ends that are remembered: more than the prefix cache of a small model has blocks."""


class EndedSequences:
    """The last sequences that ended, prompt and answer, by a hash of their tokens.

    Two hashes that are equal by chance make a prompt wait for another's first token, and nothing worse.
    """

    def __init__(self) -> None:
        self._ends: dict[int, None] = {}  # in the order in which they ended

    def add(self, ids: Sequence[int]) -> None:
        """Remember a sequence that ended, with its last token and without: that one is in no cache yet."""
        hashes = list(_hashes(ids))
        for end in hashes[-2:]:
            self._ends.pop(end, None)
            self._ends[end] = None
        while len(self._ends) > _KEPT:
            del self._ends[next(iter(self._ends))]

    def within(self, ids: Sequence[int]) -> frozenset[int]:
        """The ended sequences that a prompt begins with."""
        return frozenset(number for number in _hashes(ids) if number in self._ends)


def _hashes(ids: Sequence[int]) -> Iterator[int]:
    """A hash of each beginning of the sequence, the shortest first."""
    number = 0
    for token in ids:
        number = hash((number, token))
        yield number
