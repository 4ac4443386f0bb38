"""A calibrated judgement of whether passages hold the answer, from the search's evidence alone, without a model. Pure.

A logistic regression on a few features of query and hits gives the probability that the passages suffice. Below a
threshold the system abstains. The risk of a threshold is the share of answered questions whose passages do not hold the
answer (selective classification; El-Yaniv & Wiener 2010, Geifman & El-Yaniv 2017).

A threshold holds a stated risk only when a test on questions that had no part in fitting shows it: with a probability
of at least the stated level, new questions of the same kind have no larger risk there. Thresholds are tested in an
order fixed beforehand, up to the first that fails (Learn then Test, Angelopoulos et al. 2021, arXiv:2110.01052,
fixed-sequence testing). The questions of a group count as if all were answered alike, which is the worst case.
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
"""Names of the columns of `features`, in order."""
FEWEST = 8
"""Questions that the fit needs of each kind: answerable from the passages, and unanswerable."""
_RIDGE = 1.0
"""Ridge penalty of the weights; the features are standardised, so one penalty suits all of them."""
_FOLDS = 5
"""Folds for the probabilities that rank the thresholds: fitted ones would be too sure of their own questions."""
_WORD = re.compile(r"\w+")
_STEM = 5
"""First letters by which words of question and passage are compared: "limits" and "limited" count as one word."""
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
"""Thresholds that may be tested: quantiles of the fitted probabilities, 2.5 % of the questions apart."""

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.intp]
Case = tuple[Query, Retrieval, Example]
"""A question as it was searched for, the passages found, and the example with its answers and sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A calibration: weights that turn evidence into a probability, and the threshold for answering."""

    means: tuple[float, ...]
    """Means of the features over the questions that the weights were fitted on."""
    scales: tuple[float, ...]
    """Standard deviations of the features over the same questions."""
    weights: tuple[float, ...]
    """Weights of the standardised features."""
    bias: float
    """Log-odds at the features' means."""
    threshold: float
    """The system abstains below this probability."""
    risk: float
    """Stated risk: the largest share of wrong answers that the user allows."""
    level: float
    """Confidence of the statement that the risk holds."""
    holds: bool
    """The test showed that the stated risk holds at the threshold. False: no threshold passed; the surest is used."""
    reached: float
    """Share of wrong answers among the held-out dev questions answered at the threshold."""
    bound: float
    """Upper bound of the risk at the threshold, at `level`; at most `risk` where `holds`."""
    coverage: float
    """Share of the held-out dev questions answered at the threshold."""
    n: int
    """Number of held-out dev questions, on which the threshold was tested."""
    fitted: int
    """Number of questions that the weights were fitted on: train, or half of dev where train has too few of a kind."""
    key: str = ""
    """Name of the artifact that holds the calibration."""

    @property
    def note(self) -> str:
        """A sentence for people: the risk that holds on new questions, and the confidence of that."""
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
    """Evidence of one search, shape (5,), in the order of `FEATURES`.

    The best score; its lead over the mean of the other hits; the share of the question's content words (by their first
    letters) in the first passage, and in all passages; the share of the hits that more than one leg found.
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
    """Is the question answerable, and is a right document among the hits (where the right documents are known)?"""
    right = {*example.sources, *example.grades}
    return example.answerable and (not right or any(hit.chunk.span.document in right for hit in retrieved.hits))


def _unanswerable(examples: Sequence[Example]) -> int:
    return sum(not example.answerable for example in examples)


def require_unanswerable(train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Refuse a calibration for which there are too few unanswerable questions, whatever a search finds for the others.

    Raises:
        TooFewExamples: train has fewer than `FEWEST` of them, and so has the half of dev that would take its place.
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
    """Fit the weights, and find the threshold that answers most questions among those that hold the stated risk.

    The weights are fitted on `train`, and the threshold is tested on `dev`. Where train has too few questions of a
    kind, half of dev (groups stay together) takes its place.

    Raises:
        TooFewExamples: there are fewer than `FEWEST` unanswerable questions to fit on, or fewer with passages that
            hold the answer.
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
    """A threshold, and the result of its test on held-out questions."""

    threshold: float
    """The system answers from this probability on."""
    holds: bool
    """The test shows that the stated risk holds."""
    reached: float
    """Share of wrong answers among the questions answered; 0 where none was answered."""
    bound: float
    """Upper bound of the risk at the stated level."""
    coverage: float
    """Share of the questions answered."""


def tested(
    fit: tuple[Array, Array], held_out: tuple[Array, Array], groups: Groups, *, risk: float, level: float
) -> Tested:
    """The lowest threshold for which it and every threshold tested before hold the risk on `held_out`; see the module.

    Args:
        fit: Probabilities and labels (1: the passages suffice), both of shape (questions,), that say where to begin:
            at the threshold that is most likely to pass. The others follow downwards, and each answers more.
        held_out: Probabilities and labels of questions that had no part in fitting, both of shape (questions,).
        groups: Number of each held-out question's group, shape (questions,).
        risk: Stated risk.
        level: Confidence of the test.
    """
    probabilities, labels = fit
    # descending: the surest questions first
    steps = np.unique(np.quantile(probabilities, np.linspace(0, 1, _STEPS), method="lower"))[::-1]
    hopes = []
    for step in steps:
        answered = probabilities >= step
        # half a wrong answer added: a threshold with few answers and none wrong is not the safest one for that
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
    """Number of independent questions that these grouped ones are worth, at least (Kish 1965)."""
    counts = np.unique(groups, return_counts=True)[1].astype(float)
    return float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0


def _kinds(cases: Sequence[Case]) -> tuple[int, int]:
    """Number of unanswerable questions, and number of questions whose passages suffice."""
    return sum(not e.answerable for _, _, e in cases), sum(sufficient(e, f) for _, f, e in cases)


def _enough(cases: Sequence[Case]) -> bool:
    return min(_kinds(cases)) >= FEWEST


def _halves(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Two halves with no group in both; each kind's questions are dealt out in turns, so that both halves have some."""
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
    """Each question's probability by weights that were fitted without its fold, shape (questions,)."""
    folds, out = groups % _FOLDS, np.zeros(len(labels))  # by group: no group is in two folds
    for fold in range(_FOLDS):
        left = folds == fold
        if left.any() and 0 < labels[~left].mean() < 1:
            out[left] = _predict(rows[left], _fit(rows[~left], labels[~left]))
        else:
            # a fold whose rest has one label only cannot be fitted: the base rate stands in
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
    """Area under the risk-coverage curve, which is the mean risk over all coverages; lower is better.

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
    # a feature that never varies has no scale: the floor keeps the division defined, and the penalty its weight at 0
    means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
    design = np.column_stack([(rows - means) / scales, np.ones(len(rows))])
    # the bias, last, is next to free: 1e-6 only keeps the system solvable
    ridge = np.diag([_RIDGE] * rows.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    # the penalised loss is convex, so the steps shrink until the break below; 50 bounds a case that does not converge
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
