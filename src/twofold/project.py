"""The façade: a project directory opened. What the command line, a notebook or another program calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from copy import copy
from functools import cached_property
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

from twofold import asking, config
from twofold.advice import scaffold
from twofold.answering import system as answering
from twofold.assembly.builder import Builder, quiet
from twofold.config import Config, DocumentsSection
from twofold.corpus.loading import load_documents
from twofold.curation import difficulty
from twofold.curation import questions as making
from twofold.curation.selection import By
from twofold.errors import ConfigError, ProjectLocked, TooFewExamples, TwofoldError
from twofold.examples import feedback_logs, loading, preparing
from twofold.examples.feedback import Mined
from twofold.examples.splitting import Splits
from twofold.files.paths import expand
from twofold.indexing import feeds
from twofold.indexing.erasure import RECORDS, Eraser
from twofold.indexing.versions import Versions
from twofold.lifecycle import embedder
from twofold.lifecycle.models import TunedModels
from twofold.metadata.conditions import Condition, conditions
from twofold.plugins.protocols import Progress
from twofold.reports import archive
from twofold.store.catalogue import Catalogue
from twofold.store.forgotten import present
from twofold.store.lock import ProjectLock
from twofold.study import forecast, review, run
from twofold.study.admission import require_sound, require_trainable
from twofold.study.retrieval.bench import Bench
from twofold.study.retrieval.benchmark import rules_of
from twofold.study.retrieval.blend import settle
from twofold.types import Answer, Document, Example, Json, Message, Problem
from twofold.verdict.record import StudyRecord


class Project:
    """A directory with a `twofold.toml`.

    Use as a context manager. Reading needs no lock; what writes (`sync`, `study`, `tune`, `gc`) takes the project's
    one writer's lock for as long as it runs.
    """

    def __init__(self, directory: Path, settings: Config) -> None:
        self.directory = directory
        self.config = settings
        self._split: tuple[dict[str, str], tuple[Splits, Json]] | None = None
        self._where: tuple[Condition, ...] = ()
        self._catalogue: Catalogue | None = None
        self._documents: list[Document] | None = None

    # ------------------------------------------------------------ opening

    @classmethod
    def create(cls, directory: Path, source: Path, *, quick: bool = False, forgetting: bool = True) -> Project:
        """Make a project from a folder, its files copied, and open it; see `scaffold.create`."""
        scaffold.create(directory, source, quick=quick, forgetting=forgetting)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path, overrides: Json | None = None) -> Project:
        """Open an existing project; `overrides` are nested values laid over its `twofold.toml`.

        Raises:
            ProjectMissing: there is no `twofold.toml`.
            ConfigError: it is not valid.
        """
        return cls(directory, config.load(directory, overrides))

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalogue if it was opened."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    @property
    def derived(self) -> Path:
        """Directory of everything that can be made again."""
        return self.directory / ".twofold"

    @property
    def records(self) -> Path:
        """Directory of finished studies."""
        return self.directory / RECORDS

    @property
    def catalogue(self) -> Catalogue:
        """The project's catalogue, opened once."""
        if self._catalogue is None:
            self.derived.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._catalogue = Catalogue(self.derived / CATALOGUE)
        return self._catalogue

    @cached_property
    def builder(self) -> Builder:
        """Maker of systems."""
        return Builder(self.derived, self.config, catalogue=self.catalogue)

    @property
    def _reader(self) -> Builder:
        """`builder`; as long as nothing was derived one without a file of its own, so that asking writes nothing."""
        if self._catalogue is not None or (self.derived / CATALOGUE).is_file():
            return self.builder
        return Builder(self.derived, self.config, catalogue=Catalogue(None))

    @property
    def documents(self) -> list[Document]:
        """All documents that were not forgotten, read strictly, once a sync; empty when the project has none."""
        if self._documents is None:
            section, example_paths = self.config.documents, self.config.examples.paths
            read = []
            if section.paths:
                read = load_documents(section, self.directory, question_paths=example_paths)[0]
            self._documents = present(read, self.directory)
        return self._documents

    @cached_property
    def examples(self) -> list[Example]:
        """All usable examples."""
        return loading.load_examples(self.config.examples.paths, self.directory)[0]

    @property
    def _prepared(self) -> tuple[Splits, Json]:
        """Splits without leaks, and what was dropped for them: made again whenever a sync has changed the documents."""
        synced = self.catalogue if (self.derived / CATALOGUE).is_file() else None
        content = feeds.contents(synced)
        if self._split is None or self._split[0] != content:
            same = feeds.same_documents(synced, lambda: self.documents)
            self._split = (content, preparing.prepared(self.examples, self.config.examples, documents=same))
        return self._split[1]

    @property
    def splits(self) -> Splits:
        """Train, dev, test and reserve, training examples that leak into the test taken out.

        Raises:
            LeakFound: when the configuration says that a leak is an error.
            TooFewExamples: a split is empty.
        """
        return self._prepared[0]

    # ------------------------------------------------------------ commands

    def check(self) -> list[Problem]:
        """Everything that is wrong with documents and examples, before a minute is spent; see `review.review`."""
        here = (self.derived / "index").is_dir()  # the embedder has worked here: nothing is fetched for this
        return review.review(self.config, self.directory, (lambda: self.builder.embedder) if here else None)

    def sync(self, *, source: str = "", rebuild: bool = False, progress: Progress = quiet) -> Json:
        """Bring the index up to date with the sources; only what changed is read and embedded again.

        Args:
            source: Only this one, by its name in ``[sources]``; ``documents`` for ``[documents].paths``.
            rebuild: Read and embed everything again; the index that is there goes on answering meanwhile.
            progress: Shown item by item.

        Returns:
            What `sync.Sync.run` tells, and ``words``: see `blend.settle`.

        Raises:
            UnknownName: there is no such source.
            IndexMismatch: the index was made by another embedder; `rebuild` it.
            StoreError: another process is writing, or the disk refuses.
        """
        with self.writing():
            feeds.feeds(self.builder, self.directory, only=source)  # what is wrong there, before anything is undone
            self.catalogue.notes.put(feeds.RESTORED, "")
            feed = feeds.rebuild if rebuild else feeds.sync
            report = feed(self.builder, self.directory, only=source, progress=progress)
            return {**report, "words": self._weighed(progress, exact=False)}

    def watch(self, *, stop: Event | None = None, progress: Progress = quiet) -> Iterator[Json]:
        """Sync once, and again whenever a local file of a source changes; yields the first report and those of changes.

        Sources on servers are read again with each sync, not followed. While another process writes to the project, a
        change waits for it.

        Args:
            stop: Ends the watching when set.
            progress: Shown item by item.

        Raises:
            ConfigError: no source has local files.
            MissingExtra: the package watchfiles is not installed.
        """
        places = [p for feed in feeds.feeds(self.builder, self.directory) for p in feed.source.watched()]
        yield self.sync(progress=progress)
        due = True  # what changed before the watching began
        for changed in feeds.changes(places, stop=stop):
            due = due or changed
            if due:
                with suppress(ProjectLocked):
                    report, due = self.sync(progress=progress), False
                    if changed or any(report[name] for name in ("added", "changed", "moved", "deleted")):
                        yield report

    def listed_documents(self, *, progress: Progress = quiet) -> tuple[list[Json], bool]:
        """The documents: ``id``, ``title``, ``source``, ``file``; and whether they are those of the last sync.

        Before the first sync they are read from the files of ``[documents].paths``.
        """
        synced = self.catalogue if (self.derived / CATALOGUE).is_file() else None
        return feeds.listed(synced, self.config.documents, self.directory, progress=progress)

    @property
    def versions(self) -> Versions:
        """The versions of the index. What changes them (`restore`, `prune`, `forget`) is called under `writing`."""
        return Versions(builder=self.builder, eraser=Eraser(builder=self.builder, root=self.directory))

    def writing(self) -> ProjectLock:
        """The project's one writer's lock, as a context manager.

        Raises:
            ProjectLocked: another process holds it.
        """
        self.derived.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ProjectLock(self.derived / "lock")

    def plan(self, *, final: bool = False, measure: bool = False, progress: Progress = quiet) -> Json:
        """What a study would do and cost, without doing or writing anything; see `study.forecast.plan`.

        Args:
            final: The questions are those of the reserve split.
            measure: Measure this machine for some seconds where nothing is known of its pace.
            progress: Shows measuring.
        """
        reader = self._reader
        reader.require_principal()
        splits, leaks = self._prepared
        read = self.documents if self._retrieves else []
        settings: Json = {"final": final, "measure": measure, "progress": progress}
        return forecast.plan(reader, splits, read, records=self.records, leaks=leaks, **settings)

    def tuning_plan(
        self, *, arm: str = "ft+rag", all_documents: bool = False, measure: bool = False, progress: Progress = quiet
    ) -> Json:
        """What `tune` would take, as `plan` tells it: ``steps``, ``minutes``, ``warnings``, ``rates``."""
        chosen, builder = self.config.arm(arm), self._reader
        if all_documents:
            builder = Builder(self.derived, self.config, catalogue=builder.catalogue, everything=True)
        read = self.documents if chosen.retrieval else []
        return forecast.tuning_plan(builder, self.splits, read, arm=chosen, measure=measure, progress=progress)

    def study(self, *, final: bool = False, progress: Progress = quiet) -> StudyRecord:
        """Run the study, or finish one that was stopped; returns the record, which is also written to ``studies/``."""
        self.builder.require_principal()
        with self.writing():
            if self._retrieves and not self._refresh(progress):
                _ = self.documents  # raises what a plan raises, which reads them all
            feeds.same_documents(self.catalogue, lambda: self.documents, keep=True)
            splits, leaks = self._prepared
            if self._retrieves:
                self._weighed(progress)
            return run.study(self.builder, splits, self.records, leaks=leaks, final=final, progress=progress)

    def show(self, study: str = "") -> StudyRecord:
        """The record of a study: by name, by number, or the latest.

        Raises:
            StudyError: there is none of that name.
        """
        return archive.read_record(self.records / archive.named(self.studies(), study))

    def studies(self) -> list[str]:
        """Names of the finished studies, oldest first."""
        if not self.records.is_dir():
            return []
        return sorted(path.parent.name for path in self.records.glob("[0-9]*/study.json"))

    def where(self, *where: str | Condition) -> Project:
        """This project, asked of documents alone whose metadata meet these conditions, too: ``"price < 30"``.

        Raises:
            BadFilter: a condition cannot be read.
        """
        if not where:
            return self
        _ = self.builder  # shared, and closed with this one
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
    ) -> tuple[Answer, Json]:
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
            AccessDenied: access control is on and nobody is named, or not one who may ask this arm.
            ConfigError: somebody is named and access control is off, or the arm reads no documents to filter.
            BadFilter: a condition can find nothing.
        """
        reader, which = self._reader, asking.request_filter(self.config, user, groups)
        choice = asking.chosen(reader, self.records, self.studies(), arm=arm, model=model)
        which = asking.narrowed(reader, choice.arm, which, where=self._where)
        system = asking.open_system(reader, choice, lambda: self.splits, root=self.directory)
        behind, example = asking.unseen(reader, choice, self.directory), answering.question(question, history)
        progress("answer", 0, 1)
        try:
            passed = asking.remarks(reader, which)
            answer = asking.answered(system, example, filter=which, written=written)
        finally:
            system.close()
        if written is None:
            progress("answer", 1, 1)
        made_by = asking.provenance(reader, system, example, answer=answer, choice=choice)
        return answer, {**made_by, "behind": behind, "passed_over": passed}

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
        reader = self._reader
        choice = asking.chosen(reader, self.records, self.studies(), arm=arm, model=model)
        return asking.open_system(reader, choice, lambda: self.splits, root=self.directory)

    def tune(
        self,
        *,
        arm: str = "ft+rag",
        combine: Mapping[str, float] | None = None,
        all_documents: bool = False,
        progress: Progress = quiet,
    ) -> Json:
        """Train an arm's adapter unless it is there already; returns the training report with its path.

        Args:
            arm: Which.
            combine: Train nothing; put these tuned models together, each with its weight.
            all_documents: Learn from all documents, also those that only test questions are about: the last model, made
                after the verdict. No study uses it.
            progress: Shows training and measuring.
        """
        chosen = self.config.arm(arm)
        builder = Builder(self.derived, self.config, catalogue=self.catalogue, everything=all_documents)
        require_trainable(builder, self.splits, chosen)
        with self.writing():
            if chosen.retrieval:
                self._refresh(progress)
                self._weighed(progress)
            feeds.same_documents(self.catalogue, lambda: self.documents, keep=True)
            splits = self.splits
            require_sound(builder, (*splits.train, *splits.dev), None if chosen.retrieval else ())
            if combine:
                adapter, report = builder.combine(chosen, splits, combine, progress=progress)
            else:
                adapter, report = builder.adapter(chosen, splits, progress=progress)
            name = builder.registry.register(adapter.key)
        return {**report, "arm": arm, "id": name, "path": adapter.path}

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
    ) -> Json:
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
            What `bench.Bench.run` tells, and ``words``: the weight of the word leg (`blend.settle`).
        """
        configs = {"project": self.config}
        for name, values in variants.items():
            configs[name] = config.laid_over(self.config, values)
        self.builder.require_principal()
        rules_of(self.config, unit)  # refuses, before the sync, a unit that cannot be ranked
        request = Bench(configs=configs, split=split, synthetic=synthetic, unit=unit, ablation=ablation, weigh=weigh)
        with self.writing():
            self._refresh(progress)
            words = self._weighed(progress)
            record = request.run(
                self.builder, lambda: self.examples, lambda: self.splits, records=self.records, progress=progress
            )
        return {**record, "words": words}

    def tune_embedder(self, *, plan: bool = False, progress: Progress = quiet) -> Json:
        """Tune the embedder on the train split's questions and sources; with `plan`, only say what it would take.

        Raises:
            UnknownDocument, BadRecord: an example is wrong about the documents; see `admission.require_sound`.
        """
        with self.writing():
            self._refresh(progress)
            require_sound(self.builder, (*self.splits.train, *self.splits.dev))
            if plan:
                return embedder.plan(self.builder, self.splits)
            return {
                **embedder.tune(self.builder, self.splits, progress=progress),
                "reembed": embedder.reembedding(self.builder),
            }

    def gc(self, *, dry_run: bool = False) -> Json:
        """Remove what nothing needs; see `TunedModels.gc`."""
        return self.models.gc(also={self.builder.calibrations.newest()}, dry_run=dry_run)

    def make_examples(
        self, recipe: making.Recipe, *, what: str = "questions", foreign: Sequence[str] = (), progress: Progress = quiet
    ) -> making.Made:
        """Make examples: ``questions`` from the documents, or ``rewordings`` of the train split's questions.

        Args:
            recipe: How many, by whom, how checked.
            what: ``questions`` or ``rewordings``.
            foreign: Files or folders of documents that are not the project's, for questions that it cannot answer.
            progress: Shows syncing and making.
        """
        with self.writing():
            self._refresh(progress)
            if what == "rewordings":
                known = [e for e in self.splits.train if e.origin != "synthetic"]
                return making.rewordings(self.builder, known, recipe, progress=progress)
            others = load_documents(DocumentsSection(paths=tuple(foreign)), self.directory)[0] if foreign else []
            outside = [chunk for document in others for chunk in self.builder.chunker.split(document)]
            return making.questions(self.builder, recipe, foreign=outside, progress=progress)

    def examples_file(self, name: str) -> Path:
        """Where made examples go: to the file of ``[examples].paths`` that is still to be written, else to `name`."""
        paths = self.config.examples.paths
        first = next((path for path in paths if path.endswith(".jsonl") and "*" not in path), "")
        return self.directory / (first if first and not expand(paths, self.directory)[0] else name)

    def reads_examples(self, path: Path) -> bool:
        """Is this file among ``[examples].paths``?"""
        files, _ = expand(self.config.examples.paths, self.directory)
        return any(file.path.resolve() == path.resolve() for file in files)

    def mine_examples(self, logs: Sequence[str], *, mask: bool = True) -> Mined:
        """Examples and preferences from logged answers and what people said of them; see `examples.feedback`.

        Args:
            logs: JSON Lines files, folders or patterns, relative to the project, the oldest first.
            mask: Put the kind of personal data and secrets in their place.
        """
        return feedback_logs.mine(logs, self.directory, abstention=self.config.template.abstention, mask=mask)

    def select_examples(
        self, budget: int, *, by: By = "both", seed: int = 0, progress: Progress = quiet
    ) -> difficulty.Selected:
        """Choose `budget` examples of the train split; see `curation.selection`."""
        splits = self.splits
        with self.writing():
            return difficulty.select(self.builder, splits.train, budget, by=by, seed=seed, progress=progress)

    @property
    def models(self) -> TunedModels:
        """The tuned models. `retrain` and `gc` are called under `writing`; aliases move at any time."""
        return TunedModels(builder=self.builder, records=self.records)

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
        if not self.config.arm(arm).tuning:
            raise ConfigError(f"the arm {arm!r} has nothing to train", cure="Name an arm that is tuned: ft or ft+rag.")
        fresh = config.laid_over(self.config, {"tuning": {"use": ""}})
        builder = Builder(self.derived, fresh, catalogue=self.catalogue)
        models, splits = TunedModels(builder=builder, records=self.records), self.splits
        with nullcontext() if plan else self.writing():
            known, triggers = models.due(splits, champion)
            report: Json = {"due": any(row["due"] for row in triggers), "triggers": triggers}
            if plan or (if_due and not report["due"]):
                return {**report, "outcome": "due" if report["due"] else "not due"}
            chosen = fresh.arm(known["arm"]) if known else fresh.arm(arm)
            if chosen.retrieval:
                feeds.refresh(builder, self.directory, progress=progress)
                splits = self.splits  # of the documents as they are now
            examples = (*splits.train, *splits.dev, *splits.test)
            require_sound(builder, examples, None if chosen.retrieval else ())
            return {**report, **models.retrain(splits, champion, arm=chosen, who=who, progress=progress)}

    def cancel_tuning(self, *, arm: str = "ft+rag") -> list[Json]:
        """Cancel what trainers of an arm have under way elsewhere: ``{"trainer", "job", "status"}`` each."""
        return self.models.cancel(self.config.arm(arm), self.splits)

    # ------------------------------------------------------------ inside

    @property
    def _retrieves(self) -> bool:
        names = (*self.config.study.arms, *self.config.study.diagnostics)
        return any(self.config.arm(name).retrieval for name in names)

    def _weighed(self, progress: Progress, *, exact: bool = True) -> Json | None:
        """The weight of the word leg, chosen again where the last choice is old (`blend.settle`)."""
        try:
            return settle(self.builder, lambda: self.splits, exact=exact, progress=progress)
        except TwofoldError as error:
            if exact and not isinstance(error, TooFewExamples):
                raise
            return {"weight": None, "why": str(error), "new": True}

    def _refresh(self, progress: Progress, *, checked: bool = True) -> bool:
        self._documents = None  # what was read before the sync
        synced = feeds.refresh(self.builder, self.directory, progress=progress)
        if checked:
            asking.check_where(self.builder)
        return synced


CATALOGUE = "catalogue.sqlite"
"""The catalogue's file in `Project.derived`."""
