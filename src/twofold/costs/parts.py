"""What an arm's cost is made of: parts, each so many units of one priced item. Pure.

A part is paid once, every month, at every retraining, at every update of the documents, or for every answer. Nothing
here knows a price: an item whose price is unknown stays a quantity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from twofold.costs.metering import MeteredStudy
from twofold.settings.sections import CostsSection
from twofold.text.arm_names import model_of, of_model

Basis = Literal["once", "month", "retraining", "update", "answer"]
"""How often a part is paid."""
HOURS = 730.5
"""Hours of a mean month (365.25 days)."""
_DAYS = 30.4375
_MILLION = 1e-6
_HOUR = 1 / 3600
RISK = "wrong answers"
"""The part that is no spending: what wrong answers cost whoever gets them."""
WRONG = "wrong_answer"
"""Its item of the table of prices: of an answer, at most one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPart:
    """One part of an arm's cost."""

    name: str
    """For people, for example ``training``."""
    basis: Basis
    item: str
    """Item of the table of prices (`prices.UNITS`)."""
    units: float | None = 0.0
    """Units of the item each time it is paid; None: not metered. Of an answer see `per_answer`."""
    per_answer: Mapping[str, float] = field(default_factory=dict)
    """Of an answer: quantity (`metering.QUANTITIES`) → units of the item for one of it."""
    idle: bool = False
    """Are the machine's idle hours paid with it? Then it grows as utilisation falls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The use that costs are worked out for: the section ``[costs]`` with nothing left open."""

    volume: float
    """Answers a month."""
    months: float
    """Months over which what is paid once is spread."""
    retrainings: float
    """Of every tuned arm, a month."""
    updates: float
    """Of the documents, a month."""
    section: CostsSection

    def retrainings_of(self, kind: str) -> float:
        """Retrainings a month of a tuned arm: weights that learned by heart are stale with every update."""
        return max(self.retrainings, self.updates) if kind == "closed-book" else self.retrainings


def scenario(section: CostsSection, *, max_age_days: float = 0.0) -> Scenario:
    """The use that ``[costs]`` describes; retraining as ``[retraining].max_age_days`` says unless it is stated."""
    age = max_age_days
    cadence = section.retrainings if section.retrainings is not None else _DAYS / age if age else 0.0
    return Scenario(
        volume=section.volume, months=section.months, retrainings=cadence, updates=section.updates, section=section
    )


def hosted(meter: MeteredStudy, arm: str, section: CostsSection) -> bool:
    """Is an arm's model paid by tokens? As measured, unless ``[costs].serving`` says."""
    return arm in meter.record["hosted"] if section.serving == "auto" else section.serving == "hosted"


def parts_of(meter: MeteredStudy, arm: str, section: CostsSection) -> list[CostPart]:
    """All parts of an arm's cost, those that nothing is needed of left out."""
    record = meter.record
    retrieves = arm in record["retrieves"]
    kind = record["tuned"].get(arm, "")
    parts = [
        *_answering(arm, section, retrieves=retrieves, hosted=hosted(meter, arm, section)),
        *_work(section, retrieves=retrieves, tuned=bool(kind)),
        *_evaluating(meter, arm, section, "once"),
    ]
    if kind:
        parts += [*_training(meter, arm, "once"), *_training(meter, arm, "retraining")]
        parts += _evaluating(meter, arm, section, "retraining")
        parts.append(
            CostPart(name="hours of retraining", basis="retraining", item="person", units=section.hours_retraining)
        )
    if retrieves:
        parts += _index(meter, section)
    return [part for part in parts if part.units is None or part.units or part.per_answer]


