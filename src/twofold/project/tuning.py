"""Work on a project's tuned models beside `Project.tune`: forecast, retraining, the embedder, what is removed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from twofold.assembly.workspace import Workspace
from twofold.errors import ConfigError, DiskFull
from twofold.indexing import feeds
from twofold.lifecycle import embedder
from twofold.lifecycle.model_records import ClearedArtifacts, TrainersJob
from twofold.lifecycle.models import TunedModels
from twofold.lifecycle.record import EmbedderPlan, Retraining, TunedEmbedder
from twofold.plugins.protocols import Progress, quiet
from twofold.project.costing import Costing
from twofold.project.material import Material
from twofold.settings import loading as config_loading
from twofold.study import forecast
from twofold.study.admission import require_sound
from twofold.study.plan_record import TuningPlan

if TYPE_CHECKING:
    from twofold.study.size_plan import SizePlan

log = logging.getLogger(__name__)


class Tuning:
    """Plans, retrains and cleans up one project's tuned models."""

    def __init__(self, material: Material) -> None:
        self._material = material

    @property
    def _models(self) -> TunedModels:
        return self._material.models(self._material.workspace)

    def plan(
        self, *, arm: str = "ft+rag", all_documents: bool = False, measure: bool = False, progress: Progress = quiet
    ) -> TuningPlan:
        """Forecast the work of `Project.tune`, without doing or writing anything."""
        chosen = self._material.config.arm(arm)
        workspace = self._material.reader
        if all_documents:
            workspace = Workspace.open(
                self._material.derived,
                self._material.config,
                catalogue=workspace.catalogue,
                artifacts=self._material.sharing.artifacts,
                everything=True,
            )
        read = self._material.documents if chosen.retrieval else []
        return forecast.tuning_plan(
            workspace, self._material.splits, read, arm=chosen, measure=measure, progress=progress
        )

    def size_plan(
        self, size: str, *, arm: str = "ft+rag", gpus: Sequence[str] = (), efficiency: float = 0.0
    ) -> SizePlan:
        """Forecast the tuning of an arm with a model of another size, on GPUs that are not here and at a provider.

        Args:
            size: Name of a model's shape, or path of a ``config.json``; see `training.sizing`.
            arm: The arm.
            gpus: Names of GPUs; all that are known by default.
            efficiency: Share of a GPU's peak that training was measured to reach; 0: none was.

        Raises:
            ConfigError: see `size_plan.plan`.
            BadRecord, UnreadableFile: the table of prices is wrong; see `Costing.prices`.
        """
        from twofold.study import size_plan

        chosen = self._material.config.arm(arm)
        question = size_plan.SizeQuestion(size=size, gpus=gpus, efficiency=efficiency)
        prices = Costing(self._material.directory, self._material.config).prices()
        read = self._material.documents if chosen.retrieval else []
        return size_plan.plan(
            self._material.reader, self._material.splits, read, arm=chosen, question=question, prices=prices
        )

    def embedder_plan(self, *, progress: Progress = quiet) -> EmbedderPlan:
        """Forecast the work of `embedder`, without training anything.

        Raises:
            UnknownDocument, BadRecord: an example is wrong about the documents; see `admission.require_sound`.
        """
        with self._material.writing():
            self._material.refresh(progress)
            require_sound(self._material.workspace.search, (*self._material.splits.train, *self._material.splits.dev))
            return embedder.plan(self._material.workspace.search, self._material.splits)

    def embedder(self, *, progress: Progress = quiet) -> TunedEmbedder:
        """Tune the embedder on the train split's questions and sources.

        Raises:
            UnknownDocument, BadRecord: an example is wrong about the documents; see `admission.require_sound`.
        """
        with self._material.writing():
            self._material.refresh(progress)
            require_sound(self._material.workspace.search, (*self._material.splits.train, *self._material.splits.dev))
            return embedder.tune(self._material.workspace.search, self._material.splits, progress=progress)

    def retrain(
        self,
        *,
        champion: str = "champion",
        arm: str = "ft+rag",
        if_due: bool = False,
        plan: bool = False,
        who: str = "",
        progress: Progress = quiet,
    ) -> Retraining:
        """Train again from the base, compare with the model in use, and promote if better and the gate did not fail it.

        Args:
            champion: Alias or id of the model to beat.
            arm: Whose adapter is trained where there is none yet; it is then compared with the arm without tuning.
            if_due: Retrain only where a trigger of ``[retraining]`` is met.
            plan: Only evaluate the triggers.
            who: Name of the person who promotes, for the audit log.
            progress: Shows syncing, training and answering.

        Raises:
            UnknownDocument, BadRecord: an example is wrong about the documents; see `admission.require_sound`.
        """
        if not self._material.config.arm(arm).tuning:
            raise ConfigError(f"the arm {arm!r} has nothing to train", cure="Name an arm that is tuned: ft or ft+rag.")
        # `[tuning].use` names a model to answer with: kept, it would be the candidate, and nothing would be trained.
        fresh = config_loading.laid_over(self._material.config, {"tuning": {"use": ""}})
        workspace = self._material.under(fresh)
        models = self._material.models(workspace)
        # Evaluating triggers writes nothing, so it works while a study holds the lock.
        with nullcontext() if plan else self._material.writing() as lock:
            progress = lock.telling(progress) if lock else progress
            known, triggers = models.due(champion)
            evaluated = Retraining(triggers=triggers)
            if plan or (if_due and not evaluated.due):
                return evaluated
            chosen = fresh.arm(known["arm"]) if known else fresh.arm(arm)
            if chosen.retrieval:
                feeds.refresh(workspace.search, self._material.directory, progress=progress)
            splits = self._material.splits  # of the documents as they are after the sync
            examples = (*splits.train, *splits.dev, *splits.test)
            require_sound(workspace.search, examples, None if chosen.retrieval else ())
            retrained = models.retrain(champion, arm=chosen, who=who, progress=progress)
            return replace(evaluated, retrained=retrained)

    def cancel(self, *, arm: str = "ft+rag") -> list[TrainersJob]:
        """Cancel what trainers of an arm have under way elsewhere."""
        return self._models.cancel(self._material.config.arm(arm))

    def gc(self, *, alone: bool = False, dry_run: bool = False) -> ClearedArtifacts:
        """Remove what nothing needs; see `TunedModels.gc`.

        Args:
            alone: The caller has the lock of `improve`, too: no machine that shares the database makes an artifact.
            dry_run: Only tell.

        Raises:
            StoreError: the object store does not answer, or refuses.
        """
        calibration = self._material.workspace.systems.calibrations.newest()
        everywhere = alone and self._knows_all_uses()
        return self._models.gc(also={calibration}, everywhere=everywhere, dry_run=dry_run)

    def _knows_all_uses(self) -> bool:
        """Does this machine know every study and alias that may need an artifact of the object store?

        Studies come with the journal; aliases are in the database, and without one each machine has its own.
        """
        store = self._material.sharing.store
        if store is None or self._material.places.shared is None:
            return False
        try:
            store.pull()
        except DiskFull as error:  # it must work on a full disk, for it makes room
            log.warning("nothing is removed from the object store: %s", error)
            return False
        return True
