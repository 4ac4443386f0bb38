"""What tuning a model of another size would take on GPUs that are not here, and at a provider: counted, not tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from twofold.assembly.workspace import Workspace
from twofold.costs.prices import Prices
from twofold.errors import ConfigError
from twofold.examples.splitting import Splits
from twofold.plugins import loading
from twofold.study import forecast
from twofold.study.admission import require_trainable
from twofold.study.plan import Training
from twofold.training import sizing
from twofold.training.options import FitOptions
from twofold.types import Arm, Document, Json


class SizeRow(TypedDict):
    """A method on a GPU."""

    gpu: str
    method: str
    memory_gib: float
    """Predicted peak, with the micro-batch that the loop would choose."""
    least_gib: float
    """See `sizing.Memory.least`."""
    available_gib: float
    fits: bool
    """See `sizing.Memory.least`."""
    parts_gib: dict[str, float]
    """Of the peak: weights, learned, activations, logits, beside."""
    micro_batch: int
    """Tokens."""
    checkpointing: bool
    hours: dict[str, float]
    """Of the steps: low, likely, high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePlan:
    """The plan, as ``twofold tune --plan --size`` shows it."""

    model: str
    parameters: int
    steps: int
    tokens: float
    """Read in all steps, shared passages once."""
    row_tokens: float
    """The same rows with all of their prompts, as a provider counts them."""
    longest: int
    rows: Sequence[SizeRow]
    efficiency: float
    """Share of the GPU's peak, where it was measured; 0: a range from the literature."""
    hosted: float | None
    """What hosted training costs; None where no price is known."""
    currency: str
    price: str
    """Where the price was found; empty without one."""
    notes: Sequence[str]

    def to_json(self) -> Json:
        """The plan as data."""
        return {
            "model": self.model,
            "parameters": self.parameters,
            "steps": self.steps,
            "tokens": self.tokens,
            "row_tokens": self.row_tokens,
            "longest": self.longest,
            "rows": list(self.rows),
            "efficiency": self.efficiency,
            "memory_error": sizing.MEMORY_ERROR,
            "time_error": sizing.TIME_ERROR,
            "hosted": self.hosted,
            "currency": self.currency,
            "price": self.price,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeQuestion:
    """What is to be planned."""

    size: str
    """Name of a shape, or path of a ``config.json``."""
    gpus: Sequence[str] = ()
    """Names; empty for all that are known."""
    efficiency: float = 0.0
    """See `sizing.seconds`."""


def plan(
    workspace: Workspace,
    splits: Splits,
    documents: Sequence[Document],
    *,
    arm: Arm,
    question: SizeQuestion,
    prices: Prices,
) -> SizePlan:
    """The plan of training one arm's adapter on a model of another size.

    Raises:
        ConfigError: no such size or GPU, or a method for which there is no arithmetic.
        StudyError, TooFewExamples: the arm cannot be trained; see `admission.require_trainable`.
    """
    of, gpus = sizing.shape(question.size), [sizing.gpu(name) for name in question.gpus] or list(sizing.GPUS.values())
    require_trainable(workspace, splits, arm)
    work, notes, _ = forecast.forecast(workspace, splits, documents, arms=(arm,), test=())
    trainings = [training for tuned in work.tuning for training in tuned.trainings if training.counted is not None]
    if not trainings:
        raise ConfigError(
            f"no training of {arm.name} to plan: [tuning] names a finished model, or a trainer that runs elsewhere",
            cure="Choose --method lora, qlora or full.",
        )
    methods = {method.name: method for method in workspace.of(arm).adapters.methods}
    rows: list[SizeRow] = []
    for training in trainings:
        method = methods[training.method]
        options = loading.options("trainers", method.name, method.options)
        assert isinstance(options, FitOptions)
        # GPUs of these kinds multiply bf16 in hardware, whatever this machine does.
        options = options.model_copy(update={"dtype": "bf16"})
        rows += [_row(of, options, training, gpu, efficiency=question.efficiency) for gpu in gpus]
    counted = trainings[0].counted
    assert counted is not None
    price = prices.amounts.get("training_tokens")
    source = next((row["source"] for row in prices.rows if row["item"] == "training_tokens"), "")
    return SizePlan(
        model=of.name,
        parameters=of.parameters,
        steps=counted.steps,
        tokens=counted.tokens,
        row_tokens=counted.row_tokens,
        longest=counted.longest,
        rows=rows,
        efficiency=question.efficiency,
        hosted=None if price is None else price * counted.row_tokens / 1e6,
        currency=prices.currency if price is not None else "",
        price=source if price is not None else "",
        notes=[*dict.fromkeys(notes), *prices.warnings],
    )


def _row(
    of: sizing.Shape, options: FitOptions, training: Training, gpu: sizing.GpuSpec, *, efficiency: float
) -> SizeRow:
    counted = training.counted
    assert counted is not None
    available = gpu.memory * sizing.USABLE
    steps = sizing.Steps(
        longest=counted.longest,
        tokens=counted.tokens / max(1, counted.steps),
        answers=counted.answer_tokens / max(1.0, counted.tokens),
    )
    need = sizing.memory(of, options, steps, room=available)
    each = sizing.operations(
        of,
        options,
        length=counted.longest / 2,
        answers=steps.answers,
        again=need.checkpointing,
    )
    took = sizing.seconds(
        of,
        gpu,
        work=each * counted.tokens,
        parts=counted.steps * math.ceil(steps.tokens / need.tokens),
        stored=need.weights,
        efficiency=efficiency,
    )
    return SizeRow(
        gpu=gpu.name,
        method=options.method,
        memory_gib=need.total,
        least_gib=need.least,
        available_gib=gpu.memory,
        fits=need.least <= available,
        parts_gib={
            "weights": need.weights,
            "learned": need.learned,
            "activations": need.activations,
            "logits": need.logits,
            "beside": need.beside,
        },
        micro_batch=need.tokens,
        checkpointing=need.checkpointing,
        hours={"low": took.low / 3600, "likely": took.likely / 3600, "high": took.high / 3600},
    )
