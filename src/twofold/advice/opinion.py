"""An advice: answers, facts and weights brought together into one record. Pure.

The record is complete: whoever reads it later sees what was known, how it was weighed, and what would have turned it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from twofold.advice.experiments import experiments
from twofold.advice.questionnaire import INQUIRIES, UserAnswers
from twofold.advice.ranking import Placement, ProjectFact, Situation, rank, situation
from twofold.advice.reversals import LevelFlip, close, level_flips, open_flips, weight_flips
from twofold.advice.weights import FOLLOWS, MEASURED, NAMES, WeightTable, levels_of, shipped
from twofold.hashing import digest
from twofold.types import Json

FORMAT = 1
"""Raised when a reader of the old shape would be wrong."""
CAVEAT = "This is an opinion: rules of thumb of practitioners, added up. Only a study on your questions measures."
NOTHING = "Nothing is known yet that tells the ways apart, so no way is advised."
NONE_LEFT = "No way is left: what is demanded rules all of them out together."


class FactRow(TypedDict):
    """A `ranking.ProjectFact`."""

    criterion: str
    level: str
    text: str
    source: str


class ReasonRow(TypedDict):
    """A `ranking.Reason`."""

    criterion: str
    level: str
    points: float
    because: str
    text: str
    source: str
    """``answer``, or where the project shows it."""


class WayRow(TypedDict):
    """A `ranking.Placement`."""

    way: str
    name: str
    score: float
    low: float
    """Least score once more is known."""
    high: float
    excluded: list[str]
    reasons: list[ReasonRow]


class FlipRow(TypedDict):
    """A `reversals.LevelFlip`."""

    criterion: str
    before: str
    after: str
    first: str


class OpenRow(TypedDict):
    """A criterion that nothing is known of."""

    criterion: str
    question: str
    """Empty for what is measured and not asked."""
    levels: list[str]
    flips: list[FlipRow]
    """Levels that would put another way first."""


class WeightFlipRow(TypedDict):
    """A `reversals.WeightFlip`."""

    criterion: str
    weight: float
    bound: float
    direction: str
    first: str


class ContradictionRow(TypedDict):
    """A `questionnaire.Contradiction`."""

    about: list[str]
    message: str
    cure: str


class StepRow(TypedDict):
    """An `experiments.Experiment`."""

    what: str
    command: str
    cost: str


class AdviceRecord(TypedDict):
    """One advice, as it is printed and stored."""

    format: int
    id: str
    """Digest of answers, facts and weights: the same advice has the same id."""
    at: str
    """ISO time at which it was given."""
    project: str
    """Empty outside a project."""
    sentence: str
    """The advice in one or two sentences."""
    first: str
    """The way advised; empty where none is."""
    second: str
    close: bool
    """Would one weight, changed by less than half, put another way first?"""
    answers: dict[str, str]
    facts: list[FactRow]
    contradictions: list[ContradictionRow]
    ranking: list[WayRow]
    """The best first; what is ruled out comes last."""
    unknown: list[OpenRow]
    """What could turn the ranking round comes first."""
    flips: list[FlipRow]
    """Single answers or facts that would put another way first."""
    weight_flips: list[WeightFlipRow]
    """Weights from which on another way comes first, the nearest first."""
    weights: Json
    """Criteria whose weights or points are not the shipped ones."""
    steps: list[StepRow]
    """What would settle it, the cheapest first."""
    caveat: str


def advise(
    answers: UserAnswers, facts: Sequence[ProjectFact] = (), *, table: WeightTable | None = None, at: str, project: str
) -> AdviceRecord:
    """Give an advice.

    Args:
        answers: Of the user.
        facts: Of the project; none outside a project.
        table: Weights; the shipped ones by default.
        at: ISO time at which it is given.
        project: The project's name.
    """
    table = table or shipped()
    known = situation(answers, facts)
    ranking = rank(known, table)
    opened = list(open_flips(known, table))
    weights = weight_flips(known, table)
    fact_rows: list[FactRow] = []
    for fact in facts:
        fact_rows.append({"criterion": fact.criterion, "level": fact.level, "text": fact.text, "source": fact.source})
    changed = {name: entry for name, entry in table.to_json().items() if entry != shipped().to_json()[name]}
    named = {"format": FORMAT, "answers": dict(answers.levels), "facts": fact_rows, "weights": table.to_json()}
    return {
        "format": FORMAT,
        "id": digest("advice", named),
        "at": at,
        "project": project,
        "sentence": _sentence(ranking.first, ranking.second, left=bool(ranking.eligible), near=close(weights)),
        "first": ranking.first,
        "second": ranking.second,
        "close": close(weights),
        "answers": dict(answers.levels),
        "facts": fact_rows,
        "contradictions": [
            {"about": list(c.about), "message": c.message, "cure": c.cure} for c in known.contradictions
        ],
        "ranking": [_way(placement) for placement in ranking.placements],
        "unknown": _unknown(known, opened),
        "flips": [_flip(flip) for flip in level_flips(known, table)],
        "weight_flips": [
            {
                "criterion": flip.criterion,
                "weight": flip.weight,
                "bound": flip.bound,
                "direction": flip.direction,
                "first": flip.first,
            }
            for flip in weights
        ],
        "weights": changed,
        "steps": [
            {"what": step.what, "command": step.command, "cost": step.cost}
            for step in experiments(known, ranking, opened)
        ],
        "caveat": CAVEAT,
    }


def _sentence(first: str, second: str, *, left: bool, near: bool) -> str:
    if not first:
        return NOTHING if left else NONE_LEFT
    sentence = f"Start with {NAMES[first]}."
    if second:
        sentence += f" Next comes {NAMES[second]}" + (", and the two are close." if near else ".")
    return sentence


def _way(placement: Placement) -> WayRow:
    reasons: list[ReasonRow] = []
    for reason in placement.reasons:
        ground = reason.ground
        reasons.append(
            {
                "criterion": ground.criterion,
                "level": ground.level,
                "points": reason.points,
                "because": reason.because,
                "text": ground.text,
                "source": ground.source,
            }
        )
    return {
        "way": placement.way,
        "name": NAMES[placement.way],
        "score": placement.score,
        "low": placement.low,
        "high": placement.high,
        "excluded": list(placement.excluded),
        "reasons": reasons,
    }


def _flip(flip: LevelFlip) -> FlipRow:
    return {"criterion": flip.criterion, "before": flip.before, "after": flip.after, "first": flip.first}


def _unknown(known: Situation, opened: Sequence[LevelFlip]) -> list[OpenRow]:
    rows: list[OpenRow] = []
    for name in (*INQUIRIES, *MEASURED):
        if name not in known.grounds and name not in FOLLOWS:
            question = INQUIRIES[name].text if name in INQUIRIES else ""
            flips = [_flip(flip) for flip in opened if flip.criterion == name]
            rows.append({"criterion": name, "question": question, "levels": list(levels_of(name)), "flips": flips})
    return sorted(rows, key=lambda row: not row["flips"])
