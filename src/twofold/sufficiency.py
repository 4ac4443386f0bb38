"""Do the passages hold the answer? A calibrated judgement from the evidence of the search alone, without a model. Pure.

A logistic regression on a few features of query and hits gives the probability that the passages suffice. Below a
threshold the system abstains. The threshold is chosen on dev for a stated risk: the share of answered questions whose
passages do not hold the answer (selective classification; El-Yaniv & Wiener 2010, Geifman & El-Yaniv 2017).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.errors import TooFewExamples
from twofold.types import Example, Query, Retrieval

VERSION = 1
"""Raised when the same evidence would be judged differently."""
FEATURES = ("score", "lead", "words_first", "words_all", "both_legs")
FEWEST = 8
"""Questions with and without an answer that dev needs, each, to calibrate on."""
_RIDGE = 1.0
_FOLDS = 5
_WORD = re.compile(r"\w+")
_STEM = 5
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have how i if in into is it its may "
        "me my not of on or our should so than that the their there these they this to us was we were what when where "
        "which who whom whose why will with would you your about any tell please der die das und ist ein eine wie wer",
    )
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How evidence becomes a probability, and from which probability on to answer."""

    means: tuple[float, ...]
    """Of the features, on dev."""
    scales: tuple[float, ...]
    """Standard deviations of the features, on dev."""
    weights: tuple[float, ...]
    """Of the standardised features."""
    bias: float
    """Log-odds at the means."""
    threshold: float
    """Abstain below this probability."""
    risk: float
    """Stated risk."""
    reached: float
    """Risk that dev shows at the threshold, out of fold; above `risk` where no threshold reaches it."""
    coverage: float
    """Share of dev questions answered at the threshold."""
    n: int
    """Dev questions."""
    key: str = ""
    """Name of the artifact that holds it."""

    def probability(self, query: Query, found: Retrieval) -> float:
        """Probability that the passages hold the answer."""
        given = (features(query, found) - np.array(self.means)) / np.array(self.scales)
        return _sigmoid(float(given @ np.array(self.weights)) + self.bias)


def features(query: Query, found: Retrieval) -> Array:
    """Evidence of one search, in the order of `FEATURES`.

    Best score; its lead over the mean of the other hits; share of the question's content words (by their first letters)
    in the first passage, and in all; share of the hits that more than one leg found.
    """
    if not found.hits:
        return np.zeros(len(FEATURES))
    scores = [hit.score for hit in found.hits]
    lead = scores[0] - (sum(scores[1:]) / len(scores[1:]) if len(scores) > 1 else 0.0)
    wanted = stems(query.asked or query.text)
    held = [stems(f"{hit.chunk.title} {' '.join(hit.chunk.headings)} {hit.chunk.text}") for hit in found.hits]
    size = max(1, len(wanted))
    agreed = sum(len(hit.legs) > 1 for hit in found.hits) / len(found.hits)
    return np.array([scores[0], lead, len(wanted & held[0]) / size, len(wanted & set().union(*held)) / size, agreed])


def stems(text: str) -> set[str]:
    """Content words, folded and cut to their first letters."""
    return {word[:_STEM] for word in _WORD.findall(text.casefold()) if word not in _STOP}


def sufficient(example: Example, found: Retrieval) -> bool:
    """Is the question answerable, and is a right document among the hits (where the right ones are known)?"""
    right = {*example.sources, *example.grades}
    return example.answerable and (not right or any(hit.chunk.span.document in right for hit in found.hits))


