"""Results of tuning and retraining: frozen records, and the JSON that the command line prints of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from twofold.types import Json

Outcome = Literal["promoted", "kept", "undecided", "nothing new"]
"""``kept``: the champion stays. ``undecided``: the candidate was not given its chance, so it was not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedArm:
    """An arm's adapter in the store, and its entry in the registry (`Project.tune`)."""

    id: str
    """Of the tuned model: what ``--model`` and ``[tuning].use`` name."""
    arm: str
    path: str
    """Directory of the adapter's files."""
    report: Json
    """The training report of `Adapters.adapter`: ``key``, ``cached``, ``dev_score``, ``gate``, and what the trainer
    reports."""

    @property
    def key(self) -> str:
        """Key of the adapter in the store."""
        return str(self.report["key"])

    @property
    def cached(self) -> bool:
        """Was the adapter in the store before?"""
        return bool(self.report["cached"])

    def to_json(self) -> Json:
        """The result as ``twofold tune --json`` prints it."""
        return {**self.report, "arm": self.arm, "id": self.id, "path": self.path}


NO_CHAMPION = "no champion"
"""Reason of the trigger that nobody sets: where there is no champion, training is due."""


class Trigger(TypedDict):
    """One condition of ``[retraining]`` beside its limit."""

    reason: str
    """The condition in words, such as ``new examples``."""
    value: int | float | str
    """The value of now."""
    limit: int | float | str | None
    """The value from which, or other than which, retraining is due."""
    due: bool
    """Does this trigger say that retraining is due?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A candidate and the model to beat on the same held-out questions."""

    metric: str
    difference: Json
    """Estimate of candidate minus champion, paired, at `level`; a failed answer counts 0."""
    answered: Json
    """The same on the questions that both answered."""
    scores: Mapping[str, Json]
    """Estimates of ``candidate`` and ``champion``, each without its failed answers."""
    against: str
    """The model or arm to beat, for people."""
    test: Json
    """The questions: ``n``, ``groups``, ``digest`` and earlier ``looks``."""
    level: float
    """Confidence level: stricter with every candidate that is compared on the same questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """A candidate that was trained, and what became of it (`lifecycle.retraining.retrain`)."""

    candidate: str
    """Id of the new model."""
    champion: str
    """Id of the model to beat, as it was; empty where there was none."""
    arm: str
    data: Json
    """Counts of examples by `retraining.fair`: ``new``, ``old``, ``gone``, ``moved``, ``dropped``."""
    cached: bool
    """Was the candidate in the store before?"""
    gate: Json | None
    """The forgetting gate's judgement of the candidate; None where the gate is off."""
    effort: Json | None
    """How far training came; see `verdict.effort`."""
    notes: Sequence[str]
    """Remarks for people."""
    outcome: Outcome
    """``promoted``, ``kept`` (the champion stays), ``undecided`` or ``nothing new`` (the data make the champion)."""
    because: str
    """The reason for the outcome, a sentence."""
    comparison: Comparison | None = None
    """None where candidate and champion were not compared."""

    def to_json(self) -> Json:
        """The result as the catalogue stores it and ``twofold tune --from --json`` prints it."""
        summary: Json = {
            "candidate": self.candidate,
            "champion": self.champion,
            "arm": self.arm,
            "data": self.data,
            "cached": self.cached,
            "gate": self.gate,
            "effort": self.effort,
            "notes": list(self.notes),
        }
        compared = self.comparison
        if compared is None:
            return {**summary, "outcome": self.outcome, "because": self.because}
        return {
            **summary,
            "metric": compared.metric,
            "difference": compared.difference,
            "answered": compared.answered,
            "scores": dict(compared.scores),
            "against": compared.against,
            "outcome": self.outcome,
            "test": compared.test,
            "level": compared.level,
            "because": self.because,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """The triggers of ``[retraining]``, and the candidate where one was trained (`Project.tuning.retrain`)."""

    triggers: Sequence[Trigger]
    retrained: Retrained | None = None
    """None where only the triggers were asked for, or none of them was due."""

    @property
    def due(self) -> bool:
        """Does any trigger say that retraining is due?"""
        return any(trigger["due"] for trigger in self.triggers)

    @property
    def outcome(self) -> str:
        """The candidate's outcome; without a candidate ``due`` or ``not due``."""
        if self.retrained is not None:
            return self.retrained.outcome
        return "due" if self.due else "not due"

    def to_json(self) -> Json:
        """The result as ``twofold tune --from --json`` prints it."""
        report: Json = {"due": self.due, "triggers": list(self.triggers)}
        return {**report, **(self.retrained.to_json() if self.retrained else {"outcome": self.outcome})}


class Reembedding(TypedDict):
    """The price of embedding every chunk again."""

    chunks: int
    documents: int
    seconds: float
    """At the rate measured now."""


class EmbedderPlan(TypedDict):
    """The training data of an embedder, before it is tuned."""

    pairs: int
    """Number of question-passage pairs."""
    dev_questions: int
    pool: int
    """Number of passages in which the dev questions are searched."""
    cached: bool
    """Was this tuning done before?"""
    minutes: float
    """Time limit of the training; 0 for none."""
    reembed: Reembedding


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedEmbedder:
    """An embedder tuned on the project's questions (`Project.tuning.embedder`)."""

    key: str
    cached: bool
    """Was it in the store before?"""
    path: str
    """Directory of the model."""
    report: Json
    """The trainer's report; see `training.embedder.EmbedderTrainer.train`."""
    reembed: Reembedding

    @property
    def setting(self) -> str:
        """The value of ``model`` in ``[retrieval.embedder.options]`` that uses it."""
        return f"artifact:{self.key}"

    def to_json(self) -> Json:
        """The result as ``twofold tune --what embedder --json`` prints it."""
        fields = {"key": self.key, "cached": self.cached, "path": self.path, "setting": self.setting}
        return {**self.report, **fields, "reembed": self.reembed}
