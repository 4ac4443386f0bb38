"""The scores by which a study decides, and which of its questions count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from twofold.plugins import specs
from twofold.plugins.protocols import Progress, quiet
from twofold.settings.sections import StudySection
from twofold.stats.pooling import PooledScores
from twofold.study import pooled
from twofold.study.admission import Admitted
from twofold.study.compose import numbers
from twofold.study.measure import MeasuredArm
from twofold.verdict.rule import applies

DECIDE = "decide"
"""Stage of progress: a step for the columns that decide, one for each arm's intervals, one for the rest."""


def deciding(
    checked: Admitted, by_arm: Mapping[str, MeasuredArm], *, section: StudySection, progress: Progress = quiet
) -> tuple[dict[str, Any], Any, Any, Mapping[str, PooledScores]]:
    """The columns that decide, the groups of their questions, which questions count, and statistics of a pooled metric.

    A metric of questions has its scores as columns and no statistics; see `verdict.applies` and `pooled.compared`. An
    arm of several training runs has a column of the shape (runs, questions that count).
    """
    progress(DECIDE, 0, len(by_arm) + 2)
    name = section.metric.name
    metric, _ = checked.metrics[name]
    measured = {arm.name: by_arm[arm.name] for arm in checked.arms}
    if pooled.is_pooled(metric):
        answers = {arm: item.answers for arm, item in measured.items()}
        arms = pooled.compared(metric, checked.judged, answers, section=section)
        return dict(arms.columns), arms.folds, arms.counts, arms.pooled
    each = {run.arm.name: run for item in measured.values() for run in item.each}
    scores = {arm: item.over_all(item.scores[name]) for arm, item in each.items()}
    lost = {}
    for arm, item in each.items():
        # What a race did not ask says nothing of the question, as what failed does.
        lost[arm] = [answer is None or answer.failure is not None for answer in item.over_all(item.answers)]
    specs.require_same_questions(name, scores, lost)
    counts = applies(scores, lost)
    columns = {}
    for arm, item in measured.items():
        rows = [numbers(scores[run.arm.name])[counts] for run in item.each]
        columns[arm] = np.stack(rows) if item.runs else rows[0]
    return columns, checked.test.groups[counts], counts, {}
