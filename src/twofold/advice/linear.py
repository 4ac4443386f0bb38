"""A linear model on the words of labelled examples, cross-validated: the bar for every language model (heavy leaf)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.examples.classifier import LEARNED, evenly, fitted, unfitted
from twofold.examples.leaks import conversation
from twofold.examples.quality import labels as label_quality
from twofold.stats import intervals
from twofold.types import Estimate, Example

MOST = 2000
"""Examples that are cross-validated, evenly over all: with 77 labels some five seconds on two cores."""
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScore:
    """How far a linear model comes."""

    right: Estimate
    """Share of labels that it gets right in cross-validation."""
    commonest: float
    """Share of the most frequent label: what comes of always saying the same."""


def linear_score(examples: Sequence[Example]) -> LinearScore | None:
    """Cross-validated accuracy on the labels; None where the answers are no closed set, or too few for the folds.

    Examples of one group (`types.Example.group`) share a fold, as do exact copies: a model that has seen one of them
    has seen the others' label.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    sample = evenly(examples, MOST)
    names = label_quality.labels(sample)
    texts = [conversation(example) for example in sample]
    keys: dict[str, int] = {}
    groups = []
    for example, text in zip(sample, texts, strict=True):
        groups.append(keys.setdefault(example.group or text, len(keys)))
    if len(set(names)) < 2 or len(keys) < 2 * FOLDS:
        return None
    right = _right(texts, names, groups)
    most = Counter(names).most_common(1)[0][1]
    return LinearScore(right=intervals.estimate(right, groups), commonest=most / len(names))


def linear_labels(train: Sequence[Example], questions: Sequence[Example]) -> list[str] | None:
    """The labels that a linear model of the training examples gives to questions; None as for `linear_score`.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    sample = evenly(train, LEARNED)
    names = label_quality.labels(sample)
    # A field of JSON may be a closed set as well; to name it is no answer.
    references = [example.references[0].strip() if example.references else "" for example in sample]
    if names != references:
        return None
    texts = [conversation(example) for example in sample]
    # So few that nothing could be said of them by cross-validation either.
    if len(set(names)) < 2 or len(set(texts)) < 2 * FOLDS:
        return None
    model = fitted(texts, names)
    return None if model is None else list(map(str, model.predict([conversation(question) for question in questions])))


def _right(texts: Sequence[str], names: Sequence[str], groups: Sequence[int]) -> list[float]:
    """Shape (examples,): 1 where a model of the other folds gives the label."""
    unfitted()
    from sklearn.model_selection import GroupKFold  # after `unfitted`, which says what is missing

    right = [0.0] * len(texts)
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(texts, names, groups):
        seen = [names[row] for row in train]
        model = fitted([texts[row] for row in train], seen) if len(set(seen)) > 1 else None
        if model is None:
            continue  # nothing to tell apart: counted as wrong
        for row, name in zip(test, model.predict([texts[row] for row in test]), strict=True):
            right[row] = float(name == names[row])
    return right
