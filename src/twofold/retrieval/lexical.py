"""Words for matching, and exact BM25 over them. Pure (numpy only).

The same analysis serves chunks and queries, small indexes in memory and large ones on disk: Unicode folded
(NFKC, case, accents), split into words, English stop words dropped and words stemmed when the language is English, and
runs of Chinese, Japanese or Thai script cut into overlapping pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twofold.retrieval.stemming import stem

Language = Literal["english", "none"]

K1 = 1.2
"""Saturation of term frequency (Lucene's and Lance's value)."""
B = 0.75
"""Weight of passage length (likewise)."""

_SPACELESS = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"[{_SPACELESS}]+|[^\W_{_SPACELESS}]+(?:['’][^\W_{_SPACELESS}]+)*")
_SPACELESS_RUN = re.compile(f"[{_SPACELESS}]")
_APOSTROPHE = re.compile("['’]")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can could did do does for from had has have he her his how i if in into is
        it its me my no not of on or our s she should so such t than that the their them then there these they this to
        us was we were what when where which who whom whose why will with would you your""",
    )
)
_LONGEST = 64


def terms(text: str, language: Language = "english") -> list[str]:
    """The terms of a text, in order, repeats kept. A term holds no white space; there may be none."""
    if text.isascii():
        folded = text.lower()
    else:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        folded = unicodedata.normalize("NFC", "".join(mark for mark in folded if not unicodedata.combining(mark)))
    return [term for piece in _PIECE.findall(folded) for term in _terms_of(piece, language)]


@lru_cache(maxsize=1 << 17)
def _terms_of(piece: str, language: Language) -> tuple[str, ...]:
    """Terms of a run of letters and digits: none for a stop word, several for a script without spaces."""
    if _SPACELESS_RUN.match(piece):
        return tuple(piece[i : i + 2] for i in range(max(1, len(piece) - 1)))
    if language == "none":
        return (piece[:_LONGEST],)
    word = _APOSTROPHE.split(piece, maxsplit=1)[0]
    return () if word in _STOP else (stem(word)[:_LONGEST],)


class Bm25:
    """Okapi BM25 (Robertson et al. 1994; idf in Lucene's non-negative form) over passages held in memory.

    Args:
        codes: Term number of every token of every passage, one after the other.
        lengths: Tokens in each passage.
        vocabulary: Term → number.
    """

    def __init__(self, codes: NDArray[Any], lengths: NDArray[Any], vocabulary: dict[str, int]) -> None:
        self.size = len(lengths)
        self._vocabulary = vocabulary
        owners = np.repeat(np.arange(self.size, dtype=np.int64), lengths)
        pairs, counts = np.unique(codes.astype(np.int64) * max(self.size, 1) + owners, return_counts=True)
        term, self._owners = np.divmod(pairs, max(self.size, 1))
        self._starts = np.searchsorted(term, np.arange(len(vocabulary) + 1))
        mean = max(float(lengths.mean()) if self.size else 0.0, 1e-9)
        norm = K1 * (1 - B + B * lengths[self._owners] / mean)
        found = np.diff(self._starts)
        idf = np.log1p((self.size - found + 0.5) / (found + 0.5))
        self._weights = (idf[term] * counts * (K1 + 1) / (counts + norm)).astype(np.float32)

    @classmethod
    def of(cls, passages: Sequence[Sequence[str]]) -> Bm25:
        """From each passage's terms."""
        vocabulary: dict[str, int] = {}
        codes = [vocabulary.setdefault(term, len(vocabulary)) for passage in passages for term in passage]
        lengths = np.array([len(passage) for passage in passages], dtype=np.int64)
        return cls(np.array(codes, dtype=np.int64), lengths, vocabulary)

    def scores(self, query: Sequence[str]) -> NDArray[np.float32]:
        """One score per passage; 0 where no term is shared."""
        out = np.zeros(self.size, dtype=np.float32)
        for term, times in Counter(query).items():
            number = self._vocabulary.get(term)
            if number is not None:
                here = slice(self._starts[number], self._starts[number + 1])
                out[self._owners[here]] += times * self._weights[here]
        return out
