"""Do the passages hold the answer? A calibrated judgement from the evidence of the search alone, without a model. Pure.

A logistic regression on a few features of query and hits gives the probability that the passages suffice. Below a
threshold the system abstains. The risk of a threshold is the share of answered questions whose passages do not hold the
answer (selective classification; El-Yaniv & Wiener 2010, Geifman & El-Yaniv 2017).

A threshold is said to hold a stated risk only when a test on questions that had no part in fitting says so: with a
probability of at least the stated level, new questions of the same kind have no larger risk there. Thresholds are tried
in an order fixed beforehand, up to the first that fails (Learn then Test, Angelopoulos et al. 2021, arXiv:2110.01052,
fixed-sequence testing). Questions of one group count as if they were answered alike, which is the worst case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.errors import TooFewExamples
from twofold.stats import distributions
from twofold.types import Example, Query, Retrieval

VERSION = 2
"""Raised when the same evidence would be judged differently."""
FEATURES = ("score", "lead", "words_first", "words_all", "both_legs")
FEWEST = 8
"""Questions with and without an answer that the fit needs, each."""
_RIDGE = 1.0
"""Penalty of the weights, which are of standardised features."""
_FOLDS = 5
_WORD = re.compile(r"\w+")
_STEM = 5
"""First letters by which words of question and passage are compared."""
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have how i if in into is it its may "
        "me my not of on or our should so than that the their there these they this to us was we were what when where "
        "which who whom whose why will with would you your about any tell please der die das und ist ein eine wie wer",
    )
)

_CURE = 'Add questions with "answerable": false, or set [retrieval].risk = 0.'
_STEPS = 41
"""Thresholds that may be tested."""

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.intp]
Case = tuple[Query, Retrieval, Example]
"""A question as it was searched for, what was found, and what is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A calibration: weights that turn evidence into a probability, and the threshold for answering."""

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
    level: float
    """Confidence with which it is stated."""
    holds: bool
    """The stated risk is shown to hold at the threshold. False: at none; the surest one is used all the same."""
    reached: float
    """Share of wrong ones among the held-out dev questions answered at the threshold."""
    bound: float
    """What the risk there is at most, at `level`; at most `risk` where it holds."""
    coverage: float
    """Share of the held-out dev questions answered at the threshold."""
    n: int
    """Held-out dev questions: those the threshold was tested on."""
    fitted: int
    """Questions that the weights were fitted on: train, or half of dev where train has too few of a kind."""
    key: str = ""
    """Name of the artifact that holds it."""

    @property
    def note(self) -> str:
        """For people: with what confidence which risk holds on new questions."""
        sure = f"at {100 * self.level:g} % confidence, from {self.n} dev questions"
        if self.holds:
            return f"the stated risk of {self.risk:g} holds {sure} ({self.reached:.2f} of those answered are wrong)"
        return (
            f"no threshold holds the stated risk of {self.risk:g} {sure}; the surest one, which is used, shows "
            f"{self.reached:.2f} and may have up to {self.bound:.2f}: add dev questions, or state a larger risk"
        )

    def probability(self, query: Query, retrieved: Retrieval) -> float:
        """Probability that the passages hold the answer."""
        standardised = (features(query, retrieved) - np.array(self.means)) / np.array(self.scales)
        return _sigmoid(float(standardised @ np.array(self.weights)) + self.bias)


def features(query: Query, retrieved: Retrieval) -> Array:
    """Evidence of one search, in the order of `FEATURES`.

    Best score; its lead over the mean of the other hits; share of the question's content words (by their first letters)
    in the first passage, and in all; share of the hits that more than one leg found.
    """
    if not retrieved.hits:
        return np.zeros(len(FEATURES))
    scores = [hit.score for hit in retrieved.hits]
    lead = scores[0] - (sum(scores[1:]) / len(scores[1:]) if len(scores) > 1 else 0.0)
    query_stems = stems(query.question or query.text)
    passage_stems = [
        stems(f"{hit.chunk.title} {' '.join(hit.chunk.headings)} {hit.chunk.text}") for hit in retrieved.hits
    ]
    size = max(1, len(query_stems))
    agreed = sum(len(hit.legs) > 1 for hit in retrieved.hits) / len(retrieved.hits)
    return np.array(
        [
            scores[0],
            lead,
            len(query_stems & passage_stems[0]) / size,
            len(query_stems & set().union(*passage_stems)) / size,
            agreed,
        ]
    )


def stems(text: str) -> set[str]:
    """Content words, folded and cut to their first letters."""
    return {word[:_STEM] for word in _WORD.findall(text.casefold()) if word not in _STOP}


def sufficient(example: Example, retrieved: Retrieval) -> bool:
    """Is the question answerable, and is a right document among the hits (where the right ones are known)?"""
    right = {*example.sources, *example.grades}
    return example.answerable and (not right or any(hit.chunk.span.document in right for hit in retrieved.hits))


def _unanswerable(examples: Sequence[Example]) -> int:
    return sum(not example.answerable for example in examples)


def require_unanswerable(train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Refuse where there are too few unanswerable questions to fit on, whatever would be found for the others.

    Raises:
        TooFewExamples: fewer than `FEWEST` are in train, and in the half of dev that would take its place.
    """
    # halved before anything is searched for: the halves go by group and kind, not by what is found
    cases: list[Case] = [(Query(text=""), Retrieval(hits=()), example) for example in dev]
    fit = [example for _, _, example in _halves(cases)[0]]
    in_train = _unanswerable(train)
    if max(in_train, _unanswerable(fit)) < FEWEST:
        count = _unanswerable(dev)
        raise TooFewExamples(
            f"abstention is not calibrated: train has {in_train} unanswerable questions and dev {count}; {FEWEST} "
            "are needed in train, or twice as many in dev",
            cure=_CURE,
        )


