"""Causes of an arm's wrong answers to train-side questions, found by diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twofold.examples.questions import Questions
from twofold.improvement.proposals import Cause
from twofold.lifecycle.comparison import scores_of
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.study import diagnosing
from twofold.study.diagnosing import Scope
from twofold.types import Arm, Example


def causes_of(
    project: Project, study: str, arm: Arm, *, questions: Sequence[Example], progress: Progress
) -> list[Cause]:
    """Answer train-side questions with an arm as that study measured it, and diagnose the wrong answers.

    Answers and re-runs are kept, so that a run that was killed goes on and a repeated one runs nothing.

    Raises:
        StudyError: the arm is not the one that was measured, or the metric judges none of its answers.
    """
    config, splits, catalogue = project.config, project.splits, project.catalogue
    with project.writing():
        system, _ = project.workspace.of(arm).arms.system(arm, splits, progress=progress)
        scores_of(
            config, catalogue, system, questions=questions, splits=splits, progress=progress, label="train and dev"
        )
        # The study names arm, weights and metric; its own questions, which prove steps, are not among these.
        request = Scope(study=study, arms=(arm.name,), fixes=False)
        opened = diagnosing.opened(config, splits, project.records, request=request)
        train_side = Questions(questions)
        opened = replace(opened, questions=train_side, judged=splits.judged(train_side), left_out=0)
        record = diagnosing.diagnose(project.workspace, opened, request=request, progress=progress)
    return [Cause(question=row["id"], cause=row["cause"]) for row in record["arms"][arm.name]["rows"]]
