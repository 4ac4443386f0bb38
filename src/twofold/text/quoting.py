"""Does a text quote a document? By runs of the document's words that no other document has. Pure.

Runs are stored by their digests: what is looked for can lie in a file while a document is erased, and does not tell it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b

_WORD = re.compile(r"\w+")
WORDS = 8
"""A run of so many words that both have is a quote: common phrases are shorter."""
_SHORTEST = 3
"""A text of fewer words is quoted by nobody."""


class Quoted:
    """What is looked for of one document.

    Args:
        runs: As `runs` of another.
    """

    def __init__(self, runs: Iterable[str] = ()) -> None:
        self._of_length: dict[int, set[str]] = {}
        for run in runs:
            length, _, digest = run.partition(":")
            self._of_length.setdefault(int(length), set()).add(digest)

    @classmethod
    def of(cls, texts: Iterable[str], others: Iterable[str] = ()) -> Quoted:
        """What is looked for of a document with these texts (its chunks, or the whole of it).

        Args:
            texts: Of the document.
            others: Of all others: what they have too is no quote of this one.
        """
        quoted = cls()
        for text in texts:
            words = _words(text)
            # too short for a run: quoted by whoever has all of it
            length = min(WORDS, len(words))
            if length >= _SHORTEST:
                quoted._of_length.setdefault(length, set()).update(_runs(words, length))
        for text in others if quoted else ():
            words = _words(text)
            for length, runs in quoted._of_length.items():
                runs.difference_update(_runs(words, length))
        return quoted

    def __bool__(self) -> bool:
        return any(self._of_length.values())

    @property
    def runs(self) -> list[str]:
        """Length and digest of each run, to be stored."""
        return sorted(f"{length}:{digest}" for length, runs in self._of_length.items() for digest in runs)

    def within(self, text: str) -> bool:
        """Does `text` have a run of the document's words?"""
        words = _words(text) if self else []
        return any(not runs.isdisjoint(_runs(words, length)) for length, runs in self._of_length.items() if runs)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: list[str], length: int) -> Iterator[str]:
    for at in range(len(words) - length + 1):
        # six bytes: of a million runs of a text, with ten thousand of a document, 4 in 100,000 are taken for one
        run = " ".join(words[at : at + length]).encode("utf-8", "replace")
        yield blake2b(run, digest_size=6).hexdigest()
