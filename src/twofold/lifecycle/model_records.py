"""Results of looking after tuned models: lists, comparisons, exports, cancelled jobs and clean-ups."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from twofold.plugins.results import CancelledJob, ExportedForm
from twofold.reports.model_card import Measurement
from twofold.store.model_record import ModelRecord
from twofold.types import Json


class ListedModel(ModelRecord):
    """A tuned model in the list of all."""

    studies: list[str]
    """Names of the studies with it."""


class ExampleCounts(TypedDict):
    """Numbers of training examples of two models."""

    only_before: int
    only_after: int
    both: int


class ModelDiff(TypedDict):
    """Two tuned models compared."""

    before: str
    """Id of the first model."""
    after: str
    same: bool
    changed: dict[str, list[Any]]
    """Field of the models' records → both values, where they differ."""
    examples: ExampleCounts | None
    """None where a model does not say what it learned from."""
    comparison: Json | None
    """The stored record of their comparison (`Retrained.to_json`); None where they were never compared."""
    measured: dict[str, list[Measurement]]
    """Id → every measurement of the model."""


class ExportReceipt(ExportedForm):
    """A model written in one form, as stored beside it in ``export.json`` (without ``path``: the folder may move)."""

    id: str
    base: Json
    template: str
    bytes: int
    at: str
    """Time, in ISO 8601."""


class ServingScript(TypedDict):
    """How another engine serves what was exported."""

    engine: str
    script: str
    """File that starts it."""
    settings: str
    """Lines of ``twofold.toml`` by which a project answers with it."""


class ExportReport(TypedDict):
    """A model written in all forms asked for."""

    id: str
    """Empty where the untuned model alone is to be served."""
    exports: list[ExportReceipt]
    serving: NotRequired[ServingScript]
    """Only where it was exported for an engine."""


class TrainersJob(CancelledJob):
    """A job that was cancelled, with the trainer it was of."""

    trainer: str


class ClearedArtifacts(TypedDict):
    """The artifacts that nothing needs (`TunedModels.gc`)."""

    removed: list[str]
    """Keys of those on this machine."""
    bytes: int
    published: list[str]
    """Keys of those in the object store."""
    published_bytes: int
    dry_run: bool
    """Was nothing removed?"""
