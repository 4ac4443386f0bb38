"""Examples that are asked, with what is needed of them again and again: digests and groups, each worked out once. Pure.

A digest names an answer in the store, a group is what counts as independent; a study needs both of the same questions
in every one of its parts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from twofold.examples.loading import example_digest
from twofold.hashing import digest
from twofold.types import Example


class Questions(tuple[Example, ...]):
    """Examples in a fixed order."""

    @classmethod
    def of(cls, examples: Iterable[Example]) -> Questions:
        """The examples as `Questions`; the same object where they are that already, with its digests and groups."""
        return examples if isinstance(examples, cls) else cls(examples)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Digest of each example (`example_digest`), in order."""
        return tuple(example_digest(example) for example in self)

    @cached_property
    def groups(self) -> npt.NDArray[np.intp]:
        """Group number of each example, shape (n,), from 0 in order of appearance."""
        order: dict[str, int] = {}
        return np.array([order.setdefault(e.group, len(order)) for e in self], dtype=np.intp)

    @cached_property
    def digest(self) -> str:
        """Name of the set, whatever its order."""
        return digest("test", sorted(self.digests))


def conversation_digest(turns: Iterable[tuple[str, str]]) -> str:
    """Digest of a conversation, given as (role, content): its words and numbers, whatever case, blanks and punctuation.

    By it a question is the same in two studies, and by it looks at a question are counted.
    """
    # Neither the system's words nor marks and blanks make a question new: it would be looked at for free.
    spoken = [(role, _words(content)) for role, content in turns if role != "system"]
    return digest("question", spoken).partition(":")[2][:16]


def _words(text: str) -> str:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    # A question of signs alone keeps them: without, all such questions would be one.
    return " ".join(words) or text.strip()