def _answering(arm: str, section: CostsSection, *, retrieves: bool, hosted: bool) -> list[CostPart]:
    """What one answer takes. A share of the machine's hours is idle, and is paid for by the answers all the same."""
    hour = _HOUR / section.utilisation
    # Models have prices of their own: a token of one is not to be paid at the price of another.
    read, known, wrote = (
        of_model(item, model_of(arm)) for item in ("prompt_tokens", "cached_prompt_tokens", "completion_tokens")
    )
    parts = []
    if hosted and section.cached:
        # Cached tokens are among the prompt's: what is paid in full is the rest.
        unread = {"prompt_tokens": _MILLION, "cached_prompt_tokens": -_MILLION}
        cached = {"cached_prompt_tokens": _MILLION}
        parts.append(CostPart(name="prompt", basis="answer", item=read, per_answer=unread))
        parts.append(CostPart(name="cached prompt", basis="answer", item=known, per_answer=cached))
    elif hosted:
        parts.append(CostPart(name="prompt", basis="answer", item=read, per_answer={"prompt_tokens": _MILLION}))
    if hosted:
        written = {"completion_tokens": _MILLION}
        parts.append(CostPart(name="completion", basis="answer", item=wrote, per_answer=written))
    else:
        spent = {"generation_seconds": hour}
        parts.append(CostPart(name="generation", basis="answer", item="machine", per_answer=spent, idle=True))
    if retrieves:
        searched = {"retrieval_seconds": hour}
        parts.append(CostPart(name="search", basis="answer", item="machine", per_answer=searched, idle=True))
    return [*parts, CostPart(name=RISK, basis="answer", item=WRONG, per_answer={"wrong": 1.0})]


def _work(section: CostsSection, *, retrieves: bool, tuned: bool) -> list[CostPart]:
    """People's hours, as the configuration states them."""
    # The tests are needed by whichever arm is owned: without them nobody would know how right it is.
    parts = [
        CostPart(name="hours of evaluation data", basis="once", item="person", units=section.hours_evaluation),
        CostPart(name="hours of upkeep", basis="month", item="person", units=section.hours_month),
    ]
    if retrieves:
        parts.append(
            CostPart(name="hours of document work", basis="once", item="person", units=section.hours_documents)
        )
    if tuned:
        parts.append(CostPart(name="hours of training data", basis="once", item="person", units=section.hours_examples))
    return parts


def _training(meter: MeteredStudy, arm: str, basis: Basis) -> list[CostPart]:
    training = meter.record["training"].get(arm)
    if training is None:
        return []
    # A hosted job is paid by tokens, however long it took.
    if training["tokens"] is not None:
        item = of_model("training_tokens", model_of(arm))
        return [CostPart(name="training", basis=basis, item=item, units=training["tokens"] * _MILLION)]
    return [CostPart(name="training", basis=basis, item="training_machine", units=training["seconds"] * _HOUR)]


def _evaluating(meter: MeteredStudy, arm: str, section: CostsSection, basis: Basis) -> list[CostPart]:
    """Answering the test questions once: the study's own answers of the arm."""
    questions = meter.record["questions"]
    parts = []
    retrieves = arm in meter.record["retrieves"]
    for part in _answering(arm, section, retrieves=retrieves, hosted=hosted(meter, arm, section)):
        # A wrong answer to a test question costs nobody anything.
        if part.name == RISK:
            continue
        units = sum(questions * weight * meter.mean(arm, quantity) for quantity, weight in part.per_answer.items())
        known = None if math.isnan(units) else units  # a quantity that was not metered is no amount of 0
        parts.append(
            CostPart(name=f"evaluation: {part.name}", basis=basis, item=part.item, units=known, idle=part.idle)
        )
    return parts


def _index(meter: MeteredStudy, section: CostsSection) -> list[CostPart]:
    index = meter.record["index"]
    gib = index["gib"] if index else None
    pace = index["seconds_per_chunk"] if index else None
    hours = index["chunks"] * pace * _HOUR if index and pace is not None else None
    # Only passages that changed are embedded again; unchanged ones keep their vectors (`indexing.sync`).
    again = None if hours is None else hours * section.churn
    return [
        CostPart(name="index hosting", basis="month", item="index", units=1.0),
        CostPart(name="index storage", basis="month", item="index_storage", units=gib),
        CostPart(name="embedding", basis="once", item="machine", units=hours),
        CostPart(name="embedding again", basis="update", item="machine", units=again),
    ]
