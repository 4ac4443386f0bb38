"""A ranking of the ways to build it, from answers and measured facts. Pure.

Two kinds of judgement stay apart. A *constraint* rules a way out whatever speaks for it: tuned weights cannot cite.
Everything else is a *preference*: a way's score is the sum over all known criteria of weight × points (`weights`), so
that every part of it can be shown, changed, and turned round in closed form (`reversals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from twofold.advice.questionnaire import INQUIRIES, Contradiction, UserAnswers, at_odds
from twofold.advice.weights import FOLLOWS, MEASURED, WAYS, WeightTable, levels_of

ANSWER = "answer"
"""Source of a ground that the user stated."""
ALIKE = 1e-9
"""Scores that differ by less are equal: they are sums of a few dozen decimal fractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFact:
    """Something that the project shows, without being asked."""

    criterion: str
    """Criterion that it decides; empty where it is shown for information only."""
    level: str
    """Level of the criterion; empty where the project does not tell."""
    text: str
    """The fact in words, with its numbers."""
    source: str
    """Where it comes from."""
    against: tuple[str, ...] = ()
    """Levels that the project speaks against."""
    tentative: bool = False
    """The level counts only as long as the user answers nothing: the project suggests it, and does not show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is known of one criterion: an answer or a fact."""

    criterion: str
    level: str
    text: str
    """In words."""
    source: str
    """`ANSWER`, or where the project shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that is known, one level for each criterion."""

    grounds: Mapping[str, Ground]
    """Criterion → what is known of it; what is unknown is not among them."""
    contradictions: tuple[Contradiction, ...] = ()
    """Answers that do not go together, or that the project contradicts."""

    @property
    def levels(self) -> dict[str, str]:
        """Criterion → level."""
        return {name: ground.level for name, ground in self.grounds.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One criterion's part in a way's score."""

    points: float
    """Weight × points."""
    because: str
    """The general rule, in words."""
    ground: Ground
    """The answer or fact that it rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One way with its score."""

    way: str
    score: float
    """Sum of its reasons."""
    low: float
    """Least score that it could have once more is known."""
    high: float
    """Greatest."""
    reasons: tuple[Reason, ...]
    """What its score is made of, the weightiest first."""
    excluded: tuple[str, ...]
    """Constraints that rule it out; empty for a way that may be chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All ways, the best first; those that are ruled out come last."""

    placements: tuple[Placement, ...]

    @property
    def eligible(self) -> tuple[Placement, ...]:
        """The ways that no constraint rules out, the best first."""
        return tuple(placement for placement in self.placements if not placement.excluded)

    @property
    def first(self) -> str:
        """The way that comes first; empty where none is left, or nothing is known that tells them apart."""
        eligible = self.eligible
        # Without a single reason the order is that of simplicity alone, which is no advice.
        return eligible[0].way if eligible and any(placement.reasons for placement in eligible) else ""

    @property
    def second(self) -> str:
        """The way that comes next; empty where there is none."""
        eligible = self.eligible
        return eligible[1].way if self.first and len(eligible) > 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Constraint:
    """What certain levels of a criterion rule out."""

    criterion: str
    levels: frozenset[str]
    ways: frozenset[str]
    why: str


def _constraint(criterion: str, levels: str, ways: str, why: str) -> _Constraint:
    return _Constraint(
        criterion=criterion, levels=frozenset(levels.split()), ways=frozenset(ways.split()), why=f"it {why}"
    )


CONSTRAINTS = (
    _constraint(
        "attribution", "required", "base prompt classifier ft", "cannot cite: it has read no document when it answers"
    ),
    # As the verdict has it: weights answer everybody alike, whoever asks.
    _constraint("permissions", "yes", "ft ft+rag", "cannot enforce per-document permissions once weights hold them"),
    _constraint(
        "change", "live hourly", "base prompt ft classifier", "cannot follow knowledge that changes within the hour"
    ),
    _constraint("documents", "none", "rag ft+rag whole", "has no documents to read"),
    _constraint("documents", "many large", "whole", "does not fit: all documents together are longer than a prompt"),
    _constraint("labels", "none", "ft ft+rag classifier", "has no examples to learn from"),
    _constraint(
        "task",
        "questions lookup structured tone summaries several",
        "classifier",
        "can only choose among fixed categories",
    ),
)
"""What cannot work, whatever speaks for it. Unlike weights these are no opinions, and are not edited."""

NEEDED = (("classifier", "task"), ("whole", "documents"))
"""Way and criterion: the way works only in a special case, so that it is not proposed before the criterion is known."""


def excluded(way: str, levels: Mapping[str, str]) -> Iterator[str]:
    """The constraints that rule a way out."""
    for constraint in CONSTRAINTS:
        if way in constraint.ways and levels.get(constraint.criterion) in constraint.levels:
            yield f"{constraint.why} ({constraint.criterion}: {levels[constraint.criterion]})"
    for special, criterion in NEEDED:
        if way == special and criterion not in levels:
            yield f"it is not proposed while {criterion} is unknown"


def situation(answers: UserAnswers, facts: Sequence[ProjectFact] = ()) -> Situation:
    """What answers and project say together.

    Where they differ the project counts, because it was measured, except where demands are concerned: there the
    stricter of the two counts (`questionnaire.Inquiry.strict`). Every difference is named.
    """
    measured = {fact.criterion: fact for fact in facts if fact.criterion}
    grounds: dict[str, Ground] = {}
    for name, fact in measured.items():
        if fact.level:
            grounds[name] = Ground(criterion=name, level=fact.level, text=fact.text, source=fact.source)
    contradictions = []
    for name, value in answers.levels.items():
        ground = Ground(criterion=name, level=value, text=f"{name}: {INQUIRIES[name].meaning(value)}", source=ANSWER)
        if name in measured and _against(measured[name], value):
            contradictions.append(_contradicted(name, value, measured[name]))
        elif name not in grounds or INQUIRIES[name].strict or measured[name].tentative:
            grounds[name] = ground  # the project shows less than what is demanded, which is no contradiction
    levels = {name: ground.level for name, ground in grounds.items()}
    return Situation(grounds=followed(grounds), contradictions=(*contradictions, *at_odds(levels)))


def followed(grounds: Mapping[str, Ground]) -> dict[str, Ground]:
    """The grounds with those that follow from two of them together (`weights.FOLLOWS`) drawn anew.

    Scores are sums over criteria, so what two criteria mean only together is a third one. ``citing``: a small model
    that was not tuned is shown passages and cites none (the case of questions on policy: .000 [.000, .215] of 55).
    """
    out = {name: ground for name, ground in grounds.items() if name not in FOLLOWS}
    demand, model = out.get("attribution"), out.get("model")
    able = next((g for g in (demand, model) if g and (g.criterion, g.level) not in _UNTAUGHT), None)
    if able:
        out["citing"] = Ground(criterion="citing", level="usual", text=able.text, source=able.source)
    elif demand and model:
        text = f"{demand.text}; {model.text}"
        out["citing"] = Ground(criterion="citing", level="untaught", text=text, source=model.source)
    return out


_UNTAUGHT = frozenset({("attribution", "required"), ("model", "small")})
"""What together means that citations are demanded of a model that does not write them by itself."""


def _against(fact: ProjectFact, value: str) -> bool:
    """Does the project speak against an answer?"""
    if value in fact.against:
        return True
    if not fact.level or fact.tentative or fact.level == value:
        return False
    inquiry = INQUIRIES[fact.criterion]
    # A demand beyond what the project shows is the user's to make.
    return not inquiry.strict or inquiry.values.index(value) > inquiry.values.index(fact.level)


def _contradicted(name: str, value: str, fact: ProjectFact) -> Contradiction:
    counts = f"this counts as {fact.level}" if fact.level else "the answer is left out"
    message = f"the answer {name} = {value} does not fit the project: {fact.text} ({fact.source}); {counts}"
    other = f"answer {name} with {fact.level}" if fact.level else "leave the answer open"
    return Contradiction(about=(name,), message=message, cure=f"Mend the project, or {other}.")


def rank(known: Situation, table: WeightTable) -> Ranking:
    """Rank all ways.

    Args:
        known: Answers and facts.
        table: Weights and points.
    """
    levels = known.levels
    placements = []
    for way in WAYS:
        reasons = []
        for name, ground in known.grounds.items():
            criterion = table.criteria[name]
            points = criterion.weight * criterion.points(ground.level, way)
            if points:
                reasons.append(Reason(points=points, because=criterion.levels[ground.level].because, ground=ground))
        reasons.sort(key=lambda reason: -abs(reason.points))
        score = sum(reason.points for reason in reasons)
        low, high = _spread(way, levels, table)
        placements.append(
            Placement(
                way=way,
                score=score,
                low=score + low,
                high=score + high,
                reasons=tuple(reasons),
                excluded=tuple(excluded(way, levels)),
            )
        )
    return Ranking(placements=_ordered(placements))


def _ordered(placements: Sequence[Placement]) -> tuple[Placement, ...]:
    # Rounded, so that sums in another order are the same score; the sort is stable, so the simpler comes first.
    return tuple(sorted(placements, key=lambda p: (bool(p.excluded), -round(p.score / ALIKE))))


def _spread(way: str, levels: Mapping[str, str], table: WeightTable) -> tuple[float, float]:
    """Least and greatest sum of what is still unknown, in closed form: criteria add up."""
    low = high = 0.0
    for name in (*INQUIRIES, *MEASURED):
        if name not in levels:
            criterion = table.criteria[name]
            # 0 as well: it may stay unknown, or mean nothing here.
            possible = [0.0, *(criterion.weight * criterion.points(level, way) for level in levels_of(name))]
            low, high = low + min(possible), high + max(possible)
    return low, high
