"""What a step would take: the forecast of the study that proves it, and of the trial on train and dev before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from twofold.errors import ConfigError, DataError, MissingExtra, StudyError, TwofoldError
from twofold.files.toml_values import merged
from twofold.improvement import gaps, trials
from twofold.improvement.record import Step
from twofold.project import Project
from twofold.study.plan_record import StudyPlan
from twofold.types import Json

Opening = Callable[[Json], AbstractContextManager[Project]]
"""Opens the project with values laid over its settings."""


def priced(step: Step, project: Project, opened: Opening, *, trial: int) -> Step:
    """The step with its forecast; left to a person where it is impossible as the project is.

    Args:
        step: Of the project as it is.
        project: Without the step.
        opened: The same project with values.
        trial: Questions that the step is tried on before its study.
    """
    if step.for_a_person:
        return step
    if trials.cuts(step.values) and trials.in_database(project.config):
        return _impossible(step, "its index is in a database, where other passages would answer while it is tried")
    # Another seed of training: the forecast of a training that was not done yet.
    seed = {"tuning": {"seed": project.config.tuning.seed + 1}} if step.gaps else {}
    try:
        with opened(merged(step.values, seed)) as changed:
            plan = changed.plan()
    except (ConfigError, DataError, StudyError, MissingExtra) as error:
        # No documents, weights that cannot be trained, a stage that is not installed: other steps may do.
        return _impossible(step, error.message)
    seconds = 60 * plan.minutes + trial * _answer(plan, step.arm)
    if step.gaps:
        # The rows are not made yet: training takes longer as there are more of them.
        share = gaps.count(len(step.questions)) / max(1, len(project.splits.train))
        seconds += share * sum(item["seconds"] for item in plan.steps if item["step"] == f"tune {step.arm}")
    return replace(step, minutes=seconds / 60, cost=None if plan.unpriced else plan.cost)


def remaining(step: Step, opened: Opening, values: Json) -> Step:
    """The step of an interrupted round with the forecast of what is left of it; as it was where there is none.

    Args:
        step: As it was recorded.
        opened: The project with values.
        values: Of the round, with the path of its made questions.
    """
    try:
        with opened(values) as changed:
            plan = changed.plan()
    except TwofoldError:
        # Its questions are not made yet, or documents were changed since, which the round itself says.
        return step
    return replace(step, minutes=plan.minutes, cost=None if plan.unpriced else plan.cost)


def _answer(plan: StudyPlan, arm: str) -> float:
    """Seconds of one answer of an arm by its plan; 0 where all are in the store."""
    for item in plan.steps:
        if item["step"] == f"answer {arm}":
            missing = item["items"] - item["cached"]
            return item["seconds"] / missing if missing else 0.0
    return 0.0


def _impossible(step: Step, because: str) -> Step:
    return replace(step, values={}, gaps=False, why=f"{step.why}; impossible as the project is: {because}")
