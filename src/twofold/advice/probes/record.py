"""The shape of a forecast, as it is stored and printed. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from twofold.verdict.record import EstimateRecord

FORMAT = 1
"""Raised when a reader of the old shape would be wrong."""


class ProbedSample(TypedDict):
    """The questions that the probes asked: of the train and dev splits, never of the test."""

    questions: int
    groups: int
    """Groups that they are of."""
    worth: float
    """How many groups of equal size these are worth (`intervals.kish`)."""
    pool: int
    """Questions that could have been asked."""
    splits: list[str]
    """Splits that the pool was."""
    failed: int
    """Questions of which an answer failed."""
    seconds: float
    """What the answers took, as measured when they were made."""
    minutes: float
    """Time budget that chose how many are asked."""


class ArmForecast(TypedDict):
    """What the study will probably measure of an arm."""

    score: EstimateRecord
    """Predicted score in the deciding metric: the truth lies there."""
    expected: EstimateRecord
    """Where the study's own mean is to be expected, which has the chance of its own questions in it."""
    system: str
    """Key of the system that was probed; empty where it is trained only later."""
    means: str
    """How it was predicted, in words."""


class DifferenceForecast(TypedDict):
    """What the study will probably measure of a difference of two arms."""

    score: EstimateRecord
    """Predicted difference in the deciding metric: the truth lies there."""
    expected: EstimateRecord
    """Where the study's own mean is to be expected."""


class CurvePoint(TypedDict):
    """One short training."""

    rows: int
    """Examples of the train split that it learned from."""
    score: EstimateRecord
    """Score on the dev split."""
    steps: int
    seconds: float


class TuningCurve(TypedDict):
    """Scores after short trainings on nested subsets, and what they say of more data."""

    arm: str
    rows: int
    """Examples of the train split in all."""
    dev: int
    """Dev questions that every point is scored on."""
    epochs: float
    points: list[CurvePoint]
    """From the smallest subset to the largest."""
    whole: EstimateRecord
    """Predicted score after training on all examples of the train split."""
    twice: EstimateRecord
    """Predicted gain of twice the data over `whole`."""
    form: str
    """The form of the extrapolation, in words."""
    trainer: str
    """Digest of trainer and base model."""


class ForecastWarning(TypedDict):
    """Why the documents or the questions may not tell arms apart."""

    code: str
    """``base-already-answers``, ``every-retriever-perfect``, ``nothing-unanswerable``, ``no-sources``,
    ``no-right-answer``, ``retrieval-not-probed`` or ``tuning-not-probed``."""
    message: str


class ForecastRecord(TypedDict):
    """One forecast: made once, never changed."""

    format: int
    key: str
    """Digest of what made it: systems, metric, questions, trainer."""
    created: str
    """ISO time, UTC."""
    twofold: str
    project: str
    metric: str
    metric_key: str
    right_from: float | None
    level: float
    margin: float
    k: int
    """Passages shown; 0 where the project has no documents."""
    sample: ProbedSample
    test: int
    """Test questions for which `ArmForecast.expected` is."""
    probes: dict[str, EstimateRecord]
    """``p``, ``R``, ``U``, ``D``: those that could be measured; only ``R`` where the metric calls no answer right."""
    gain: EstimateRecord | None
    """Predicted gain of retrieval in right answers, (1 − p) · R · U − p · D."""
    counted: EstimateRecord | None
    """The same gain as the sample's own answers show it."""
    arms: dict[str, ArmForecast]
    differences: dict[str, DifferenceForecast]
    """``rag - base``."""
    tuning: TuningCurve | None
    warnings: list[ForecastWarning]
    legs: NotRequired[dict[str, EstimateRecord]]
    """Retriever → share of questions with a right document among its k hits."""


def moment(time: str) -> datetime:
    """A stored time as one that compares: as texts, times of another zone or precision compare wrongly.

    Raises:
        ValueError: it is no ISO time.
    """
    parsed = datetime.fromisoformat(time)
    # Twofold writes UTC; a time without a zone was written by hand.
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
