"""Advice for one project: given from answers and facts, stored, and compared with later verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from twofold.advice import opinion
from twofold.advice.history import Advices, TrackRecord, track_record
from twofold.advice.observing import observed
from twofold.advice.opinion import AdviceRecord
from twofold.advice.probes import forecasts
from twofold.advice.probes.facts import outdated, probed_facts
from twofold.advice.probes.measuring import Decider
from twofold.advice.probes.record import ForecastRecord
from twofold.advice.questionnaire import UNANSWERED, UserAnswers
from twofold.advice.ranking import ProjectFact
from twofold.advice.weights import WeightTable
from twofold.errors import ConfigError, TooFewExamples, TwofoldError
from twofold.plugins.protocols import Progress, quiet
from twofold.project.material import Material
from twofold.reports import archive
from twofold.types import Document, Example


class Advising:
    """Advises on one project."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._facts: tuple[ProjectFact, ...] | None = None

    @property
    def stored(self) -> Advices:
        """The advices that were given here."""
        return Advices(directory=self._material.directory)

    def facts(self, *, progress: Progress = quiet) -> tuple[ProjectFact, ...]:
        """What the project shows without being asked, looked at once; nothing is answered, trained or written.

        Args:
            progress: Shows reading.
        """
        if self._facts is None:
            progress("facts", 0, 1)
            material = self._material
            shown = observed(
                material.config,
                material.reader.catalogue,
                documents=self._documents(),
                examples=self._examples(),
                learnable=self._learnable,
            )
            self._facts = (*shown, *self._probed())
            progress("facts", 1, 1)
        return self._facts

    def _probed(self) -> tuple[ProjectFact, ...]:
        """What the newest forecast of the systems of now says; where all are of others, that there is one.

        The newest of all may be of settings that were tried and taken back since.
        """
        known = forecasts.stored(self._material.directory / forecasts.FOLDER)
        if not known:
            return ()
        current = self._current(known)
        return probed_facts(current[-1]) if current else (outdated(known[-1]),)

    def _current(self, known: Sequence[ForecastRecord]) -> list[ForecastRecord]:
        """Those since which nothing has changed that decides the probed answers: model, prompt, documents, settings."""
        arms, config = self._material.reader.arms, self._material.config
        keys: dict[str, str | None] = {}
        try:
            splits = self._material.splits
            # With other options it is another metric.
            metric = Decider.of(config, splits).key
        except TwofoldError:  # no model: then nothing of now is like it
            return []
        for name in {name for forecast in known for name, arm in forecast["arms"].items() if arm["system"]}:
            try:
                keys[name] = arms.known_key(config.arm(name), splits)
            except TwofoldError:  # no index, or no such arm any more: other forecasts may still be of what is there
                keys[name] = None
        current = []
        for forecast in known:
            probed = {name: arm["system"] for name, arm in forecast["arms"].items() if arm["system"]}
            if forecast["metric_key"] == metric and all(keys[name] == key for name, key in probed.items()):
                current.append(forecast)
        return current

    def _documents(self) -> list[Document]:
        """Those of the last sync, sources included; before the first the files of ``[documents].paths``."""
        synced = self._material.synced_catalogue
        known = synced.documents.get() if synced else []
        if known:
            return known
        try:
            return self._material.documents
        except TooFewExamples:  # a project that is only begun gets its advice all the same
            return []

    def _examples(self) -> list[Example]:
        try:
            return self._material.examples
        except TooFewExamples:
            return []

    def _learnable(self) -> list[Example]:
        try:
            splits = self._material.splits
        except TooFewExamples:
            return []
        return [*splits.train, *splits.dev]

    def advise(
        self,
        answers: UserAnswers = UNANSWERED,
        *,
        at: str,
        table: WeightTable | None = None,
        store: bool = True,
        progress: Progress = quiet,
    ) -> AdviceRecord:
        """Say what will probably win, and why, before anything is spent on measuring it.

        Args:
            answers: To the questionnaire, as many as there are.
            at: ISO time with its zone: later studies are those after it.
            table: Weights; the shipped ones by default.
            store: Keep the advice with the project, for `track_record`; the same one is stored once.
            progress: Shows reading.

        Raises:
            ConfigError: `at` is no time, or has no zone.
            DataError: documents or examples cannot be read.
            StoreError: the advice cannot be stored.
        """
        _require_moment(at)
        project = self._material.config.project.name
        advice = opinion.advise(answers, self.facts(progress=progress), table=table, at=at, project=project)
        if store and self.stored.store(advice):
            self._material.sharing.share()
        return advice

    def track_record(self) -> TrackRecord:
        """Every stored advice beside the verdicts that came after it.

        Raises:
            StudyError: a study's record cannot be read.
            StoreError: the stored advices cannot be read.
        """
        advices, damaged = self.stored.read()
        records = self._material.records
        studies = [archive.read_record(records / name) for name in archive.names(records)]
        return track_record(advices, studies, damaged=damaged)


def _require_moment(at: str) -> None:
    try:
        zone = datetime.fromisoformat(at).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ConfigError(
            f"the time {at!r} of an advice is no ISO time with a zone",
            cure="Write it like 2026-01-31T12:00:00+00:00.",
        )
