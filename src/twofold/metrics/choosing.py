"""Choose metrics that fit the examples. Pure and deterministic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from statistics import median

from twofold.metrics.agreement import headings
from twofold.metrics.formal import language, parse
from twofold.metrics.text import label
from twofold.metrics.values import tokens
from twofold.types import Example

SHORT_ANSWERS = ("answer_f1", ("exact_match", "token_f1"))
"""The deciding metric where answers are short, and the metrics reported beside it."""
SHORT = 12
"""Median reference length, in tokens, up to which an answer counts as short."""
LABEL = 6
"""A label has at most so many words."""
RATED, GRADED = 11, 5
"""Whole numbers are labels up to so many of them (0 to 10), numbers with a unit up to so many (1 star to 5 stars)."""
_NUMBER = re.compile(r"[+\-−]?[$€£¥]?\s?[0-9](?:[0-9.,:/ ]*[0-9])?")
MOST_TEXT = 300_000
"""Characters of references that are looked at; of more, every second, third, … reference is."""
_IDENTIFIER = re.compile(r"[^\W\d][\w./:+-]*")


def suitable(examples: Sequence[Example]) -> tuple[str, tuple[str, ...]]:
    """The metric that should decide a study of these examples, and those to report beside it.

    - JSON objects or arrays as references (9 of 10): ``field_f1``.
    - A closed set of answers: ``accuracy``. That is, choices are given for most examples; or references are short and
      most of them occur more than once (looser where they look like identifiers, such as ``card_arrival``), and they
      are no quantities: heights, prices and years recur without being labels.
    - SQL or code (9 of 10): ``exact_match``, by tokens; a query that is nearly right is wrong.
    - Short references (median at most 12 tokens): ``answer_f1``. It does not take a full sentence for a worse answer
      than a few words, so that tuning does not win by being short.
    - Else ``rouge_l``, with ``section_f1`` beside it where most references have headings.

    Citation metrics and ``hallucination`` are added when sources are known, ``abstention_f1`` when some examples are
    unanswerable.
    """
    answerable = [example for example in examples if example.answerable and example.references]
    step = 1 + sum(len(example.references[0]) for example in answerable) // MOST_TEXT
    answerable = answerable[::step]  # evenly over all files
    firsts = [example.references[0] for example in answerable]
    deciding, others = _by_references(answerable, firsts)
    if any(example.sources for example in examples):
        others += ("citation_precision", "citation_recall", "hallucination")
    if any(not example.answerable for example in examples):
        others += ("abstention_f1",)
    return deciding, others


def _quantities(labels: Collection[str]) -> bool:
    """Are most of these a number, alone or before a unit, and too many to be grades?"""
    after = []
    for text in labels:
        if match := _NUMBER.match(text):
            after.append(text[match.end() :].strip())
    most = GRADED if any(after) or any(not text.strip().isdecimal() for text in labels) else RATED
    return len(labels) > most and 2 * len(after) > len(labels)


def _by_references(answerable: Sequence[Example], firsts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    n = len(firsts)
    if not n:
        return SHORT_ANSWERS
    if sum(parse(text) is not None for text in firsts) >= 0.9 * n:
        return "field_f1", ("json_valid", "exact_match")
    if sum(language(text) in ("sql", "code") for text in firsts) >= 0.9 * n:
        return "exact_match", ("token_f1",)
    labels = Counter(label(text) for text in firsts)
    brief = sum(len(label(text).split()) <= LABEL and len(text) <= 80 for text in firsts) >= 0.98 * n
    repeated = sum(count for count in labels.values() if count > 1) / n
    identifiers = all(_IDENTIFIER.fullmatch(text.strip()) for text in firsts)
    # Given choices decide alone. Else answers must recur, and be no quantities: heights and prices recur as well.
    closed = sum(bool(example.choices) for example in answerable) >= 0.6 * n
    if closed or (
        not _quantities(labels) and brief and n >= 10 and len(labels) >= 2 and repeated >= (0.2 if identifiers else 0.6)
    ):
        return "accuracy", ("macro_f1",)
    if median(len(tokens(text)) for text in firsts) <= SHORT:
        return SHORT_ANSWERS
    headed = sum(bool(headings(text)) for text in firsts) >= 0.6 * n
    return "rouge_l", ("section_f1", "token_f1") if headed else ("token_f1",)
