"""What an answer that ended at the token limit looks like. Pure.

A description, no cause: whether a higher limit mends it is found by `twofold diagnose`, which raises the limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from twofold.types import Answer, Example


def cut_kind(example: Example, answer: Answer) -> str:
    """``repetition``, ``rambling`` (far longer than the references), or just ``cut``."""
    if _repeats(answer.text):
        return "repetition"
    # Four times the longest reference: longer than any answer that is merely wordy.
    longest = max((len(_words(reference)) for reference in example.references), default=0)
    return "rambling" if longest and len(_words(answer.text)) > 4 * longest else "cut"


def _repeats(text: str) -> bool:
    """Do the same four words, or characters where there are no spaces, stand in it again and again?"""
    pieces: Sequence[str] = text.split()
    # Fewer than one blank in ten characters: a script without spaces, so characters are compared.
    if 10 * len(pieces) < len(text):
        pieces = text
    runs = Counter(tuple(pieces[place : place + 4]) for place in range(len(pieces) - 3))
    # More than three fifths of all runs of four come four times or more.
    return 5 * sum(count for count in runs.values() if count >= 4) > 3 * runs.total()


def _words(text: str) -> list[str]:
    spaced = "".join(c if c.isalnum() else " " for c in text.casefold())
    return spaced.split()
