"""The whole of `twofold.toml`; `settings.loading` reads the file into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, model_validator

from twofold.arm_names import PARTS, arm_of
from twofold.errors import ConfigError
from twofold.prompts import Template
from twofold.settings.audit import AuditSection
from twofold.settings.scale import ScaleSection
from twofold.settings.sections import (
    AccessSection,
    CostsSection,
    DocumentsSection,
    ExamplesSection,
    GenerationSection,
    JudgeSection,
    ModelName,
    ModelSection,
    ProjectSection,
    PromptSection,
    RetrainingSection,
    RetrievalSection,
    Section,
    ServingSection,
    SourceSection,
    StudySection,
    ToolSection,
    TuningSection,
)
from twofold.settings.telemetry import TelemetrySection
from twofold.settings.traffic import TrafficSection
from twofold.settings.validity import ValiditySection
from twofold.settings.watching import WatchSection
from twofold.text.arm_names import model_of, without_model
from twofold.types import Arm, Json

FILE = "twofold.toml"


class Config(Section):
    """The whole of `twofold.toml`."""

    project: ProjectSection = ProjectSection()
    documents: DocumentsSection = DocumentsSection()
    sources: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], SourceSection] = Field(default_factory=dict)
    """Further sources of documents by name; see `SourceSection`."""
    tools: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], ToolSection] = Field(default_factory=dict)
    """Live tools by name; see `ToolSection`."""
    examples: ExamplesSection = ExamplesSection()
    prompt: PromptSection = PromptSection()
    retrieval: RetrievalSection = RetrievalSection()
    generation: GenerationSection = GenerationSection()
    models: dict[ModelName, ModelSection] = Field(default_factory=dict)
    """Further models by name, for arms such as ``NAME/rag``; see `ModelSection`."""
    tuning: TuningSection = TuningSection()
    retraining: RetrainingSection = RetrainingSection()
    study: StudySection = StudySection()
    access: AccessSection = AccessSection()
    serving: ServingSection = ServingSection()
    judge: JudgeSection = JudgeSection()
    costs: CostsSection = CostsSection()
    telemetry: TelemetrySection = TelemetrySection()
    watch: WatchSection = WatchSection()
    traffic: TrafficSection = TrafficSection()
    validity: ValiditySection = ValiditySection()
    audit: AuditSection = AuditSection()
    scale: ScaleSection = ScaleSection()

    @model_validator(mode="after")
    def _refuse_models_that_cannot_be_told_apart(self) -> Config:
        known = {"[generation]": _answering(self.generation)}
        for name in self.models:
            if name in PARTS:
                raise ValueError(f"[models.{name}] has the name of a part of arms: call the model otherwise")
            mine = _answering(self._generation_of(name))
            twin = next((other for other, settings in known.items() if settings == mine), "")
            if twin:
                raise ValueError(f"[models.{name}] and {twin} are the same model: remove one of the two")
            known[f"[models.{name}]"] = mine
        return self

    def _generation_of(self, model: str) -> GenerationSection:
        section = self.models[model]
        return self.generation.model_copy(update={key: v for key, v in section if key in section.model_fields_set})

    def of(self, model: str) -> Config:
        """The configuration under which a model answers: ``[generation]`` is that of the further model.

        Raises:
            ConfigError: there is no such model; an empty name is the project's own.
        """
        if not model:
            return self
        self._require_model(model, f"unknown model {model!r}")
        return self.model_copy(update={"generation": self._generation_of(model)})

    def _require_model(self, model: str, problem: str) -> None:
        if model not in self.models:
            known = f"Name one of the models: {', '.join(self.models)}." if self.models else ""
            section = f"[models.{model or 'NAME'}]"
            raise ConfigError(problem, cure=known or f"Describe the model in {section} of twofold.toml.")

    @property
    def template(self) -> Template:
        """The prompt template in force."""
        return Template(**self.prompt.model_dump())

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            ConfigError: for a name that is not an arm.
        """
        model = model_of(name)
        if "/" in name:
            lacking = f"there is no model {model!r}" if model else "no model is named before the stroke"
            self._require_model(model, f"unknown arm {name!r}: {lacking}")
        arm = arm_of(without_model(name), shots=self.study.shots)
        generation = self.of(model).generation
        if arm.schema and generation.json_schema and generation.schema_for == "every arm":
            stated = bool(model) and "json_schema" in self.models[model].model_fields_set
            section = f"[models.{model}]" if stated else "[generation]"
            raise ConfigError(
                f"the part schema of the arm {name!r} adds nothing: {section}.schema holds every arm's answers",
                cure=f'Set schema_for = "schema" in {section}, or leave the part out of the arm\'s name.',
            )
        if arm.linear and model:
            raise ConfigError(f"unknown arm {name!r}: linear asks no language model", cure="Name it linear alone.")
        return replace(arm, name=name, model=model)


def _answering(section: GenerationSection) -> Json:
    """What decides a model's answers: how many are made at a time does not."""
    return section.model_dump(mode="json", exclude={"batch"})
