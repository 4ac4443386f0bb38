"""Faults of labels: outside the declared set, doubtful, out of balance. Pure.

Doubtful labels are found by confident learning (Northcutt, Jiang & Chuang 2021, arXiv:1911.00068): a naive Bayes model
on TF-IDF words gives each example out-of-sample probabilities in five folds; a label is doubted where another class
is at least as probable as that class is for its own members on average, and its own label is not.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from twofold.errors import MissingExtra, install
from twofold.examples.leaks import bare, conversation
from twofold.examples.quality.text import note
from twofold.files.reading import excerpt
from twofold.types import Example, Problem

FOLDS = 5
"""Of the cross-validation."""
FEWEST = 5
"""A class with fewer members is not judged, and is reported as small."""
_LONGEST = 80
"""Characters of a label; what is longer is a text."""
_MANY = 100
"""Answers from which the share of those seen once says how likely a new one is."""
SURE = 0.5
"""Probability of the other class from which a label is doubted: fewer findings, more of them right."""


def labels(examples: Sequence[Example]) -> list[str]:
    """Each example's label, where the answers are a closed set (most occur often); else an empty list.

    With JSON answers the label is the value of the first field that is a closed set itself, such as ``intent``.
    """
    firsts = [e.references[0].strip() if e.references else "" for e in examples]
    if _closed(firsts):
        return firsts
    objects = [_object(text) for text in firsts]
    if sum(o is not None for o in objects) < 0.9 * len(objects):
        return []
    for key in next((o for o in objects if o), {}):
        values = [str((o or {}).get(key, "")) for o in objects]
        if _closed(values):
            return values
    return []


def _closed(values: Sequence[str]) -> bool:
    seen = Counter(value for value in values if value)
    if len(seen) < 2 or any(len(value) > _LONGEST for value in seen):
        return False
    often = sum(n for n in seen.values() if n >= FEWEST)
    # Nine tenths of the answers occur `FEWEST` times or more.
    if often >= 0.9 * len(values):
        return True
    # 600 messages of 151 intents have four of each, and are labels all the same: of many answers it is enough that
    # each comes thrice on average and at most one in ten is a new one (Good 1953, Turing).
    once = sum(n == 1 for n in seen.values())
    total = seen.total()
    return total >= max(_MANY, 0.9 * len(values)) and total >= 3 * len(seen) and once <= 0.1 * total


def why_open(answers: Sequence[str]) -> str:
    """Why these answers, which `labels` finds to be no closed set, are none: what a message says in brackets."""
    seen = Counter(answer for answer in answers if answer)
    if len(seen) < 2:
        return "all are alike"
    if any(len(answer) > _LONGEST for answer in seen):
        return f"{len(seen)} different ones, some of more than {_LONGEST} characters"
    if seen.total() >= _MANY:
        once = sum(n == 1 for n in seen.values())
        return (
            f"{len(seen)} different ones in {len(answers)} answers, {once} of them seen once; labels occur thrice on "
            "average, and hardly once"
        )
    often = sum(n for n in seen.values() if n >= FEWEST)
    return (
        f"{len(seen)} different ones; nine tenths of the answers have to be ones that occur {FEWEST} times or more, "
        f"and {often} of {len(answers)} are"
    )


def _object(text: str) -> dict[str, Any] | None:
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def spelled_alike(examples: Sequence[Example]) -> list[Problem]:
    """Labels that differ only in case, blanks or a closing mark: one label written in several ways, or two meant."""
    given_labels = labels(examples)
    if not given_labels:
        return []
    sizes = Counter(label for label in given_labels if label)
    # Reversed, so that the first example with a label is the one named.
    first = {label: example for example, label in reversed(list(zip(examples, given_labels, strict=True)))}
    problems = []
    for usual, others in _spellings(sizes).items():
        shown = ", ".join(f"{excerpt(label, 40)!r} ({sizes[label]})" for label in (usual, *others))
        message = f"labels that differ only in case, blanks or a closing mark: {shown}"
        cure = "Write one label in one way; two that are meant need names that differ in more than that."
        problems.append(note(first[others[0]], "data.label-spelling", message, cure=cure))
    return problems


def _spellings(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """The most frequent way of writing a label → the other ways."""
    ways: dict[str, list[str]] = {}
    for label in sorted(sizes, key=lambda label: (-sizes[label], label)):
        ways.setdefault("".join(bare(label).lower().split()), []).append(label)
    return {same[0]: same[1:] for same in ways.values() if len(same) > 1}


def undeclared(examples: Sequence[Example], declared: Sequence[str]) -> list[Problem]:
    """Answers outside a declared set of labels, each with the nearest one."""
    known = set(declared)
    plain = {bare(label): label for label in declared}
    problems = []
    for example in examples:
        for reference in example.references:
            if reference in known:
                continue
            near = plain.get(bare(reference)) or next(iter(difflib.get_close_matches(reference, declared, 1)), "")
            cure = f"Did you mean {near!r}?" if near else f"Labels: {excerpt(', '.join(declared), 80)}."
            message = f"the label {excerpt(reference, 40)!r} is none of the {len(declared)} declared"
            problems.append(note(example, "data.unknown-label", message, cure=cure, severity="error"))
    return problems


def balance(examples: Sequence[Example]) -> list[Problem]:
    """Classes that differ in writing only, that are too small, or that outweigh the typical one tenfold."""
    given_labels = labels(examples)
    if not given_labels:
        return []
    sizes = Counter(given_labels)
    first = {label: example for example, label in reversed(list(zip(examples, given_labels, strict=True)))}
    problems = alike(first)
    for label, size in sorted(sizes.items()):
        if size < FEWEST:
            message = f"the class {excerpt(label, 40)!r} has {size} examples"
            problems.append(
                note(
                    first[label],
                    "data.small-class",
                    message,
                    cure="Add examples of the class, or merge it with another.",
                )
            )
    middle = float(np.median(list(sizes.values())))
    label, most = sizes.most_common(1)[0]
    if most >= 10 * middle and len(sizes) > 2:
        message = f"the class {excerpt(label, 40)!r} has {most} of {len(given_labels)} examples; "
        message += f"the median class has {middle:g}"
        problems.append(
            note(
                first[label],
                "data.class-balance",
                message,
                cure="Use macro F1 as the metric, or remove examples of the class.",
            )
        )
    return problems


def alike(first: Mapping[str, Example]) -> list[Problem]:
    """Labels that differ only in case, blanks, hyphens or underscores: two classes, or one written in two ways?

    Args:
        first: Label to the first example that has it.
    """
    forms: dict[str, str] = {}
    problems = []
    for label in sorted(first):
        other = forms.setdefault(re.sub(r"[\s_-]+(?=[^\W\d])", " ", normalize("NFKC", label).casefold()).strip(), label)
        if other != label:
            message = f"the labels {other!r} and {label!r} differ only in case or blanks"
            cure = "Write them the same, or rename one."
            problems.append(note(first[label], "data.labels-alike", message, cure=cure, severity="error"))
    return problems


def noise(examples: Sequence[Example]) -> list[Problem]:
    """Examples whose label a cross-validated model contradicts, most doubtful first; nothing without a closed set.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    given_labels = labels(examples)
    plain: dict[str, str] = {}
    for label, others in _spellings(Counter(given_labels)).items():
        plain.update(dict.fromkeys(others, label))
    given_labels = [plain.get(label, label) for label in given_labels]
    sizes = Counter(given_labels)
    judged = [i for i, label in enumerate(given_labels) if sizes[label] >= FEWEST and label]
    names = sorted({given_labels[i] for i in judged})
    if len(names) < 2:
        return []
    codes = np.array([names.index(given_labels[i]) for i in judged])
    probable = _out_of_sample([conversation(examples[i]) for i in judged], codes, len(names))
    # (classes,): how sure the model is of a class's own members, on average: the threshold of confident learning.
    usual = np.array([probable[codes == k, k].mean() for k in range(len(names))])
    rows = np.arange(len(judged))
    # shape (examples, classes): probabilities of classes that are as likely as usual for their own members.
    reached = np.where(probable >= usual, probable, -1.0)
    other = reached.argmax(axis=1)
    doubted = (reached.max(axis=1) >= SURE) & (other != codes) & (probable[rows, codes] < usual[codes])
    doubt = probable.max(axis=1) - probable[rows, codes]
    problems = []
    for row in sorted(np.flatnonzero(doubted), key=lambda r: (-doubt[r], r)):
        example = examples[judged[row]]
        label = names[other[row]]
        message = (
            f"the label {excerpt(given_labels[judged[row]], 40)!r} is doubtful: a model of the other examples says "
            f"{excerpt(label, 40)!r} ({probable[row, other[row]]:.2f} against {probable[row, codes[row]]:.2f})"
        )
        problems.append(
            note(
                example,
                "data.label-noise",
                message,
                cure="Read the example, and correct its label if the label is wrong.",
            )
        )
    return problems


def _out_of_sample(texts: Sequence[str], codes: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(examples × classes) probabilities, each from a model that has not seen the example nor its exact copies."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.model_selection import StratifiedGroupKFold
        from sklearn.naive_bayes import MultinomialNB
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "checking labels needs the package scikit-learn, which is not installed",
            cure=f"{install('data')}, or --skip noise",
        ) from error
    # A word that occurs once is never both in what is learned from and in what is judged.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=r"(?u)\b\w+\b")
    try:
        vectors = words.fit_transform(texts).tocsr()
    except ValueError:  # no word occurs twice
        return np.full((len(texts), classes), 1 / classes)
    # Copies share a fold: a model that has seen the copy has seen the label.
    copies = {text: number for number, text in enumerate(texts)}
    groups = [copies[text] for text in texts]
    out = np.zeros((len(texts), classes))  # a class that a fold's model has never seen stays at 0
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(vectors, codes, groups):
        model = MultinomialNB(alpha=0.05).fit(vectors[train], codes[train])
        out[np.ix_(test, model.classes_)] = model.predict_proba(vectors[test])
    return out
