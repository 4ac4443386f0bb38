"""The record of a diagnosis: ``diagnosis.json`` beside a study's ``study.json``, which stays as it was. Pure."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from twofold.types import Json

FILE = "diagnosis.json"
"""Name of the record in the study's directory."""
FORMAT = 1
"""Raised when older programs could not read it."""


class PassageRow(TypedDict):
    """A passage that a re-run showed, by its place."""

    document: str
    """Empty for a passage that states the reference."""
    start: int
    end: int


class TrialRow(TypedDict):
    """A re-run of one answer."""

    change: str
    right: bool
    score: float | None
    text: str
    failure: str
    passages: list[PassageRow]
    tokens: int
    """Tokens read and written."""


class DiagnosedRow(TypedDict):
    """A wrong answer with its one cause."""

    id: str
    group: str
    cause: str
    parts: list[str]
    """The two causes of a ``joint`` one."""
    by: str
    """The intervention that decided, or the observation where nothing was run."""
    detail: str
    trials: list[TrialRow]
    """All re-runs, in order; the last one decided, unless nothing did."""


class LedgerRow(TypedDict):
    """A cause in the ledger of an arm."""

    cause: str
    label: str
    count: int
    share: float
    """Of the diagnosed wrong answers; the shares of all causes add up to 1."""
    low: float
    high: float
    cure: str
    examples: list[str]
    """Ids of at most five answers."""


class LeverRow(TypedDict):
    """Something that could be mended, with what that would gain."""

    lever: str
    """What would be perfect: ``retrieval``, ``form`` …"""
    action: str
    gain: Json
    """Difference in the study's metric over all answers of the arm, with its interval: ``mean``, ``low``, ``high``."""
    answers: int
    """Answers that were asked again for it, right ones among them."""
    harmed: int
    """Right answers that it made wrong."""
    tokens: float | None
    """Further tokens an answer; None: unknown."""
    price: float | None
    """Price of these for 1,000 answers; None: unknown."""
    currency: NotRequired[str]
    """Of the price; empty where nothing says."""
    effort: str


class ArmDiagnosis(TypedDict):
    """The diagnosis of one arm."""

    arm: str
    system: str
    """Key of the system that the study measured."""
    answers: int
    """Scored or failed answers of the arm."""
    wrong: int
    """Wrong ones among them."""
    diagnosed: int
    """Those that were diagnosed: all, or a sample."""
    unscored: int
    """Answers that the metric does not judge."""
    reruns: int
    """Re-runs that the ledger and the levers stand on."""
    failed: int
    """Re-runs that failed."""
    ledger: list[LedgerRow]
    rows: list[DiagnosedRow]
    levers: list[LeverRow]
    """Best first; those whose interval does not reach above 0 are no fix."""


class DiagnosisRecord(TypedDict):
    """`diagnosis.json`."""

    format: int
    study: str
    created: str
    """ISO time, UTC."""
    twofold: str
    metric: str
    right_from: float | None
    level: float
    """Of all intervals."""
    arms: dict[str, ArmDiagnosis]
    notes: list[str]
    """What to beware of, each with its cure."""
