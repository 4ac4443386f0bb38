"""What a judge is asked of a study's answers, what it and people say, and what these words are worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twofold.types import Message

Mode = Literal["rubric", "pairwise"]
WORDS: dict[Mode, tuple[str, ...]] = {"rubric": ("right", "partly", "wrong"), "pairwise": ("first", "second", "same")}
"""What may be said of an item; of a pair ``first`` is the arm whose name comes first in the alphabet."""
VALUES = {"right": 1.0, "partly": 0.5, "wrong": 0.0, "first": 1.0, "same": 0.5, "second": 0.0}
"""Each word as a score; of a pair, of its first arm."""
Name = tuple[str, ...]
"""Id of the example and names of the arms: what people and judge speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeItem:
    """One answer to mark, or two to choose from."""

    example: str
    """Id of the example."""
    group: str
    """Its group."""
    turns: tuple[Message, ...]
    """The conversation; the last message is the question."""
    references: tuple[str, ...]
    """Right answers."""
    answerable: bool
    """False: the right behaviour is to say that the documents do not tell."""
    arms: tuple[str, ...]
    """Whose answers they are, in alphabetical order; no prompt says so."""
    texts: tuple[str, ...]
    """The answers, in the order of `arms`."""

    @property
    def name(self) -> Name:
        """Names it within a study."""
        return (self.example, *self.arms)

    def value(self, arm: str, word: str) -> float:
        """What a word about this item is worth to one of its arms."""
        return VALUES[word] if arm == self.arms[0] else 1 - VALUES[word]


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanMark:
    """What one person said of an item without knowing whose answers it shows."""

    item: Name
    by: str
    """The person."""
    word: str
    """One of `WORDS`."""
