"""Examples made ready for a study: divided, and nothing left in train or dev that gives a later side away. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from twofold.examples.leaks import Leaks, agree, drop_leaks, leak_error, leaks
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits, split
from twofold.settings.sections import ExamplesSection
from twofold.types import Example, Problem

PARAPHRASE = 0.9
"""Cosine of two questions' vectors from which they are told to ask the same, where they want one answer."""
NOT_COMPARED = "data.not-compared"
"""Of the warning that questions were not compared by their meaning."""
_PIECE = 512
"""Training questions that are compared with all test questions at once."""
TEST, DEV = "test", "dev split"
"""The side that a leak gives away, as `leak_error` names it."""


def prepared(
    examples: Sequence[Example],
    section: ExamplesSection,
    *,
    documents: Mapping[str, str],
    holders: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[Splits, dict[str, int]]:
    """Splits without leaks, and what was dropped for them.

    Args:
        examples: All of them.
        section: How they are divided, and what a leak means.
        documents: Id of every document → the first id of the same text; see `splitting.split`.
        holders: Document id → ids of the documents that hold its text; see `splitting.split`.

    Returns:
        The splits; and how many examples of train and dev are ``exact`` or ``near`` copies of a test question, from the
        same place (``span``) or dialogue (``history``); how many of train are copies of a ``dev`` question; and how
        many were ``dropped``.

    Raises:
        LeakFound: the section says that a leak is an error.
        TooFewExamples: a split is empty.
    """
    splits = split(examples, section, documents=documents, holders=holders)
    leaked, inner = standing(splits, near=section.near == "drop")
    if section.on_leak == "error":
        for kind, where in ((leaked, TEST), (inner, DEV)):
            if kind.pairs:
                raise leak_error(kind.pairs[0], kind, examples, where=where)
    return cleared(splits, leaked, inner)


def standing(splits: Splits, *, near: bool) -> tuple[Leaks, Leaks]:
    """Leaks of train and dev into test and reserve, and of what is then left of train into what is left of dev.

    Args:
        splits: As divided.
        near: Look for near copies too.
    """
    leaked = leaks(
        (*splits.once(splits.train), *splits.once(splits.dev)), splits.once((*splits.test, *splits.reserve)), near=near
    )
    train, dev = drop_leaks(splits.train, leaked), drop_leaks(splits.dev, leaked)
    return leaked, replace(leaks(splits.once(train), splits.once(dev), near=near), span=())


def cleared(splits: Splits, leaked: Leaks, inner: Leaks) -> tuple[Splits, dict[str, int]]:
    """The splits without the leaks that `standing` found, and how many of each kind; see `prepared`."""
    train, dev = drop_leaks(drop_leaks(splits.train, leaked), inner), drop_leaks(splits.dev, leaked)
    dropped = {"train": len(splits.train) - len(train), "dev": len(splits.dev) - len(dev)}
    counts = {**leaked.counts, "dev": len({name for name, _ in inner.pairs}), "dropped": sum(dropped.values())}
    return replace(splits, train=Questions(train), dev=Questions(dev), dropped=dropped), counts


def paraphrases(
    train: Sequence[Example],
    test: Sequence[Example],
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    known: Leaks,
) -> list[tuple[Example, Example]]:
    """Training and test questions that mean the same: their vectors are near, and they want an answer alike.

    Args:
        train: What is learned from.
        test: What is kept for the test.
        vectors: Of the questions of each, of length 1.
        known: Leaks, which are not told again.
    """
    leaked_ids = {name for name, _ in known.pairs}
    pairs: list[tuple[Example, Example]] = []
    # In pieces: all questions against all others at once would not fit into memory.
    for start in range(0, len(train) if len(test) else 0, _PIECE):
        # shape (piece, test): cosines, as the vectors have length 1.
        close = vectors[0][start : start + _PIECE] @ vectors[1].T
        for row, example in enumerate(train[start : start + _PIECE]):
            if example.id in leaked_ids:
                continue
            best = sorted(np.flatnonzero(close[row] >= PARAPHRASE).tolist(), key=lambda n: (-close[row][n], n))
            match = next((test[n] for n in best if agree(example, test[n])), None)
            if match is not None:
                pairs.append((example, match))
    return pairs


def paraphrase_problem(pairs: Sequence[tuple[Example, Example]]) -> Problem:
    """The finding of `check` about paraphrases: their number, and one pair."""
    first, other = pairs[0]
    many = f"{len(pairs)} training questions mean" if len(pairs) > 1 else "1 training question means"
    return Problem(
        severity="warning",
        code="data.paraphrase",
        message=f"{many} what a test question asks, in other words and with the same answer: "
        f"{first.question[:60]!r} and {other.question[:60]!r}",
        cure='Give such questions the same "group", so that they are in one split; nothing was dropped.',
        file=first.file,
        line=first.line,
        example=first.id,
    )


def not_compared(why: str, cure: str) -> Problem:
    """The warning of `check` that questions were not compared by their meaning."""
    message = f"training questions were not compared with test questions by their meaning: {why}"
    return Problem(severity="warning", code=NOT_COMPARED, message=message, cure=cure)
