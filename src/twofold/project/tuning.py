"""Work on a project's tuned models beside `Project.tune`: forecast, retraining, the embedder, what is removed."""

from __future__ import annotations

from contextlib import nullcontext

from twofold import config
from twofold.assembly.workspace import Workspace
from twofold.errors import ConfigError
from twofold.indexing import feeds
from twofold.lifecycle import embedder
from twofold.lifecycle.models import TunedModels
from twofold.plugins.protocols import Progress, quiet
from twofold.project.material import Material
from twofold.study import forecast
from twofold.study.admission import require_sound
from twofold.types import Json


class Tuning:
    """Plans, retrains and cleans up one project's tuned models."""

    def __init__(self, material: Material) -> None:
        self._material = material

    @property
    def _models(self) -> TunedModels:
        return TunedModels(workspace=self._material.workspace, records=self._material.records)

    def plan(
        self, *, arm: str = "ft+rag", all_documents: bool = False, measure: bool = False, progress: Progress = quiet
    ) -> Json:
        """What `tune` would take, as `Project.plan` tells it: ``steps``, ``minutes``, ``warnings``, ``rates``."""
        chosen, workspace = self._material.config.arm(arm), self._material.reader
        if all_documents:
            workspace = Workspace.open(
                self._material.derived, self._material.config, catalogue=workspace.catalogue, everything=True
            )
        read = self._material.documents if chosen.retrieval else []
        return forecast.tuning_plan(
            workspace, self._material.splits, read, arm=chosen, measure=measure, progress=progress
        )

    def embedder(self, *, plan: bool = False, progress: Progress = quiet) -> Json:
        """Tune the embedder on the train split's questions and sources; with `plan`, only say what it would take.

        Raises:
            UnknownDocument, BadRecord: an example is wrong about the documents; see `admission.require_sound`.
        """
        with self._material.writing():
            self._material.refresh(progress)
            require_sound(self._material.workspace.search, (*self._material.splits.train, *self._material.splits.dev))
            if plan:
                return embedder.plan(self._material.workspace.search, self._material.splits)
            return {
                **embedder.tune(self._material.workspace.search, self._material.splits, progress=progress),
                "reembed": embedder.reembedding(self._material.workspace.search),
            }

    def retrain(
        self,
        *,
        champion: str = "champion",
        arm: str = "ft+rag",
        if_due: bool = False,
        plan: bool = False,
        who: str = "",
        progress: Progress = quiet,
    ) -> Json:
        """Train again from the base, compare with the model in use, and promote what is better and does not forget.

        Args:
            champion: Alias or id of the model to beat.
            arm: Whose adapter is trained where there is none yet; it is then compared with the arm without tuning.
            if_due: Do so only where a trigger of ``[retraining]`` says so.
            plan: Only tell the triggers.
            who: For the audit.
            progress: Shows syncing, training and answering.

        Returns:
            ``due`` and ``triggers``; and where it was done what `lifecycle.retraining.retrain` tells, else ``outcome``
            ``due`` or ``not due``.

        Raises:
            UnknownDocument, BadRecord: an example is wrong about the documents; see `admission.require_sound`.
        """
        if not self._material.config.arm(arm).tuning:
            raise ConfigError(f"the arm {arm!r} has nothing to train", cure="Name an arm that is tuned: ft or ft+rag.")
        fresh = config.laid_over(self._material.config, {"tuning": {"use": ""}})
        workspace = self._material.under(fresh)
        models, splits = TunedModels(workspace=workspace, records=self._material.records), self._material.splits
        with nullcontext() if plan else self._material.writing():
            known, triggers = models.due(splits, champion)
            report: Json = {"due": any(row["due"] for row in triggers), "triggers": triggers}
            if plan or (if_due and not report["due"]):
                return {**report, "outcome": "due" if report["due"] else "not due"}
            chosen = fresh.arm(known["arm"]) if known else fresh.arm(arm)
            if chosen.retrieval:
                feeds.refresh(workspace.search, self._material.directory, progress=progress)
                splits = self._material.splits  # of the documents as they are now
            examples = (*splits.train, *splits.dev, *splits.test)
            require_sound(workspace.search, examples, None if chosen.retrieval else ())
            return {**report, **models.retrain(splits, champion, arm=chosen, who=who, progress=progress)}

    def cancel(self, *, arm: str = "ft+rag") -> list[Json]:
        """Cancel what trainers of an arm have under way elsewhere: ``{"trainer", "job", "status"}`` each."""
        return self._models.cancel(self._material.config.arm(arm), self._material.splits)

    def gc(self, *, dry_run: bool = False) -> Json:
        """Remove what nothing needs; see `TunedModels.gc`."""
        return self._models.gc(also={self._material.workspace.systems.calibrations.newest()}, dry_run=dry_run)
