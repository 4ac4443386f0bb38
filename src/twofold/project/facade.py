"""The façade: a project directory opened. What the command line, a notebook or another program calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from twofold import asking
from twofold.advice import scaffold
from twofold.answering import system as answering
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.examples.splitting import Splits
from twofold.indexing import feeds
from twofold.indexing.erasure import Eraser
from twofold.indexing.report import SyncedReport
from twofold.indexing.versions import Versions
from twofold.lifecycle.models import TunedModels
from twofold.lifecycle.record import TunedArm
from twofold.metadata.conditions import Condition, conditions
from twofold.plugins.protocols import Progress, quiet
from twofold.project.advising import Advising
from twofold.project.costing import Costing
from twofold.project.curation import Curation
from twofold.project.diagnosis import Diagnosis
from twofold.project.judging import Judging
from twofold.project.material import Material
from twofold.project.probing import Probing
from twofold.project.tuning import Tuning
from twofold.project.validating import Validating
from twofold.project.watching import Watching
from twofold.settings import loading as config_loading
from twofold.store.catalogue import Catalogue
from twofold.store.lock import ProjectLock
from twofold.study import forecast, review, run
from twofold.study.admission import require_sound, require_trainable
from twofold.study.plan_record import StudyPlan
from twofold.study.retrieval.bench import Bench, SyncedBenchRecord
from twofold.study.retrieval.benchmark import rules_of
from twofold.types import Answer, Document, Example, Json, Message, Problem
from twofold.verdict.record import StudyRecord


class Project:
    """A directory with a `twofold.toml`.

    Use as a context manager. Reading needs no lock; what writes (`sync`, `study`, `tune`, `tuning.gc`) takes the
    project's one writer's lock for as long as it runs.
    """

    def __init__(
        self, directory: Path, settings: Config, overrides: Json | None = None, *, derived: Path | None = None
    ) -> None:
        self.directory = directory
        self.config = settings
        self.overrides: Json = overrides or {}
        """Nested values that were laid over `twofold.toml`."""
        self._material = Material(directory, settings, overrides=self.overrides, derived=derived)
        self.places = self._material.places
        """Where catalogue and looks lie, and the project's locks."""
        self.derived = self._material.derived
        """Directory of everything that can be made again."""
        self.records = self._material.records
        """Directory of finished studies."""
        self.tuning = Tuning(self._material)
        """Forecasts of tuning, retraining, the embedder, what is removed."""
        self.curation = Curation(self._material)
        """Examples made, mined, selected."""
        self.advice = Advising(self._material)
        """What will probably win, before anything is spent on it; how earlier advices fared."""
        self.cost = Costing(directory, settings)
        """Costs of a study's arms, by a call: ``project.cost(prices="prices.csv")``."""
        self.validity = Validating(self._material, self.cost)
        """Whether a study's verdict still holds, by a call: ``project.validity()``."""
        self.watching = Watching(self._material, self.validity)
        """Looks at the project after its study: alarms, their causes, what to do."""
        self.probing = Probing(self._material)
        """Forecasts from short probes."""
        self.diagnosis = Diagnosis(self._material, self.cost)
        """Causes of a study's wrong answers."""
        self.judging = Judging(self._material)
        """A model that judges a study's answers, on probation."""
        self.sharing = self._material.sharing
        """Artifacts and records in an object store."""
        self._where: tuple[Condition, ...] = ()

    # ------------------------------------------------------------ opening

    @classmethod
    def create(cls, directory: Path, source: Path, *, quick: bool = False, forgetting: bool = True) -> Project:
        """Make a project from a folder, its files copied, and open it; see `scaffold.create`."""
        scaffold.create(directory, source, quick=quick, forgetting=forgetting)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path, overrides: Json | None = None, *, derived: Path | None = None) -> Project:
        """Open an existing project.

        Args:
            directory: The project.
            overrides: Nested values laid over its `twofold.toml`.
            derived: Another place of its catalogue and index, directly in `directory`.

        Raises:
            ProjectMissing: there is no `twofold.toml`.
            ConfigError: it is not valid.
            StoreError: the object store, from which records of other machines are fetched, does not answer or refuses.
        """
        project = cls(directory, config_loading.load(directory, overrides), overrides, derived=derived)
        project.sharing.look()
        return project

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalogue if it was opened."""
        self._material.close()

    @property
    def catalogue(self) -> Catalogue:
        """The project's catalogue, opened once."""
        return self._material.catalogue

    @property
    def workspace(self) -> Workspace:
        """The project's parts: search, models, systems, adapters."""
        return self._material.workspace

    @property
    def documents(self) -> list[Document]:
        """All documents that were not forgotten, read strictly, once a sync; empty when the project has none."""
        return self._material.documents

    @property
    def examples(self) -> list[Example]:
        """All usable examples."""
        return self._material.examples

    @property
    def splits(self) -> Splits:
        """Train, dev, test and reserve, training examples that leak into the test taken out.

        Raises:
            LeakFound: when the configuration says that a leak is an error.
            TooFewExamples: a split is empty.
        """
        return self._material.splits

    def writing(self) -> ProjectLock:
        """The project's one writer's lock, as a context manager.

        Raises:
            ProjectLocked: another process holds it.
        """
        return self._material.writing()

    # ------------------------------------------------------------ commands

    def check(self) -> list[Problem]:
        """List every problem of documents and examples, before a minute is spent; see `review.review`."""
        # Of an index elsewhere the catalogue says as much, and no store is asked.
        elsewhere = bool(self.config.scale.index) and self._material.synced_catalogue is not None
        # The embedder has worked here: nothing is fetched for this.
        here = elsewhere or (self.derived / "index").is_dir()
        return review.review(self.config, self.directory, (lambda: self.workspace.search.embedder) if here else None)

    def sync(self, *, source: str = "", rebuild: bool = False, progress: Progress = quiet) -> SyncedReport:
        """Bring the index up to date with the sources; only what changed is read and embedded again.

        Args:
            source: Only this one, by its name in ``[sources]``; ``documents`` for ``[documents].paths``.
            rebuild: Read and embed everything again; the index that is there goes on answering meanwhile.
            progress: Shown item by item.

        Returns:
            Counts, a row for each file, the index, and the weight of the word leg.

        Raises:
            UnknownName: there is no such source.
            IndexMismatch: the index was made by another embedder; `rebuild` it.
            StoreError: another process is writing, or the disk refuses.
        """
        with self.writing() as lock:
            progress = lock.telling(progress)
            search = self.workspace.search
            feeds.feeds(search, self.directory, only=source)  # what is wrong there, before anything is undone
            self.catalogue.notes.put(feeds.RESTORED, "")
            feed = feeds.rebuild if rebuild else feeds.sync
            report = feed(search, self.directory, only=source, progress=progress)
            return {**report, "words": self._material.weighed(progress, exact=False)}

    @property
    def versions(self) -> Versions:
        """The versions of the index. What changes them (`restore`, `prune`, `forget`) is called under `writing`."""
        search = self.workspace.search
        return Versions(search=search, eraser=Eraser(search=search, root=self.directory))

    def plan(
        self, *, final: bool = False, race: bool = False, measure: bool = False, progress: Progress = quiet
    ) -> StudyPlan:
        """Forecast a study's work and costs, without doing or writing anything; see `study.forecast.plan`.

        Args:
            final: The questions are those of the reserve split.
            race: Tell what a race is expected to ask, too.
            measure: Measure this machine for some seconds where nothing is known of its pace.
            progress: Shows measuring.
        """
        self.cost.prices()  # a table that the study would refuse
        # Reads only: planning takes no lock, and writes nothing into a project in which nothing was done.
        reader = self._material.reader
        reader.search.require_principal()
        splits, leaks = self._material.prepared
        read = self.documents if self._material.retrieves else []
        settings: Json = {"final": final, "race": race, "measure": measure, "progress": progress}
        return replace(forecast.plan(reader, splits, read, records=self.records, **settings), leaks=leaks)

    def study(self, *, final: bool = False, race: bool = False, progress: Progress = quiet) -> StudyRecord:
        """Run the study, or finish one that was stopped; returns the record, which is also written to ``studies/``.

        Args:
            final: Confirm the chosen arm on the reserve split.
            race: Stop as soon as an arm is shown better than every other one.
            progress: Shows the work.
        """
        self.workspace.search.require_principal()
        prices = self.cost.prices()  # a table that is wrong is refused before anything is spent
        with self.writing() as lock:
            progress = lock.telling(progress)
            # The documents as they are now, so that all arms are measured on one state of the index.
            if self._material.retrieves and not self._material.refresh(progress):
                _ = self.documents  # raises what a plan raises, which reads them all
            # Before the splits: copies of one document must stand on one side.
            self._material.note_same_documents()
            splits, leaks = self._material.prepared
            if self._material.retrieves:
                self._material.weighed(progress)
            settings: Json = {"leaks": leaks, "prices": prices, "final": final, "race": race, "progress": progress}
            return run.study(self.workspace, splits, self.records, **settings)

    def where(self, *where: str | Condition) -> Project:
        """This project, asked of documents alone whose metadata meet these conditions, too: ``"price < 30"``.

        Raises:
            BadFilter: a condition cannot be read.
        """
        if not where:
            return self
        # Shares workspace and catalogue with this one: a condition opens nothing anew.
        narrowed = copy(self)
        narrowed._where = (*self._where, *conditions(where))
        return narrowed

    def ask(
        self,
        question: str,
        *,
        arm: str = "",
        model: str = "",
        user: str = "",
        groups: Sequence[str] = (),
        history: Sequence[Message] = (),
        written: Callable[[str], None] | None = None,
        progress: Progress = quiet,
    ) -> tuple[Answer, asking.AnswerReport]:
        """Answer a live question with one arm through the same path as the study; see `open_system`.

        Args:
            question: What is asked.
            arm: Name of the arm; by default the latest verdict's arm, else ``rag``.
            model: Id or alias of the tuned model to answer with, in the arm it was tuned for.
            user: Who asks; needed (or a group) where access control is on, refused where it is off.
            groups: Groups of theirs.
            history: The turns before the question.
            written: Gets the answer's words as they come.
            progress: Shows answering until the first word.

        Returns:
            The answer, and where it comes from: see `asking.provenance`; ``behind`` is a remark on what it does not
            see, such as files that changed since the last sync, or empty; ``passed_over`` what conditions on metadata
            cannot compare.

        Raises:
            IndexEmpty: the arm reads documents and none is indexed yet.
            UnknownName, StoreError, TemplateMismatch: as `open_system`.
            AccessDenied: access control is enabled, but no user is named, or the user may not ask this arm.
            ConfigError: somebody is named and access control is off, or the arm reads no documents to filter.
            BadFilter: a condition can find nothing.
        """
        seen = asking.request_filter(self.config, user, groups)
        live = asking.LiveArm(
            self._material.reader,
            lambda: self.splits,
            directory=self.directory,
            named=(arm, model),
            seen=seen,
            where=self._where,
        )
        with closing(live):
            progress("answer", 0, 1)
            answered = live.ask(question, history, written=written)
        if written is None:
            progress("answer", 1, 1)
        return answered

    def open_system(self, *, arm: str = "", model: str = "") -> answering.System:
        """An arm made ready to answer any number of questions; the caller closes it.

        It is made of what is stored: nothing is synced, trained, calibrated or written, no lock is taken, and it works
        while another process writes.

        Args:
            arm: Name of the arm; by default the latest verdict's arm, else ``rag``.
            model: Id or alias of a tuned model, in the arm it was tuned for; by default that of the latest study.

        Raises:
            IndexEmpty: the arm reads documents and none is indexed yet.
            UnknownName: no model is tuned for the arm.
            StoreError: the model's files are gone or damaged, or a document is still to be forgotten.
            TemplateMismatch: the model was trained with another prompt template.
        """
        reader = self._material.reader
        choice = asking.chosen(reader.models, reader.systems.calibrations, self.records, arm=arm, model=model)
        return asking.open_system(reader, choice, lambda: self.splits, root=self.directory)

    def tune(
        self,
        *,
        arm: str = "ft+rag",
        combine: Mapping[str, float] | None = None,
        all_documents: bool = False,
        progress: Progress = quiet,
    ) -> TunedArm:
        """Train an arm's adapter unless the store has it already, and register it as a tuned model.

        Args:
            arm: Name of a tuned arm, such as ``ft`` or ``ft+rag``.
            combine: Train nothing; add up these tuned models' changes (model → weight).
            all_documents: Learn from all documents, also those that only test questions are about: the last model, made
                after the verdict. No study uses it.
            progress: Shows training and measuring.
        """
        chosen = self.config.arm(arm)
        workspace = self._material.under(self.config, everything=all_documents).of(chosen)
        # Before the lock is taken and anything is synced: what cannot be trained is refused at once.
        require_trainable(workspace, self.splits, chosen)
        with self.writing() as lock:
            progress = lock.telling(progress)
            if chosen.retrieval:
                self._material.refresh(progress)
                self._material.weighed(progress)
            self._material.note_same_documents()
            splits = self.splits
            require_sound(workspace.search, (*splits.train, *splits.dev), None if chosen.retrieval else ())
            if combine:
                adapter, report = workspace.adapters.combine(chosen, splits, combine, progress=progress)
            else:
                adapter, report = workspace.adapters.adapter(chosen, splits, progress=progress)
            name = workspace.models.registry.register(adapter.key)
        return TunedArm(id=name, arm=arm, path=adapter.path, report=report)

    def bench(
        self,
        variants: Mapping[str, Json],
        *,
        ablation: bool = False,
        weigh: bool = False,
        synthetic: int = 0,
        split: str = "open",
        unit: Any = "document",
        progress: Progress = quiet,
    ) -> SyncedBenchRecord:
        """Measure how well the configured pipeline finds passages, beside variants of it and without each stage.

        Args:
            variants: Name → values laid over the configuration.
            ablation: Measure each stage's part as well.
            weigh: Say which weight of the word leg to take as well; never from test questions.
            synthetic: Ask so many questions made from the documents; without any labelled question, 200.
            split: Whose labelled questions to ask; ``open`` is train and dev together.
            unit: ``document`` or ``passage``.
            progress: Shows syncing and retrieving.

        Returns:
            Pipelines, their differences, and the weight of the word leg.
        """
        # First: differences are those of each variant to it.
        configs = {"project": self.config}
        for name, values in variants.items():
            configs[name] = config_loading.laid_over(self.config, values, directory=self.directory)
        self.workspace.search.require_principal()
        rules_of(self.config, unit)  # refuses, before the sync, a unit that cannot be ranked
        request = Bench(configs=configs, split=split, synthetic=synthetic, unit=unit, ablation=ablation, weigh=weigh)
        with self.writing() as lock:
            progress = lock.telling(progress)
            self._material.refresh(progress)
            words = self._material.weighed(progress)
            record = request.run(
                self.workspace, lambda: self.examples, lambda: self.splits, records=self.records, progress=progress
            )
        return {**record, "words": words}

    @property
    def models(self) -> TunedModels:
        """The tuned models. `retrain` and `gc` are called under `writing`; aliases move at any time."""
        return self._material.models(self.workspace)
