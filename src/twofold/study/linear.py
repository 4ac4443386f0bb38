"""A linear model on the words beside the arms, where the answers are labels: is a language model needed at all?

It learns from the train and dev examples, which are those that arms learn from, and answers the questions that they
answered. It decides nothing; the arm ``linear`` is the same model as a candidate, and then this line is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.advice.linear import linear_labels
from twofold.advice.start import is_closed_set
from twofold.errors import MissingExtra
from twofold.examples.classifier import LEARNED, evenly
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import plain
from twofold.plugins.protocols import Metric
from twofold.plugins.traits import MetricTraits
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.study.admission import is_endpoint
from twofold.types import Answer, Estimate
from twofold.verdict.record import LinearReference, StudyRecord
from twofold.verdict.rule import failures_as_wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the arms scored in the deciding metric."""

    columns: Mapping[str, Any]
    """Arm → scores of the questions that count, NaN where the answer failed; shape (questions that count,)."""
    counts: Any
    """Marks of the questions that count, shape (questions,)."""
    estimates: Mapping[str, Estimate]
    """Arm → its mean."""
    chosen: str
    """The arm that the verdict chose; empty where it chose none."""


def beside(
    record: StudyRecord,
    splits: Splits,
    questions: Questions,
    *,
    metric: Metric,
    measured: Measured,
    section: StudySection,
) -> list[str]:
    """Put a linear model's score into the record (`reference`); returns why it is not known, where it could be."""
    try:
        linear = reference(splits, questions, metric=metric, measured=measured, section=section)
    except MissingExtra as error:
        return [f"what a linear model scores is not known: {error.message} ({error.cure})"]
    if linear is not None:
        record["linear"] = linear
    return []


def reference(
    splits: Splits, questions: Questions, *, metric: Metric, measured: Measured, section: StudySection
) -> LinearReference | None:
    """The score of a linear model, and the difference to the arm that it has to be compared with.

    Args:
        splits: It learns from train and dev.
        questions: Those that the arms answered, as their answers are judged.
        metric: The deciding metric.
        measured: What the arms scored in it.
        section: Level and resampling of the intervals.

    Returns:
        None where answers are no closed set of labels, or the metric judges by more than the answer's text, or is paid.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    name = section.decides.name
    learned = (*splits.train, *splits.dev)
    if not measured.estimates or MetricTraits.of(metric).judges_passages or is_endpoint("metrics", name):
        return None
    if not learned or not is_closed_set(learned, name):
        return None
    labels = linear_labels(learned, questions)
    if labels is None:
        return None
    # Without a label are the examples that have no answer: to say so is to abstain.
    answers = [Answer(text=label, raw=label, abstained=not label) for label in labels]
    scores = [metric.score(question, answer) for question, answer in zip(questions, answers, strict=True)]
    column = np.array(scores, dtype=float)[measured.counts]  # (questions that count,), NaN where it scores none
    groups = questions.groups[measured.counts]
    best = max(measured.estimates, key=lambda arm: measured.estimates[arm].mean)
    arm = measured.chosen or best
    difference: Any = None
    if len(set(groups)) > 1:
        pair = np.stack([failures_as_wrong(measured.columns)[arm], column], axis=1)  # (questions that count, 2)
        settings: Any = {key: getattr(section, key) for key in ("level", "resamples", "seed")}
        contrast = intervals.contrasts(pair, groups, {"difference": [1.0, -1.0]}, joint=False, **settings)
        difference = plain(contrast["difference"].estimate())
    score: Any = plain(intervals.estimate(column, groups, level=section.level))
    return {
        "examples": len(evenly(learned, LEARNED)),
        "score": score,
        "arm": arm,
        "difference": difference,
    }
