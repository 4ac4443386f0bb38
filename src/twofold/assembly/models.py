"""The models of a project: the generator with an adapter or without, the base of training, the tuned ones by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from twofold.assembly.schemas import schema_text
from twofold.assembly.spread import Generating, SpreadGenerator, spreads
from twofold.config import Config
from twofold.errors import TemplateMismatch
from twofold.execution.choosing import executor
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Generator, KnowsProvenance, Remembers
from twofold.settings.sections import Part
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.store.model_registry import Registry, weights_of
from twofold.text.arm_names import model_of
from twofold.types import Adapter, Arm, Json


@dataclass(kw_only=True, eq=False)
class Models:
    """The generators and tuned models of one project."""

    directory: Path
    """The project's derived data (``.twofold``)."""
    config: Config
    """The configuration in force."""
    catalogue: Catalogue
    """The open catalogue."""
    artifacts: Artifacts
    """Stores the adapters."""
    further: str = ""
    """Name of the further model whose these are; empty for the project's own."""

    def generator(
        self, adapter: Adapter | None = None, *, brief: bool = False, exact: bool = False, here: bool = False
    ) -> Generator:
        """The configured generator, with an adapter or without; the caller closes it.

        Args:
            adapter: To answer with.
            brief: It only measures a candidate: its copy is not compared with the unmerged adapter.
            exact: It sends also what its endpoint refused before, on which no key of a tuned model may depend.
            here: It answers live questions, or is measured itself: its batches stay in this process.
        """
        part = self.config.generation.generator
        skips = brief and "parity" in loading.find("generators", part.name).Options.model_fields
        options = {**part.options, "parity": False} if skips else part.options
        generator: Generator = loading.make("generators", part.name, options, adapter=adapter)
        # What an endpoint refused is kept with the project, so that the next command does not ask for it again.
        if isinstance(generator, Remembers) and not exact:
            generator.remember(self.directory)
        scale = self.config.scale
        if here or scale.on == "local" or not spreads(generator):
            return generator
        work = Generating(
            name=part.name,
            options=threaded(part.name, options, cores=scale.cores),
            adapter=adapter,
            key=generator.key,
            label=f"generate with {adapter.key}" if adapter else "generate",
        )
        batch = self.config.generation.batch
        return SpreadGenerator(inner=generator, work=work, executor=lambda: executor(scale), batch=batch)

    @cached_property
    def plain(self) -> Generator:
        """The untuned generator, opened once, for stages of a search that ask a model."""
        return self.generator(here=True)

    @cached_property
    def schema(self) -> str:
        """The JSON schema of every arm's answers as text, read once; see `schemas.schema_text`."""
        return "" if self.config.generation.schema_for == "schema" else self.configured_schema

    @cached_property
    def configured_schema(self) -> str:
        """The JSON schema of ``[generation].schema``, whichever arms it is for; empty where there is none."""
        return schema_text(self.config.generation.json_schema, self.directory.parent)

    def base(self, method: Part) -> Json:
        """Where a method's weights come from: its trainer's ``provenance(model)``, else `models.hub.provenance`."""
        from twofold.models import hub

        trainer = loading.make("trainers", method.name, method.options)
        model = specs.base_model(self.config, method)
        if not model:
            return {}
        return dict(trainer.provenance(model) if isinstance(trainer, KnowsProvenance) else hub.provenance(model))

    @property
    def registry(self) -> Registry:
        """The project's tuned models by id and alias."""
        return Registry(self.artifacts, self.catalogue.models)

    def chosen(self, arm: Arm, use: str = "") -> str:
        """Key of what `use`, else ``[tuning].use``, names, where it was tuned as the arm is, of its model; else empty.

        Raises:
            UnknownName: there is no such model.
            StoreError: its files are gone or damaged.
        """
        named = use or self.config.tuning.use
        # A model tuned closed-book cannot answer open-book: it is passed over for such arms, not refused. So are the
        # arms of another model, whose weights the change does not fit.
        if not named:
            return ""
        record = self.registry.checked(named)
        fits = record["tuning"] == arm.tuning and model_of(str(record["arm"])) == arm.model
        return str(record["key"]) if fits else ""

    def load(self, key: str) -> Adapter:
        """A finished adapter.

        Raises:
            TemplateMismatch: it was trained with another prompt template than the one in force.
        """
        path = self.artifacts.find(key)
        manifest = self.artifacts.manifest(key)
        if manifest["template"] != self.config.template.digest:
            raise TemplateMismatch(
                f"the adapter {key} was trained with prompt template {manifest['template']}, "
                f"but [prompt] now makes {self.config.template.digest}"
            )
        return Adapter(
            key=key, weights=digest("adapter", weights_of(manifest)), path=str(path), template=manifest["template"]
        )


def threaded(name: str, options: Json, *, cores: float) -> Json:
    """A generator's options with the cores of a worker as threads, unless they say how many."""
    fields = loading.find("generators", name).Options.model_fields
    return options if "threads" not in fields or options.get("threads") else {**options, "threads": max(1, int(cores))}