def calibrate(dev: Sequence[Case], *, train: Sequence[Case] = (), risk: float, level: float = 0.95) -> Calibration:
    """Fit, and find the threshold that answers most where the stated risk is shown to hold.

    The weights are fitted on `train`, and the threshold is tested on `dev`. Where train has too few questions of a
    kind, half of dev (groups stay together) takes its place.

    Raises:
        TooFewExamples: fewer than `FEWEST` unanswerable questions are there to fit on, or fewer that suffice.
    """
    fit, held_out = (train, dev) if _enough(train) else _halves(dev)
    if not _enough(fit) or not held_out:
        missing, good = _kinds(dev)
        raise TooFewExamples(
            f"abstention is not calibrated: dev has {missing} unanswerable questions and {good} whose passages hold "
            f"the answer; {FEWEST} of each are needed in train, or twice as many in dev",
            cure=_CURE,
        )
    rows, labels = _rows(fit), _labels(fit)
    out = _out_of_fold(rows, labels, _numbered(fit))
    means, scales, weights, bias = fitted = _fit(rows, labels)
    probabilities, right = _predict(_rows(held_out), fitted), _labels(held_out)
    outcome = tested((out, labels), (probabilities, right), _numbered(held_out), risk=risk, level=level)
    return Calibration(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights.tolist()),
        bias=bias,
        threshold=outcome.threshold,
        risk=risk,
        level=level,
        holds=outcome.holds,
        reached=outcome.reached,
        bound=outcome.bound,
        coverage=outcome.coverage,
        n=len(held_out),
        fitted=len(fit),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A threshold, and what held-out questions show there."""

    threshold: float
    """Answer from this probability on."""
    holds: bool
    """The stated risk is shown to hold."""
    reached: float
    """Share of wrong ones among those answered; 0 where none was."""
    bound: float
    """Upper bound of the risk at the stated level."""
    coverage: float
    """Share answered."""


def tested(
    fit: tuple[Array, Array], held_out: tuple[Array, Array], groups: Groups, *, risk: float, level: float
) -> Tested:
    """The lowest threshold down to which every one tested holds the risk on `held_out`; see the module.

    Args:
        fit: Probabilities and labels (1: the passages suffice) that say where to begin: at the threshold that is most
            likely to pass. The others follow downwards, so that each further one answers more.
        held_out: Probabilities and labels of questions that had no part in fitting.
        groups: Group of each of those, as a number.
        risk: Stated risk.
        level: Confidence.
    """
    probabilities, labels = fit
    # descending: the surest questions first
    steps = np.unique(np.quantile(probabilities, np.linspace(0, 1, _STEPS), method="lower"))[::-1]
    hopes = []
    for step in steps:
        answered = probabilities >= step
        # half a question wrong added: of few answered none wrong is no sign of no risk
        wrong = (float((1 - labels[answered]).sum()) + 0.5) / (int(answered.sum()) + 1)
        size = float(answered.mean()) * _independent(groups)
        hopes.append(distributions.binomial_below(wrong * size, size, risk))
    # chosen on `fit` alone: the order must be fixed before `held_out` is looked at
    begin = int(np.argmin(hopes))
    shown = _tested_at(float(steps[begin]), held_out, groups, risk=risk, level=level)
    for step in steps[begin + 1 :]:
        further = _tested_at(float(step), held_out, groups, risk=risk, level=level)
        # fixed-sequence testing ends at the first failure; what follows may not be tested
        if not (shown.holds and further.holds):
            break
        shown = further
    return shown


def _tested_at(threshold: float, held_out: tuple[Array, Array], groups: Groups, *, risk: float, level: float) -> Tested:
    probabilities, labels = held_out
    answered = probabilities >= threshold
    size = _independent(groups[answered])
    reached = float((1 - labels[answered]).mean()) if answered.any() else 0.0
    # grouped questions count as fewer independent ones, which widens the bound
    bound = distributions.binomial_upper(reached * size, size, level) if size else 1.0
    return Tested(
        threshold=threshold,
        holds=bound <= risk,
        reached=reached,
        bound=bound,
        coverage=float(answered.mean()),
    )


def _independent(groups: Groups) -> float:
    """How many independent questions so many of these groups are worth at least (Kish 1965)."""
    counts = np.unique(groups, return_counts=True)[1].astype(float)
    return float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0


def _kinds(cases: Sequence[Case]) -> tuple[int, int]:
    """How many are unanswerable, and how many have passages that suffice."""
    return sum(not e.answerable for _, _, e in cases), sum(sufficient(e, f) for _, f, e in cases)


def _enough(cases: Sequence[Case]) -> bool:
    return min(_kinds(cases)) >= FEWEST


def _halves(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Two halves, no group in both; each kind of question is dealt out in turns, so that both halves have it."""
    kinds: dict[str, bool] = {}
    for _, _, example in cases:
        group = example.group or example.id
        # a group with one unanswerable question counts as unanswerable: that kind is the rarer
        kinds[group] = kinds.get(group, True) and example.answerable
    first: set[str] = set()
    for kind in (True, False):
        first.update([group for group, answerable in kinds.items() if answerable is kind][::2])
    parts: tuple[list[Case], list[Case]] = ([], [])
    for case in cases:
        parts[(case[2].group or case[2].id) not in first].append(case)
    return parts


def _rows(cases: Sequence[Case]) -> Array:
    return np.array([features(query, found) for query, found, _ in cases])


def _labels(cases: Sequence[Case]) -> Array:
    return np.array([sufficient(example, found) for _, found, example in cases], dtype=float)


def _numbered(cases: Sequence[Case]) -> Groups:
    return np.unique([example.group or example.id for _, _, example in cases], return_inverse=True)[1]


def _out_of_fold(rows: Array, labels: Array, groups: Groups) -> Array:
    """Each question's probability by weights that were fitted without its fold."""
    folds, out = groups % _FOLDS, np.zeros(len(labels))
    for fold in range(_FOLDS):
        left = folds == fold
        if left.any() and 0 < labels[~left].mean() < 1:
            out[left] = _predict(rows[left], _fit(rows[~left], labels[~left]))
        else:
            out[left] = labels.mean()
    return out


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
    # the bias, last, is next to free: 1e-6 only keeps the system solvable
    ridge = np.diag([_RIDGE] * rows.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        # clipped, so that exp cannot overflow
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
