"""How far a system's answers are in style from what people wrote: can a classifier tell the two apart?

A two-sample test by classifier (Lopez-Paz & Oquab 2017, arXiv:1610.06545): a linear model on character n-grams and
shape learns to tell brand texts from others, and is asked about texts it has not seen. What it says is the style
distance: 0 when it cannot tell, 1 when it always can. The two sides answer the same questions, so that the matter is
the same and the manner is what is left.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from twofold.plugins import protocols
from twofold.types import Answer, Example

Array = npt.NDArray[np.float64]
_DIMENSION = 4096
_FOLDS = 5
_RIDGE = 0.05
"""Weight of the penalty, as a share of a text's own similarity to itself (1)."""
_WORD = re.compile(r"\w+|[^\w\s]")
MOST = 400
"""Pairs that are looked at, at most."""
FEWEST = 5
"""Texts of each side below which nothing can be told."""


@lru_cache(maxsize=8192)
def _features(text: str) -> tuple[npt.NDArray[np.int64], Array]:
    """Hashed counts of character 1- to 4-grams, log-scaled, of unit length: places and values."""
    flat = f" {' '.join(text.split())} "[:4000]
    counts: Counter[int] = Counter()
    for size in (1, 2, 3, 4):
        for at in range(len(flat) - size + 1):
            # Python's own hash of a text differs from run to run.
            counts[zlib.crc32(f"{size}{flat[at : at + size]}".encode("utf-8", "surrogatepass")) % _DIMENSION] += 1
    # By doublings: a few words more are no other style.
    length = min(9, int(math.log2(1 + len(_WORD.findall(text)))))
    counts[zlib.crc32(f"length {length}".encode()) % _DIMENSION] += 3
    places = np.array(sorted(counts), dtype=np.int64)
    values = np.log1p(np.array([counts[int(one)] for one in places], dtype=np.float64))
    return places, values / np.linalg.norm(values)


def _matrix(texts: Sequence[str]) -> Array:
    features = np.zeros((len(texts), _DIMENSION))
    for row, text in enumerate(texts):
        places, values = _features(text)
        features[row, places] = values
    return features


def _fit(kernel: Array, labels: Array) -> Array:
    """Weights of the texts, and the constant."""
    ones, twos = (labels > 0).sum(), (labels < 0).sum()
    size = len(labels)
    # A text of the larger side weighs less, so that both sides weigh alike.
    penalty = np.where(labels > 0, ones, twos) / size * 2 * _RIDGE * max(1.0, size / 100)
    # Kernel ridge regression with a constant: (texts + 1, texts + 1), the last row and column the constant's.
    whole = np.ones((size + 1, size + 1))
    whole[:size, :size] = kernel + np.diag(penalty)
    whole[size, size] = 0.0
    solved: Array = np.linalg.solve(whole, np.append(labels, 0.0))
    return solved


def style_distance(brand: Sequence[str], other: Sequence[str], *, folds: Sequence[int] | None = None) -> float:
    """How well unseen texts of two sides are told apart: ``2 · AUC − 1`` in cross-validation, at least 0.

    Below `FEWEST` texts nothing can be learned, and sides that differ count as far apart.

    Args:
        brand: Texts in the style that is wanted.
        other: Texts of the other side; where there are as many, text i answers what brand text i answers, and the two
            are always in one fold.
        folds: Fold of each pair, from 0 to 4; None: by the order of the brand texts' hashes.
    """
    if min(len(brand), len(other)) < FEWEST:
        return 0.0 if list(brand) == list(other) else 1.0
    mine = _folds(brand) if folds is None or len(set(folds)) < 2 else list(folds)
    fold = np.array([*mine, *(mine if len(brand) == len(other) else _folds(other))])
    features = _matrix([*brand, *other])
    labels = np.array([1.0] * len(brand) + [-1.0] * len(other))
    kernel = features @ features.T  # (texts, texts), made once: every fold takes its part
    margins = np.zeros(len(labels))
    for left in range(_FOLDS):
        test, train = np.flatnonzero(fold == left), np.flatnonzero(fold != left)
        if not len(test) or len(set(labels[train])) < 2:
            continue
        weights = _fit(kernel[np.ix_(train, train)], labels[train])
        margins[test] = kernel[np.ix_(test, train)] @ weights[:-1] + weights[-1]
    # Within a fold: the margins of two models have no common scale.
    aucs = [_auc(margins[fold == left], labels[fold == left]) for left in range(_FOLDS)]
    sizes = [int((fold == left).sum()) for left in range(_FOLDS)]
    measured = [(auc, size) for auc, size in zip(aucs, sizes, strict=True) if auc is not None]
    if not measured:
        return 1.0
    return max(0.0, 2 * sum(auc * size for auc, size in measured) / sum(size for _, size in measured) - 1)


