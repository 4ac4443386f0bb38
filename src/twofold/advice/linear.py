"""A linear model on the words of labelled examples, cross-validated: the bar for every language model (heavy leaf)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.errors import MissingExtra, install
from twofold.examples.leaks import conversation
from twofold.examples.quality import labels as label_quality
from twofold.stats import intervals
from twofold.types import Estimate, Example

MOST = 2000
"""Examples that are looked at, evenly over all: with 77 labels some five seconds on two cores."""
FOLDS = 5
_REGULAR = 1.0
"""Penalty C of the linear support vector machine, scikit-learn's own default."""


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
    sample = list(examples[:: max(1, -(-len(examples) // MOST))])
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


def _right(texts: Sequence[str], names: Sequence[str], groups: Sequence[int]) -> list[float]:
    """Shape (examples,): 1 where a model of the other folds gives the label."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.model_selection import GroupKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "a linear model needs the package scikit-learn, which is not installed", cure=install("data")
        ) from error
    # Letters of a word as well, so that an unseen form of a known word counts.
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    right = [0.0] * len(texts)
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(texts, names, groups):
        seen = [names[row] for row in train]
        if len(set(seen)) < 2:
            continue  # nothing to tell apart: counted as wrong
        model = make_pipeline(words, LinearSVC(C=_REGULAR)).fit([texts[row] for row in train], seen)
        for row, name in zip(test, model.predict([texts[row] for row in test]), strict=True):
            right[row] = float(name == names[row])
    return right
