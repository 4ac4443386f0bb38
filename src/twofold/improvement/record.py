"""Records of the loop that improves: a step, a round, the history. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from twofold.types import Json
from twofold.verdict.record import EstimateRecord

Outcome = Literal["kept", "undone", "not better on dev", "abandoned", "begun"]
"""What became of a round; ``begun``: it was interrupted, and is finished by the next run; ``abandoned``: it was
interrupted, and what it had to beat was changed before the next run."""
FORMAT = 1
"""Version of the history's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of the project that may mend wrong answers of some causes."""

    name: str
    """A short name, the same for the same change: ``show 6 passages``."""
    why: str
    """The causes that it may mend, with their counts."""
    values: Json
    """Nested values that are laid over ``twofold.toml``; beside the path of made questions where there are `gaps`."""
    arm: str
    """The arm that is compared with the present one afterwards."""
    share: float
    """Share of the train-side questions that it could mend at most: their answers are wrong by a cause it addresses."""
    questions: tuple[str, ...]
    """Ids of these questions, of train and dev alone."""
    gaps: bool = False
    """Training questions are made on these questions' documents first."""
    minutes: float | None = None
    """Forecast of the work; None: not forecast yet."""
    cost: float | None = None
    """Forecast in the currency of the configured prices; None: not forecast, or a model has no price."""

    @property
    def for_a_person(self) -> bool:
        """Can no program take this step?"""
        return not self.values and not self.gaps


class StepRecord(TypedDict):
    """A `Step` as it is stored."""

    name: str
    why: str
    values: Json
    arm: str
    share: float
    minutes: float | None
    cost: float | None
    gaps: NotRequired[bool]
    """Histories of before have it not; see `makes_questions`."""


class RoundRecord(TypedDict):
    """One round: a step, tried on dev, proven by a study, kept or undone."""

    number: int
    at: str
    """When it was begun, in UTC."""
    step: StepRecord
    ledger: dict[str, int]
    """Cause → wrong answers of train and dev before the step."""
    diagnosed: int
    """Train-side questions that were diagnosed."""
    before: str
    """Name of the study that the step had to beat."""
    before_arm: str
    study: str
    """Name of the study that proves it; empty where there was none."""
    dev: EstimateRecord | None
    """Paired difference on the dev questions; None where it was not tried there."""
    difference: EstimateRecord | None
    """Paired difference on the test questions, at the level of this look; a failed answer counts 0."""
    level: float | None
    score: EstimateRecord | None
    """Score of what answers after the round, on the questions of the study."""
    outcome: Outcome
    because: str
    seconds: float
    """What the round took; of one that was `resumed`, what was left of it."""
    resumed: NotRequired[bool]
    """The run that began it was killed or stopped."""


class History(TypedDict):
    """All rounds of a project, and what a person should do."""

    format: int
    start: EstimateRecord | None
    """Score of the first study's arm, before any round."""
    metric: str
    rounds: list[RoundRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """What a run of the loop did."""

    history: History
    """All rounds, earlier runs' too."""
    rounds: tuple[RoundRecord, ...]
    """Rounds of this run."""
    stopped: str
    """Why it ended."""
    open_steps: tuple[Step, ...] = ()
    """Steps that were not taken, the best first; those of a person among them."""
    page: str = ""
    """Path of the page with the curve."""

    @property
    def steps_kept(self) -> int:
        """Number of rounds of this run whose step was kept."""
        return sum(1 for record in self.rounds if record["outcome"] == "kept")

    def to_json(self) -> Json:
        """The run as ``twofold improve --json`` prints it."""
        return {
            "kept": self.steps_kept,
            "stopped": self.stopped,
            "rounds": [dict(record) for record in self.rounds],
            "history": dict(self.history),
            "open": [
                {**step_record(step), "questions": list(step.questions), "person": step.for_a_person}
                for step in self.open_steps
            ],
            "page": self.page,
        }


def makes_questions(step: StepRecord) -> bool:
    """Are training questions made for the step? Before it was stored, these were the steps without values."""
    return step.get("gaps", not step["values"])


def step_record(step: Step) -> StepRecord:
    """A step as it is stored."""
    return {
        "name": step.name,
        "why": step.why,
        "values": step.values,
        "arm": step.arm,
        "share": step.share,
        "minutes": step.minutes,
        "cost": step.cost,
        "gaps": step.gaps,
    }
