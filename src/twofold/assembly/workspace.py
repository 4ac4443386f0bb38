"""A project's parts, each opened once, bundled for the flows.

A flow takes the parts that it uses, not the bundle: what a function may touch stands in its signature. Nothing here
imports a workshop; parts are made by name through `plugins`, when they are first used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from twofold.assembly.adapters import Adapters
from twofold.assembly.arms import Arms
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.spread_search import spread
from twofold.assembly.systems import Systems
from twofold.config import Config
from twofold.execution.choosing import executor
from twofold.execution.contract import Executor
from twofold.host import pace
from twofold.plugins.protocols import Embedder
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.types import Arm, Json


@dataclass(frozen=True, kw_only=True, eq=False)
class Workspace:
    """The parts of one project under one configuration. Each part knows only those above it.

    These are the parts by which the project's own model answers; `of` has those of a further model's arm.
    """

    directory: Path
    """The project's derived data (``.twofold``)."""
    config: Config
    """The configuration in force."""
    catalogue: Catalogue
    """The open catalogue."""
    artifacts: Artifacts
    """Adapters, tuned embedders, calibrations."""
    spent: pace.Spent
    """The seconds that each kind of work took."""
    models: Models
    """Generators, and the tuned models by name."""
    search: Search
    """Embedder, index, retriever, and who may see what."""
    systems: Systems
    """Arm + parts that exist → what answers."""
    adapters: Adapters
    """Arm + examples → adapter."""
    arms: Arms
    """An arm made ready, training included."""
    further: dict[str, Workspace] = field(default_factory=dict)
    """The parts of each further model that was asked for; see `of`."""
    laid_over: Json = field(default_factory=dict)
    """Values that were laid over `twofold.toml` for this run, nested: a study records them."""

    @classmethod
    def open(
        cls,
        directory: Path,
        config: Config,
        *,
        catalogue: Catalogue,
        artifacts: Artifacts | None = None,
        embedder: Embedder | None = None,
        everything: bool = False,
    ) -> Workspace:
        """Put the parts together; none is opened before it is used.

        Args:
            directory: The project's derived data (``.twofold``).
            config: The configuration in force.
            catalogue: The open catalogue.
            artifacts: Those of another workspace; by default the ones in `directory`.
            embedder: The configured one, where another workspace has opened it.
            everything: Learn from all documents, also those that only test questions are about: no study may use it.
        """
        # In the order in which parts know each other: models, search, systems, adapters, arms.
        artifacts = artifacts or Artifacts(directory / "artifacts")
        spent = pace.Spent()
        models = Models(directory=directory, config=config, catalogue=catalogue, artifacts=artifacts)
        search = Search(
            directory=directory,
            config=config,
            catalogue=catalogue,
            artifacts=artifacts,
            models=models,
            everything=everything,
            opened_embedder=embedder,
            spread=spread,
        )
        return cls._around(models, search, spent)

    @classmethod
    def _around(cls, models: Models, search: Search, spent: pace.Spent) -> Workspace:
        """The parts that follow from a model and a search."""
        config, catalogue, artifacts = models.config, models.catalogue, models.artifacts
        systems = Systems(config=config, search=search, models=models)
        adapters = Adapters(
            config=config,
            catalogue=catalogue,
            artifacts=artifacts,
            spent=spent,
            search=search,
            models=models,
            systems=systems,
        )
        return cls(
            directory=models.directory,
            config=config,
            catalogue=catalogue,
            artifacts=artifacts,
            spent=spent,
            models=models,
            search=search,
            systems=systems,
            adapters=adapters,
            arms=Arms(adapters=adapters, systems=systems),
        )

    @property
    def executor(self) -> Executor:
        """Who does work in batches: this process, or the cluster of ``[scale]``, which is joined at the first use.

        Raises:
            MissingExtra, ClusterError: it cannot be.
        """
        return executor(self.config.scale)

    def of(self, arm: Arm) -> Workspace:
        """The parts by which an arm's model answers: these, or those of its further model, made once.

        The search stays the project's, and its stages ask the project's own model: every model is shown the same
        passages, so that a difference between two models' arms is one of the models.

        Raises:
            ConfigError: the configuration describes no such model.
        """
        if not arm.model:
            return self
        if arm.model not in self.further:
            models = Models(
                directory=self.directory,
                config=self.config.of(arm.model),
                catalogue=self.catalogue,
                artifacts=self.artifacts,
                further=arm.model,
            )
            self.further[arm.model] = self._around(models, self.search, self.spent)
        return self.further[arm.model]
