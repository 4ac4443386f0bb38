"""Bag-of-words vectors without any model: deterministic, instant, offline; for tests and bare machines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twofold.hashing import digest
from twofold.plugins import protocols
from twofold.plugins.protocols import Progress

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """Signed feature hashing of words and their beginnings (Weinberger et al. 2009), square-root counts, length 1.

    A text without a word gets a fixed vector of its own, so that every row has length 1.

    Args:
        options: See `Options`.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the embedder ``hashing``."""

        dimension: int = Field(default=256, ge=8)
        """Length of a vector."""

    def __init__(self, options: Options) -> None:
        self._options = options

    @property
    def fingerprint(self) -> str:
        """Digest of dimension and version."""
        return digest("embedder", {"embedder": "hashing", "version": self.version, "dimension": self.dimension})

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._options.dimension

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Character range of every word and every punctuation mark."""
        return [match.span() for match in _TOKEN.finditer(text)]

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """float32 vectors of length 1, shape (len(texts), dimension)."""
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.casefold()):
                for feature in (word, f"{word[:5]}…"):
                    place, sign = _place(feature, self.dimension)
                    out[row, place] += sign
            if progress is not None and (row % 1000 == 999 or row + 1 == len(texts)):
                progress("embed", row + 1, len(texts))
        out = np.sign(out) * np.sqrt(np.abs(out))
        empty = ~out.any(axis=1)
        # A text without words needs some direction: no vector may have length 0.
        out[empty, 0] = 1.0
        scaled: NDArray[np.float32] = out / np.linalg.norm(out, axis=1, keepdims=True)
        return scaled

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text the vectors of its words, of shape (words, dimension), rows of length 1."""
        return [self.embed(_WORD.findall(text)) for text in texts]


@lru_cache(maxsize=1 << 17)
def _place(feature: str, dimension: int) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return number % dimension, 1.0 if number >> 63 else -1.0