def calibrate(
    queries: Sequence[Query], found: Sequence[Retrieval], examples: Sequence[Example], *, risk: float
) -> Calibration:
    """Fit on dev, and choose the threshold that answers most at the stated risk.

    The threshold is chosen on out-of-fold probabilities (groups stay together), the weights are then fitted on all.

    Raises:
        TooFewExamples: dev has fewer than `FEWEST` unanswerable questions, or fewer that suffice.
    """
    labels = np.array([sufficient(e, f) for e, f in zip(examples, found, strict=True)], dtype=float)
    missing = sum(not e.answerable for e in examples)
    if missing < FEWEST or labels.sum() < FEWEST:
        raise TooFewExamples(
            f"abstention is not calibrated: dev has {missing} unanswerable questions and {int(labels.sum())} whose "
            f"passages hold the answer, and {FEWEST} of each are needed",
            cure='Add questions with "answerable": false, or set [retrieval].risk = 0.',
        )
    rows = np.array([features(q, f) for q, f in zip(queries, found, strict=True)])
    order = {group: number for number, group in enumerate(sorted({e.group or e.id for e in examples}))}
    folds = np.array([order[e.group or e.id] % _FOLDS for e in examples])
    out = np.zeros(len(labels))
    for fold in range(_FOLDS):
        left = folds == fold
        if left.any() and 0 < labels[~left].mean() < 1:
            out[left] = _predict(rows[left], _fit(rows[~left], labels[~left]))
        else:
            out[left] = labels.mean()
    threshold, reached, coverage = threshold_for(out, labels, risk)
    means, scales, weights, bias = _fit(rows, labels)
    return Calibration(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights.tolist()),
        bias=bias,
        threshold=threshold,
        risk=risk,
        reached=reached,
        coverage=coverage,
        n=len(labels),
    )


def threshold_for(probabilities: Array, labels: Array, risk: float) -> tuple[float, float, float]:
    """The lowest threshold at which the answered questions' risk is at most `risk`: it, the risk there, the coverage.

    Where no threshold reaches it, the one with the least risk.
    """
    points = curve(probabilities, labels)
    good = [point for point in points if point[2] <= risk]
    threshold, coverage, reached = max(good, key=lambda p: p[1]) if good else min(points, key=lambda p: (p[2], -p[1]))
    return threshold, reached, coverage


def curve(probabilities: Array, labels: Array) -> list[tuple[float, float, float]]:
    """(threshold, coverage, risk) at every probability that occurs, the surest questions first."""
    order = np.argsort(-probabilities, kind="stable")
    wrong = np.cumsum(1 - labels[order])
    points = []
    for place, number in enumerate(order):
        last = place + 1 == len(order) or probabilities[order[place + 1]] < probabilities[number]
        if last:
            answered = place + 1
            points.append((float(probabilities[number]), answered / len(order), float(wrong[place] / answered)))
    return points


def area(probabilities: Array, labels: Array) -> float:
    """Area under the risk-coverage curve: the mean risk over all coverages; lower is better.

    Questions of equal probability are answered in a random order, in expectation.
    """
    before, mistakes, total = 0, 0.0, 0.0
    for _, coverage, risk in curve(probabilities, labels):
        answered = round(coverage * len(labels))
        share = (risk * answered - mistakes) / (answered - before)
        total += sum((mistakes + share * i) / (before + i) for i in range(1, answered - before + 1))
        before, mistakes = answered, risk * answered
    return total / len(labels)


def _fit(rows: Array, labels: Array) -> tuple[Array, Array, Array, float]:
    """Ridge logistic regression by Newton's method: means, scales, weights, bias."""
    means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
    design = np.column_stack([(rows - means) / scales, np.ones(len(rows))])
    ridge = np.diag([_RIDGE] * rows.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        expected = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (labels - expected) - ridge @ weights
        bend = (design * (expected * (1 - expected))[:, None]).T @ design + ridge
        step = np.linalg.solve(bend, slope)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return means, scales, weights[:-1], float(weights[-1])


def _predict(rows: Array, fitted: tuple[Array, Array, Array, float]) -> Array:
    means, scales, weights, bias = fitted
    logits: Array = ((rows - means) / scales) @ weights + bias
    return np.array([_sigmoid(float(value)) for value in logits])


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))
