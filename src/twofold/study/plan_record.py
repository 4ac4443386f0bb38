"""A plan of a study, or of the tuning of one arm, as `Project.plan` and `Project.tuning.plan` return it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twofold.reports.model_lines import OWN
from twofold.study.plan import ModelPlan, prospect_text
from twofold.study.race_plan import RacePlan
from twofold.text.arm_names import model_of
from twofold.types import Json
from twofold.verdict.power import Prospect
from twofold.verdict.record import BillItem, CostRow, PolicyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPlan:
    """The work that tuning one arm would take."""

    steps: Sequence[BillItem]
    """In the order in which they happen."""
    warnings: Sequence[str]
    rates: str
    """Origin of the paces behind the seconds: measured here, or defaults scaled to this CPU."""

    @property
    def minutes(self) -> float:
        """Minutes of all steps."""
        return sum(step["seconds"] for step in self.steps) / 60

    def to_json(self) -> Json:
        """The plan as ``twofold tune`` reads it."""
        return {
            "steps": list(self.steps),
            "minutes": self.minutes,
            "warnings": list(self.warnings),
            "rates": self.rates,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan(TuningPlan):
    """The bill of a study: its work, its costs, and the gains that it could show."""

    costs: Sequence[CostRow]
    """All that has a configured price."""
    unpriced: Sequence[str]
    """A line for each model that is called and has no configured price."""
    level: float
    """Confidence level at which the study will decide: stricter with every earlier look at its questions."""
    prospect: Prospect
    """The gains that it could show."""
    policy: PolicyRecord
    """The split of the examples."""
    arms: Sequence[str]
    """Names of the arms that answer, diagnostic ones too."""
    models: Mapping[str, ModelPlan] = field(default_factory=dict)
    """The models of these arms by name; the project's own has the empty name."""
    race: RacePlan | None = None
    """What a race is expected to ask, where one is planned."""
    leaks: Json = field(default_factory=dict)
    """Counts of the training examples that were dropped because they give test questions away."""

    @property
    def cost(self) -> float:
        """Sum of `costs`, in the currency of the configured prices."""
        return float(sum(row["amount"] for row in self.costs))

    @property
    def by_model(self) -> list[Json]:
        """What each model of several takes: ``name``, ``model``, ``place``, ``price``, ``minutes`` and ``cost``.

        Empty for a study of one model. Minutes and cost are those of its own steps; what all arms share is in none.
        """
        if len(self.models) < 2:
            return []
        rows: list[Json] = []
        for name, planned in self.models.items():
            mine = [arm for arm in self.arms if model_of(arm) == name]
            seconds = sum(step["seconds"] for step in self.steps if _arm_of(step["step"]) in mine)
            cost = sum(row["amount"] for row in self.costs if _arm_of(row["step"]) in mine)
            known = {"model": planned.model, "place": planned.place, "price": planned.price}
            rows.append({"name": name or OWN, **known, "minutes": seconds / 60, "cost": float(cost)})
        return rows

    @property
    def shows(self) -> str:
        """`prospect` in a sentence."""
        return prospect_text(self.prospect)

    def to_json(self) -> Json:
        """The plan as ``twofold study --plan --json`` prints it."""
        seen = self.prospect
        best = [[gain, share] for (gain, _), share in zip(seen.chances, seen.best, strict=True)]
        return {
            "steps": list(self.steps),
            "minutes": self.minutes,
            "costs": list(self.costs),
            "cost": self.cost,
            "unpriced": list(self.unpriced),
            "level": self.level,
            "detectable": seen.least,
            "chances": [list(chance) for chance in seen.chances],
            "chances_at_best": best,
            "shows": self.shows,
            "warnings": list(self.warnings),
            "policy": self.policy,
            "arms": list(self.arms),
            "models": self.by_model,
            "leaks": self.leaks,
            "rates": self.rates,
            **({"race": self.race.to_json()} if self.race else {}),
        }


def _arm_of(step: str) -> str:
    """The arm that a step's name ends with, as ``answer big/rag``; else no arm's name."""
    return step.rpartition(" ")[2]