def _folds(texts: Sequence[str]) -> list[int]:
    """Folds of like size, the same for a text wherever it stands."""
    order = sorted(range(len(texts)), key=lambda n: _place(texts[n]))
    folds = [0] * len(texts)
    for place, number in enumerate(order):
        folds[number] = place % _FOLDS
    return folds


def _place(text: str) -> tuple[int, str]:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")), text


def _auc(margins: Array, labels: Array) -> float | None:
    """Share of pairs in which the brand text has the larger margin, ties half; None without a pair."""
    ours, others = margins[labels > 0], margins[labels < 0]
    if not len(ours) or not len(others):
        return None
    apart = ours[:, None] - others[None, :]  # (brand texts, other texts)
    # Like texts may differ by rounding.
    return float(((apart > 1e-9).sum() + 0.5 * (np.abs(apart) <= 1e-9).sum()) / apart.size)


class Style:
    """1 − style distance between a system's answers and the references: 1 when a classifier cannot tell them apart.

    A statistic of all examples together (`pooled`). The score of one example says only whether the answer has the
    shape of its reference: its length in words, its line breaks, its capitals and marks. Judge a system by the pooled
    value, on 50 examples or more. It can decide a study: an answer that abstains then counts as none.
    """

    version: ClassVar[int] = 2
    right: ClassVar[float | None] = None
    decides_pooled: ClassVar[bool] = True
    Options: ClassVar[type[protocols.Options]] = protocols.Options
    pooled: ClassVar[bool] = True
    reference_free: ClassVar[bool] = True
    """Another example's reference has the style too: shuffled gold scores as gold does."""

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Likeness of shape to the nearest reference, in [0, 1]; None for an abstention or without a reference."""
        if not example.references or not example.answerable or answer.abstained:
            return None
        return max(_alike(answer.text, reference) for reference in example.references)

    def pool(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """1 − style distance of all items that have a reference and an answer; 1 when there are none."""
        used = [(e, a) for e, a in items if e.references and e.answerable and not a.abstained]
        # By hash, so that which pairs are looked at, and in which fold, does not follow the order of files.
        used.sort(key=lambda item: (_place(item[0].references[0]), item[0].id, item[1].text))
        used = used[:MOST]
        brand, other = [e.references[0] for e, _ in used], [a.text for _, a in used]
        # By the pair alone: without one item the others stay where they are. Else every item left out would deal all
        # folds anew, and the jackknife would measure that.
        folds = [_place(f"{e.references[0]}\0{e.id}")[0] % _FOLDS for e, _ in used]
        return 1.0 - style_distance(brand, other, folds=folds) if used else 1.0

    def wants(self, example: Example) -> str:
        """All references want the one style."""
        return "style" if example.references else ""


def _alike(text: str, reference: str) -> float:
    mine, theirs = _shape(text), _shape(reference)
    return float(np.mean([min(a, b) / max(a, b) if max(a, b) else 1.0 for a, b in zip(mine, theirs, strict=True)]))


def _shape(text: str) -> tuple[float, ...]:
    words = text.split()
    letters: Any = [letter for letter in text if letter.isalpha()]
    return (
        float(len(words)),
        float(text.strip().count("\n")),
        float(sum(letter.isupper() for letter in letters)),
        float(sum(not letter.isalnum() and not letter.isspace() for letter in text)),
        float(sum(letter.isdigit() for letter in text)),
    )
