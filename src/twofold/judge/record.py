"""The record of a judge: ``judgement.json`` beside a study's ``study.json``, which stays as it was. Pure."""

from __future__ import annotations

from typing import TypedDict

from twofold.types import Json
from twofold.verdict.record import EstimateRecord

FILE = "judgement.json"
"""Name of the record in the study's directory."""
FORMAT = 1
"""Raised when older programs could not read it."""


class BarRow(TypedDict):
    """One figure of the probation beside the bar that its lower end has to reach."""

    name: str
    """``repeats``, ``order`` or ``agreement``."""
    title: str
    """The figure in words."""
    estimate: EstimateRecord | None
    """None where it does not exist."""
    bar: float
    passed: bool
    needed: int | None
    """Marked answers with which it would pass if the figure stayed; None: it passes, or more marks would not help."""
    detail: str
    """Why it does not exist; empty where it does."""


class JudgedArm(TypedDict):
    """An arm's judged score: in the mode ``pairwise`` its share of won comparisons, ties as half."""

    score: EstimateRecord
    """Of all its answers, with people's marks and the judge's; `n` counts marked ones."""
    people: EstimateRecord
    """Of people's marks alone."""
    weight: float
    """Of the judge, from 0 to 1; see `stats.predictions`."""
    judged: int
    """Answers, or comparisons, with a mark of the judge."""


class JudgementRecord(TypedDict):
    """``judgement.json``."""

    format: int
    study: str
    created: str
    """ISO time, UTC."""
    twofold: str
    """Version of Twofold."""
    model: str
    """Name of the model in the configuration, or ``[generation]``."""
    generator: Json
    """Description of what judged."""
    mode: str
    rubric: str
    references: bool
    constrained: bool
    """Was the judge held to the schema of the reply?"""
    level: float
    """Of all intervals."""
    people: list[str]
    """Who marked."""
    marks: int
    """Marks of people that were used."""
    marked: int
    """Answers, or pairs, with a mark."""
    items: int
    """All that there are to judge."""
    questions: int
    """Questions put to the judge, repeats included."""
    cached: int
    """Of these, answered in an earlier run."""
    unreadable: int
    """Replies without a mark."""
    failed: int
    """Questions that failed; a repetition asks them again."""
    tokens: int
    """Read and written, cached replies included."""
    seconds: float
    """Spent now."""
    amount: float
    """Price of the tokens that an endpoint counted now, in the currency of the configured prices; 0: none known."""
    bars: list[BarRow]
    passed: bool
    sentence: str
    doubts: list[str]
    tries: int
    """Probations of judges on this study, this one included; another judge, rubric or set of marks is another one."""
    fingerprint: str
    """Digest of judge, rubric and marks."""
    arms: dict[str, JudgedArm]
    """Empty unless the judge passed."""
