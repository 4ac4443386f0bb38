"""The models that a study's arms answer with, as its plan knows them: their options, and their pace here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twofold.assembly import rehearsal
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import TwofoldError
from twofold.host import capabilities, pace
from twofold.plugins import loading
from twofold.plugins.protocols import Progress
from twofold.plugins.traits import GeneratorSettings
from twofold.reports.model_lines import place_text, price_text
from twofold.study.admission import is_endpoint
from twofold.study.plan import ModelPlan
from twofold.training import reckoning
from twofold.types import Arm, Json

# 502 in bf16 and 115 in f32 by `twofold doctor` (notebook, 2026-11-28).
REFERENCE_GFLOPS, WITHOUT_BF16 = 500.0, 115.0
"""A core's GFLOP/s, in its faster arithmetic, on the machine whose paces are `plan.DEFAULTS`; and without bf16."""


@dataclass(kw_only=True)
class PlannedModel:
    """The project's own model, or a further one."""

    workspace: Workspace
    """The parts by which it answers."""
    description: Json = field(default_factory=dict)
    """Of its generator; empty where that cannot be made."""
    encoder: Any = None
    """Its tokenizer; None where that is not at hand."""
    paces: dict[str, float] = field(default_factory=dict)
    """Its paces measured here (see `pace`)."""
    busy: bool = False
    """Was a pace that the plan needs measured beside other work?"""

    @property
    def config(self) -> Config:
        """The configuration under which it answers."""
        return self.workspace.config

    @property
    def remote(self) -> bool:
        """Does it answer at an endpoint?"""
        return is_endpoint("generators", self.config.generation.generator.name)

    @property
    def settings(self) -> GeneratorSettings:
        """The options of its generator that plans read."""
        part = self.config.generation.generator
        return GeneratorSettings.of(loading.options("generators", part.name, part.options))

    @property
    def known(self) -> bool:
        """Is its pace known, or no matter of this machine?"""
        return self.remote or "load" in self.paces

    def plan(self) -> ModelPlan:
        """What the plan says of it."""
        part = self.config.generation.generator
        return ModelPlan(
            model=str(self.description.get("model") or part.options.get("model") or part.name),
            place=place_text(self.description or part.options),
            price=price_text(part.options),
        )

    def answered(self) -> set[str]:
        """Kinds of questions that it has answered untuned: ``general``, ``replay``, ``teacher``."""
        descriptions = list(self.workspace.catalogue.systems.descriptions().values())
        if self.config.models:
            model = self.description.get("model")
            descriptions = [told for told in descriptions if told.get("generator", {}).get("model") == model]
        return {str(told.get("arm")) for told in descriptions}


def planned(
    workspace: Workspace,
    arms: Sequence[Arm],
    *,
    measure: bool,
    note: Callable[[TwofoldError], None],
    progress: Progress,
) -> PlannedModel:
    """A model as the plan of a study knows it.

    Args:
        workspace: The parts by which the model answers.
        arms: Its arms.
        measure: Measure this machine for some seconds where nothing is known of its pace.
        note: Gets what stands in the way.
        progress: Shows measuring.
    """
    known = PlannedModel(workspace=workspace)
    try:
        generator = workspace.models.generator(here=True)
        known.description = generator.description
        generator.close()  # opened for its description; nothing was loaded
        known.encoder = _encoder(str(known.description.get("model", "")))
        subject = pace.answering(known.description)
        kinds = {"load"}
        for sort in ("answer", "alone"):
            kinds |= {f"{sort} {pace.shape(arm)}" for arm in arms}
        if measure and not known.remote and lacking(subject, kinds):
            rehearsal.answers(workspace.config.generation.generator, progress=progress)
        known.busy = bool(kinds & pace.of_busy(subject))
        known.paces = pace.paces(subject)
    except TwofoldError as error:
        note(error)
    return known


def lacking(subject: str, kinds: set[str]) -> bool:
    """Is a pace unknown, or was it measured while this machine was busy, which it is no more?"""
    doubtful = kinds & pace.of_busy(subject)
    return not kinds <= set(pace.paces(subject)) or bool(doubtful and not capabilities.crowded())


def _encoder(model: str) -> Any:
    from twofold.training.options import LoraOptions

    return reckoning.encoder_of(model, LoraOptions()) if model else None


def slowness() -> float:
    """How much longer a matrix product takes here than where `plan.DEFAULTS` are from: measured, or by kind of CPU."""
    chosen = capabilities.arithmetic().dtype
    speeds = capabilities.measured()
    usual = REFERENCE_GFLOPS if chosen == "bf16" else WITHOUT_BF16
    reached = speeds[chosen] if speeds else usual
    return REFERENCE_GFLOPS / (reached * max(1, capabilities.cores()) / 2)  # the defaults are of two cores
