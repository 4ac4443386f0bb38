"""Does a project's verdict still hold? The facts of today are read here; `study.holding` compares. Loads no model."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twofold.config import Config
from twofold.errors import StudyError, TwofoldError
from twofold.examples.splitting import split
from twofold.files.toml_values import merged
from twofold.indexing import feeds
from twofold.plugins import loading
from twofold.project import usage
from twofold.project.costing import Costing
from twofold.project.material import Material
from twofold.project.places import CATALOGUE
from twofold.reports import archive, decisive
from twofold.store.catalogue import Catalogue
from twofold.study.holding import holding
from twofold.study.standing import Stored, Today
from twofold.study.verifying import read_certificate
from twofold.text.arm_names import model_of
from twofold.types import Example, Json
from twofold.verdict.certificate import FILE as CERTIFICATE
from twofold.verdict.record import StudyRecord
from twofold.verdict.validity import Validity

_MONTH = timedelta(days=30)
_MOST = 8
"""Findings that are kept in memory."""
_FEW = 1000
"""Documents that are compared with each other, to divide the examples, where a study has not stored the result."""
_OF_A_RUN = frozenset({"study", "examples", "costs"})
"""Sections by which a run judges. What answers is compared with the file: by it `ask` and `serve` answer."""


class Validating:
    """Holds the verdicts of one project against the facts of today; called, it returns a study's validity.

    Args:
        material: Of the project.
        costing: Finds the table of prices.
    """

    def __init__(self, material: Material, costing: Costing) -> None:
        self._material = material
        self._costing = costing
        self._lock = threading.Lock()
        self._last: dict[str, tuple[Any, Validity]] = {}

    def __call__(
        self,
        study: str = "",
        *,
        moment: datetime | None = None,
        volume: float | None = None,
        drift: Sequence[str] | None = None,
    ) -> Validity:
        """Does a study's verdict still hold?

        Nothing is synced, loaded or written: documents are those of the last sync.

        Args:
            study: Name or number; the latest by default.
            moment: The time now, UTC; None: by the clock.
            volume: Answers a month; None: as the traffic log has them, else as ``[costs].volume`` says.
            drift: Alarms on how the questions have moved, in words; None: as the last look has them.

        Raises:
            StudyError: there is no such study, or its record is damaged.
        """
        moment = moment or datetime.now(UTC)
        record = archive.find_record(self._material.records, study)
        stored = self._stored(record)
        return holding(stored, self._today(stored, moment, volume=volume, drift=drift), moment=moment)

    def decisive(self, *, moment: datetime | None = None) -> Validity | None:
        """The validity of the verdict that answers; None where there is no study. See `cached`.

        Raises:
            StudyError: the record is damaged.
        """
        study = decisive.decisive(self._material.records)
        return self.cached(study, moment=moment) if study else None

    def cached(self, study: str, *, moment: datetime | None = None) -> Validity:
        """The validity of a study by its name, worked out again when a file changes that it is read from.

        Raises:
            StudyError: the record is damaged.
        """
        moment = moment or datetime.now(UTC)
        # A verdict ages by the day: within an hour nothing else than files changes it, and no volume of a month moves.
        # What others write into a database changes no file: then it is looked at every minute.
        minute = moment.minute if self._material.places.shared else 0
        mark = (self._mark(study), moment.replace(minute=minute, second=0, microsecond=0))
        with self._lock:
            known = self._last.get(study)
        if known is not None and known[0] == mark:
            return known[1]
        # Without the lock: two that look at once do no harm.
        finding = self(study, moment=moment)
        with self._lock:
            self._last[study] = (mark, finding)
            while len(self._last) > _MOST:
                self._last.pop(next(iter(self._last)))
        return finding

    def _mark(self, study: str) -> Any:
        """What the facts are read from: settings, examples, prices, the catalogue and the study, by their stamps."""
        material = self._material
        directory = material.records / study
        config = material.config
        paths = [directory / "study.json", directory / "answers.jsonl.gz", directory / CERTIFICATE]
        # SQLite writes beside its file first.
        paths += [material.derived / CATALOGUE, material.derived / f"{CATALOGUE}-wal"]
        paths.append(material.directory / (config.costs.prices or "prices.csv"))
        paths += usage.changing(material.directory)
        for pattern in config.examples.paths:
            paths += sorted(material.directory.glob(pattern)) if not os.path.isabs(pattern) else [Path(pattern)]
        return tuple(map(_stamp, paths))

    # ------------------------------------------------------------ reading

    def _stored(self, record: StudyRecord) -> Stored:
        directory = self._material.records / record["study"]
        certificate, config, rows = None, None, []
        # A record of before, or a damaged certificate: `holding` says what cannot be told without it.
        with suppress(StudyError):
            certificate = read_certificate(directory / CERTIFICATE)
        with suppress(ValueError, TwofoldError):
            config = Config.model_validate(record["config"])
        # Without answers, documents and questions are not known, which is said; the rest is.
        with suppress(StudyError):
            rows = archive.read_answers(directory)
        return Stored(record=record, rows=rows, certificate=certificate, config=config)

    def _today(self, stored: Stored, moment: datetime, *, volume: float | None, drift: Sequence[str] | None) -> Today:
        material = self._material
        lacking: dict[str, str] = {}
        try:
            volume = usage.volume_of(material.directory, moment) if volume is None else volume
        except TwofoldError as error:
            lacking["volume"] = f"the traffic log cannot be read: {error}"
        try:
            drift = usage.drift_of(material.places.looks, stored.record["study"]) if drift is None else drift
        except TwofoldError as error:
            lacking["drift"] = f"what looks at the project have seen cannot be read: {error}"
        catalogue = None
        try:
            catalogue = material.synced_catalogue
        except TwofoldError as error:
            lacking["documents"] = f"the catalogue cannot be read: {error}"
        facts: Json = {}
        try:
            facts["prices"] = self._costing.prices_of(stored.record)
        except TwofoldError as error:
            lacking["price"] = f"the table of prices cannot be read: {error}"
        try:
            # Read anew, not as the project has them in memory: a server looks at files that people edit.
            facts["examples"] = material.read_examples()
        except TwofoldError as error:
            lacking["questions"] = f"the examples cannot be read: {error}"
        else:
            facts["tested"] = self._tested(stored, catalogue, facts["examples"])
        if catalogue is None:
            lacking.setdefault("documents", "nothing was synced here, so that no document can be compared")
        else:
            facts["documents"] = feeds.contents(catalogue)
            facts["updates"] = _updates(catalogue, moment)
        return Today(
            config=self._judging(stored.record),
            texts=lambda names: _texts(catalogue, names),
            generators=self._generators(stored.record, lacking),
            tuned=self._tuned(stored.record) if catalogue else None,
            volume=volume,
            drift=tuple(drift or ()),
            lacking=lacking,
            **facts,
        )

    def _judging(self, record: StudyRecord) -> Config:
        """The settings of now, judged as the study's command judged: arms and limits that it named stay."""
        laid_over = {key: value for key, value in record.get("overrides", {}).items() if key in _OF_A_RUN}
        config = self._material.config
        if not laid_over:
            return config
        try:
            return Config.model_validate(merged(config.model_dump(mode="json"), laid_over))
        # Values that this version refuses, or a secret that the record hides: the file alone is compared with.
        except (ValueError, TwofoldError):
            return config

    def _tested(
        self, stored: Stored, catalogue: Catalogue | None, examples: Sequence[Example]
    ) -> frozenset[str] | None:
        """Ids of the questions that the study would ask of the examples of now, by its own limit, shares and seed.

        None where it takes too long to tell, or there are too few examples.
        """
        section = (stored.config or self._material.config).examples
        # To compare all documents of a large corpus takes minutes, and a look at a study must not.
        if catalogue is None or not (feeds.knows_same_documents(catalogue) or len(feeds.contents(catalogue)) <= _FEW):
            return None
        try:
            same, holders = feeds.same_documents(catalogue, lambda: self._material.documents)
            splits = split(examples, section, documents=same, holders=holders)
        except TwofoldError:
            return None  # too few examples to divide: which are removed is known all the same
        questions = splits.reserve if stored.record["policy"]["final"] else splits.test
        return frozenset(example.id for example in questions)

    def _generators(self, record: StudyRecord, lacking: dict[str, str]) -> dict[str, Json]:
        """Model → description of its generator, which is made and not loaded."""
        described: dict[str, Json] = {}
        for name in dict.fromkeys(model_of(arm) for arm, row in record["arms"].items() if not row["diagnostic"]):
            try:
                part = self._material.config.of(name).generation.generator
                generator = loading.make("generators", part.name, part.options)
                described[name] = dict(generator.description)
                generator.close()
            except TwofoldError as error:
                lacking["model"] = f"the model{f' of {name}' if name else ''} cannot be described: {error}"
        return described

    def _tuned(self, record: StudyRecord) -> str | None:
        """Key of the tuned model with which the verdict's arm answers; empty where its files are gone."""
        arm = record["verdict"]["arm"]
        training = record["arms"][arm]["training"] if arm in record["arms"] else None
        if not training:
            return None
        models = self._material.workspace.models
        use = self._material.config.tuning.use
        if use:
            try:
                return str(models.registry.find(use)["key"])
            except TwofoldError:
                return ""
        return str(training["key"]) if models.artifacts.find(training["key"]) is not None else ""


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        seen = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    # Whoever only reads a catalogue leaves an empty file beside it.
    if not seen.st_size:
        return str(path), 0, 0, 0
    return str(path), seen.st_mtime_ns, seen.st_size, seen.st_ino


def _updates(catalogue: Catalogue, moment: datetime) -> float:
    """Syncs of the last 30 days that changed the index."""
    times = [datetime.fromisoformat(change["at"]) for change in catalogue.sync.changes().values() if change["at"]]
    known = [time if time.tzinfo else time.replace(tzinfo=UTC) for time in times]
    return float(sum(moment - _MONTH <= time <= moment for time in known))


def _texts(catalogue: Catalogue | None, names: Sequence[str]) -> dict[str, str]:
    return {one.id: one.text for one in catalogue.documents.get(names)} if catalogue else {}
