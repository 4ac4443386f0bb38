"""Probes of a project: a forecast in minutes, before a study is paid for."""

from __future__ import annotations

from datetime import UTC, datetime

from twofold.advice.probes import forecasting, forecasts, measuring, trainings
from twofold.advice.probes.record import ForecastRecord
from twofold.plugins.protocols import Progress, quiet
from twofold.project.material import Material

MINUTES = 3.0
"""Time for answering by default, on any machine: it chooses how many questions are asked."""
TUNING_MINUTES = 4.0
"""Time for three short trainings by default: it chooses how many examples they learn from."""


class Probing:
    """Probes one project, and knows the forecasts that it has."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self.folder = material.directory / forecasts.FOLDER
        """Folder of the forecasts."""

    def run(
        self,
        *,
        minutes: float = MINUTES,
        tuning_minutes: float = TUNING_MINUTES,
        at: str = "",
        progress: Progress = quiet,
    ) -> ForecastRecord:
        """Probe, and store the forecast; what an earlier call has measured is not measured again.

        Args:
            minutes: Time for answering: it chooses how many questions of train and dev are asked.
            tuning_minutes: Time for short trainings, of a study with a tuned arm; 0 for none.
            at: ISO time that the forecast gets; by default now.
            progress: Shows syncing and answering.

        Raises:
            TooFewExamples: train and dev are empty.
            GenerationError: every answer of an arm failed.
            ConfigError: a metric that cannot decide.
        """
        material = self._material
        with material.writing():
            documents = 0
            workspace = material.workspace
            workspace.search.require_principal()
            if material.retrieves:
                material.refresh(progress)
            # Copies of one document must stand on one side of the splits, as in a study.
            material.note_same_documents()
            splits = material.splits
            if material.retrieves:
                material.weighed(progress)
                documents = len(material.catalogue.documents.digests())
            decider = measuring.Decider.of(material.config, splits)
            section = material.config.study
            # A metric that judges by passages syncs as well: what no arm reads is not forecast for that.
            reading = any(material.config.arm(name).retrieval for name in (*section.arms, *section.diagnostics))
            documents = documents if reading else 0
            reads = documents > 0
            probed = measuring.probe(workspace, splits, decider, reads=reads, minutes=minutes, progress=progress)
            arm = trainings.tuned_arm(material.config)
            tuning = None
            if arm:
                tuning = trainings.learning_curve(workspace, splits, arm, minutes=tuning_minutes, progress=progress)
            record = forecasting.forecast(
                material.config,
                splits,
                probed,
                decider=decider,
                tuning=tuning,
                documents=documents,
                unread="" if reads else _unread(material, reading=reading),
                minutes=minutes,
            )
            now = at or datetime.now(UTC).isoformat(timespec="seconds")
            return forecasts.store(self.folder, record, questions=probed.questions.digests, at=now)

    def forecasts(self) -> list[ForecastRecord]:
        """The forecasts of the project, oldest first.

        Raises:
            StoreError: one is damaged, or of a newer format.
        """
        return forecasts.stored(self.folder)


def _unread(material: Material, *, reading: bool) -> str:
    """Why passages were not probed, and what to do; empty where nothing is left out."""
    if reading:
        return "the project has no document to read; name files in [documents].paths, or a source, and probe again"
    if material.config.documents.paths or material.config.sources:
        return 'no arm of [study].arms reads documents; add "rag" to it, and probe again'
    # Without documents there is nothing that retrieval could have been tried on.
    return ""
