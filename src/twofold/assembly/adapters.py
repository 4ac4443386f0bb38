"""Arm + examples → adapter, by every configured method, reusing what is stored.

An adapter has a key made of what made it: work out the key, ask the store, train what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.systems import Systems
from twofold.assembly.training_jobs import TrainingJob, train
from twofold.config import Config
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.execution.choosing import executor
from twofold.hashing import digest
from twofold.host import pace
from twofold.plugins import loading, specs
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress, Trainer, quiet
from twofold.plugins.traits import TrainerSettings
from twofold.settings.sections import Part
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.store.model_registry import LEARNED, model_id
from twofold.tuning import distillation, finalize
from twofold.tuning.forgetting_gate import ForgettingGate
from twofold.tuning.visible import Learning
from twofold.types import Adapter, Arm, Json

KEYS = "keys"
"""Name under which the catalogue keeps the keys that a recipe came to."""


@dataclass(frozen=True, kw_only=True)
class _Due:
    """A training that is to be done."""

    arm: Arm
    job: TrainerJob
    method: Part
    key: str
    """Of the weights as they come out."""
    learning: Learning
    """What is learned from."""
    written: Json
    """What models wrote for it."""


@dataclass(kw_only=True, eq=False)
class Adapters:
    """Makes adapters of one project: training, what follows, and the choice among methods."""

    config: Config
    """The configuration in force."""
    catalogue: Catalogue
    """The open catalogue."""
    artifacts: Artifacts
    """Stores the adapters."""
    spent: pace.Spent
    """The seconds that each kind of work took."""
    search: Search
    """Finds the material to learn from."""
    models: Models
    """The base, and the writers of what is distilled."""
    systems: Systems
    """Render rows, and answer dev questions with a candidate."""
    run: int = 1
    """Number of the training run that these make; see `of_run`."""

    @property
    def methods(self) -> tuple[Part, ...]:
        """The ways of tuning to compare; see `finalize.methods`."""
        return finalize.methods(self.config.tuning)

    def job(self, arm: Arm, splits: Splits, method: Part | None = None) -> TrainerJob:
        """Rows and dev items of an arm; see `visible.Learning.job`.

        Raises:
            TooFewExamples: the train or dev split is empty.
            AccessDenied: access control is enabled, but no user to tune as is named.
        """
        self.search.require_principal()
        learning = self.search.learning(splits, self.config)
        return learning.job(arm, method or self.methods[0], self.systems.renderer(arm, learning.filter))

    # ------------------------------------------------------------ training runs

    @property
    def seed(self) -> int:
        """Seed of this training run: the first run has ``[tuning].seed``, each further one the next number."""
        return self.config.tuning.seed

    def of_run(self, number: int) -> Adapters:
        """These for another training run, from 1: the same examples and passages, another seed."""
        if number == self.run:
            return self
        tuning = self.config.tuning.model_copy(update={"seed": self.seed + number - self.run})
        return replace(self, config=self.config.model_copy(update={"tuning": tuning}), run=number)

    def runs(self, arm: Arm) -> list[Adapters]:
        """These for every run that an arm takes: the one it names, else all of ``[study].seeds``."""
        numbers = [arm.run] if arm.run else range(1, self.config.study.seeds + 1)
        return [self.of_run(number) for number in numbers]

    # ------------------------------------------------------------ keys

    def key(self, job: TrainerJob, method: Part | None = None) -> str:
        """Name of the adapter this job ends in: how it is trained, and what follows."""
        trained = self.trained_key(job, method or self.methods[0])
        return digest("adapter", {"trained": trained, "after": self._after()})

    def trained_key(self, job: TrainerJob, method: Part) -> str:
        """Name of the weights as a method makes them of this job, before what follows."""
        # The rows were made without these documents already; what else they decide is in `_trained_by`.
        known = job.model_dump(mode="json", exclude={"without"})
        for item in known["dev"]:
            # Only where there are any: jobs without them keep the keys that adapters are stored under.
            if not item["example"]["tests"]:
                del item["example"]["tests"]
        return digest("trained", {"job": known, **self._trained_by(method, job.without)})

    def known_keys(self, arm: Arm, splits: Splits, method: Part) -> Json | None:
        """``trained`` and ``adapter``, the keys of what a method makes for the arm, without searching for anything.

        An arm with retrieval learns from what is found, which its keys name: None until `adapter` has found it once
        with the examples, documents and settings of now.
        """
        arm = arm.learner
        if arm.retrieval:
            return self.catalogue.measures.get(self._recipe(arm, splits, method), KEYS)
        job = self.job(arm, splits, method)
        return {"trained": self.trained_key(job, method), "adapter": self.key(job, method)}

    def _after(self) -> Json:
        """The settings of all that follows training, as part of an adapter's key."""
        after = finalize.spec(self.config.tuning, schema=self.models.schema)
        # Two models of the same base weights share what is trained, but not the dev score and the latency, which are
        # those of a generator: without the gate only the keys of the project's own model leave it out.
        if after["gate"] != "off" or self.models.further:
            generator = self.models.generator(brief=True, exact=True)
            after["generator"] = generator.key
            generator.close()
        # All runs answer the same dev questions, which the first one's seed draws.
        return after | ({"dev drawn by": self._dev_seed} if self.run > 1 else {})

    @property
    def _dev_seed(self) -> int:
        return self.seed - (self.run - 1)

    def _trained_by(self, method: Part, without: Sequence[str]) -> Json:
        """The inputs of trained weights beside the job: trainer, base, and texts that models write for the training."""
        weights = self.models.base(method).get("weights", "")
        wrote = self._teaching(method, without).spec()
        # Only where it is so: keys made before this setting existed stay valid.
        wrote |= {"documents": "all"} if self.search.everything else {}
        return {"trainer": specs.of_part("trainers", method), "model": weights, **wrote}

    def _recipe(self, arm: Arm, splits: Splits, method: Part) -> str:
        """Names an arm's adapter by what decides it, known before anything is searched for."""
        learning = self.search.learning(splits, self.config)
        made_of = {
            "job": learning.job_decided_by(arm, method),
            "retrieval": self.search.spec(),
            "trained": self._trained_by(method, sorted(learning.filter.without)),
            "after": self._after(),
        }
        return digest("recipe", made_of)

    # ------------------------------------------------------------ adapters

    def adapter(
        self, arm: Arm, splits: Splits, *, use: str = "", lineage: Json | None = None, progress: Progress = quiet
    ) -> tuple[Adapter, Json]:
        """The arm's adapter, made now unless the store has it; of several methods and training runs the best on dev.

        Args:
            arm: Which, and perhaps of which training run; where `use` or ``[tuning].use`` names a model for it, that
                model.
            splits: What is learned from.
            use: A tuned model, for this call.
            lineage: What the manifest says of the model's origin.
            progress: Shows the training.

        Returns:
            The adapter; and its training report with ``gate``, ``merge_back``, ``dev_score``, ``key``, ``cached``,
            ``trials`` (checkpoints, shares, methods and runs tried on dev), ``methods`` and ``runs`` (a row for each of
            several).
        """
        # Examples in the prompt change no weights: `ft` and `prompt+ft` are trained once, as `ft`.
        learner = arm.learner
        chosen = self.models.chosen(learner, use)
        if chosen:
            return self.models.load(chosen), self._report(chosen, cached=True)
        runs = self.runs(arm)
        reports = []
        for place, run in enumerate(runs, 1):
            stage = progress if len(runs) == 1 else _of_run(progress, place, len(runs))
            reports.append(run._best_method(learner, splits, lineage=lineage or {}, progress=stage))
        return self._carried(reports)

    def _best_method(self, arm: Arm, splits: Splits, *, lineage: Json, progress: Progress) -> Json:
        """The report of this run's adapter, of several methods by the best on dev."""
        reports = [self._report_by(arm, splits, method, lineage=lineage, progress=progress) for method in self.methods]
        return self._of_methods(reports)

    def known(self, arm: Arm, splits: Splits, *, use: str = "") -> Adapter | None:
        """The arm's adapter (see `adapter`) where the store has it; None otherwise: nothing is searched or trained."""
        learner = arm.learner
        if chosen := self.models.chosen(learner, use):
            return self.models.load(chosen)
        reports = []
        for run in self.runs(arm):
            known = [run.known_keys(learner, splits, method) for method in self.methods]
            keys = [keys["adapter"] for keys in known if keys and self.artifacts.find(keys["adapter"]) is not None]
            # One method, or run, is missing: which of them is best on dev is not known yet.
            if len(keys) < len(known):
                return None
            reports.append(run._of_methods([self._report(key, cached=True) for key in keys]))
        return self._carried(reports)[0]

    def combine(
        self, arm: Arm, splits: Splits, parts: Mapping[str, float], *, progress: Progress = quiet
    ) -> tuple[Adapter, Json]:
        """One adapter of several (tuned model → weight; see `finalize.put_together`), measured on dev as any other."""
        records = [(self.models.registry.checked(name), weight) for name, weight in parts.items()]
        trained, lineage = finalize.put_together(self.artifacts, arm, records)
        # The dev questions are part of this key, as there is no training job whose key would name them.
        key = digest("adapter", {"trained": trained, "after": self._after(), "dev": splits.dev.digests})
        cached = self.artifacts.find(key) is not None
        if not cached:
            self._finishing(arm, splits, progress).finish(key, trained, lineage)
        return self.models.load(key), self._report(key, cached=cached)

    def _of_methods(self, reports: Sequence[Json]) -> Json:
        """Of the reports of all methods the one to go on with."""
        best = self._best_of(reports)
        report = {**best, "trials": sum(method_report["trials"] for method_report in reports)}
        if len(reports) > 1:
            report |= finalize.compared(reports, best)
        return report | {"run": self.run, "seed": self.seed}

    def _carried(self, reports: Sequence[Json]) -> tuple[Adapter, Json]:
        """Of the reports of all training runs the one to go on with: the adapter that is served."""
        best = self._best_of(reports)
        report = {**best, "trials": sum(run_report["trials"] for run_report in reports)}
        if len(reports) > 1:
            report |= finalize.repeated(reports, best)
        return self.models.load(best["key"]), report

    def _best_of(self, reports: Sequence[Json]) -> Json:
        if len(reports) == 1:
            return reports[0]
        return finalize.best_of(reports, enforce=self.config.tuning.gate == "enforce")

    def _report_by(self, arm: Arm, splits: Splits, method: Part, *, lineage: Json, progress: Progress) -> Json:
        """The report of the arm's adapter by one method: trained and finished now unless the store has it."""
        job = self.job(arm, splits, method)
        key = self.key(job, method)
        trained = self.trained_key(job, method)
        if arm.retrieval:
            # So that a plan knows the model by its recipe, without searching for the passages that its key is made of.
            self.catalogue.measures.put(self._recipe(arm, splits, method), KEYS, {"trained": trained, "adapter": key})
        if self.artifacts.find(key) is not None:
            return self._report(key, cached=True)
        if self.artifacts.find(trained) is None:
            due = self._due(arm, splits, job, method=method, key=trained, progress=progress)
            self._train([due], progress)
        self._finishing(arm, splits, progress).finish(key, trained, lineage)
        return self._report(key, cached=False)

    def _report(self, key: str, *, cached: bool) -> Json:
        """The report of a finished adapter."""
        manifest = self.artifacts.manifest(key)
        return {**finalize.report(manifest), "key": key, "model": model_id(manifest), "cached": cached}

    # ------------------------------------------------------------ training

    def train_ahead(self, arms: Sequence[Arm], splits: Splits, *, progress: Progress) -> list[str]:
        """Train side by side what several arms, methods and runs lack, where ``[scale]`` names workers.

        Returns:
            The arm of each training that was done now.
        """
        if self.config.scale.on == "local":
            return []
        due: dict[str, _Due] = {}
        for arm in (arm.learner for arm in arms if arm.tuning and not self.models.chosen(arm.learner)):
            for run in self.runs(arm):
                for method in self.methods:
                    job = run.job(arm, splits, method)
                    key = run.trained_key(job, method)
                    done = any(self.artifacts.find(name) for name in (key, run.key(job, method)))
                    if not done and key not in due:
                        due[key] = run._due(arm, splits, job, method=method, key=key, progress=progress)
        self._train(list(due.values()), progress)
        return [one.arm.name for one in due.values()]

    def _due(self, arm: Arm, splits: Splits, job: TrainerJob, *, method: Part, key: str, progress: Progress) -> _Due:
        """A training ready to begin: what models write for it is written."""
        learning = self.search.learning(splits, self.config)
        wrote = self._teaching(method, job.without)
        written = {}
        if wrote.distils:
            with self.spent.on("teach"):
                train, written["answers"] = wrote.distilled(learning.splits.train, progress=progress)
            # The rows anew, with the answers that the retrieval arm gave in place of the references.
            job = self.job(arm, replace(splits, train=Questions(train)), method)
        if wrote.replays:
            with self.spent.on("replay"):
                job = job.model_copy(update={"replay": wrote.replayed(progress=progress)})
        return _Due(arm=arm, job=job, method=method, key=key, learning=learning, written=written)

    def _train(self, due: Sequence[_Due], progress: Progress) -> None:
        """Train, and keep the weights as they came out."""
        works = [self.artifacts.working(one.key) for one in due]
        scale = self.config.scale
        if scale.on == "local":
            for training, work in zip(due, works, strict=True):
                trainer: Trainer = loading.make("trainers", training.method.name, training.method.options)
                self._keep(training, trainer.train(training.job, work, progress=progress))
            return
        jobs = []
        for training, work in zip(due, works, strict=True):
            name, directory = training.arm.name if len(due) > 1 else "", str(work.absolute())
            jobs.append(TrainingJob(name=name, method=training.method, job=training.job, directory=directory))
        for place, report in train(executor(scale), jobs, progress=progress):
            self._keep(due[place], report)

    def _keep(self, training: _Due, report: Json) -> None:
        learned = training.learning.learned()
        # Beside the weights, not in the manifest, which every listing reads: these are thousands of digests.
        (self.artifacts.working(training.key) / LEARNED).write_text(json.dumps(learned), encoding="utf-8")
        manifest = {
            "kind": "trained",
            "trainer": specs.of_part("trainers", training.method),
            "base": self.models.base(training.method),
            **training.learning.manifest(training.arm, training.job, learned, written=training.written),
            "report": report,
        }
        self.artifacts.finish(training.key, manifest)

    def _teaching(self, method: Part, without: Sequence[str]) -> distillation.Teaching:
        seen = replace(self.search.filter, without=frozenset(without))
        writer = partial(self.models.generator, exact=True)
        options = loading.options("trainers", method.name, method.options)
        rag = self.config.arm("rag")
        return distillation.Teaching(
            catalogue=self.catalogue,
            generator=writer,
            retrieval=lambda: self.systems.assembled(rag, generator=writer(), shots=(), filter=seen),
            distils=self.config.tuning.answers == "retrieval",
            replays=TrainerSettings.of(options).replay > 0,
        )

    def _finishing(self, arm: Arm, splits: Splits, progress: Progress) -> finalize.Finishing:
        # Functions instead of parts: finishing opens models one at a time and must know nothing of how they are made.
        return finalize.Finishing(
            artifacts=self.artifacts,
            catalogue=self.catalogue,
            equip=lambda adapter: self.systems.equipped(arm, splits, adapter=adapter, brief=True),
            gathered=lambda: self.search.gathered,
            gate=ForgettingGate(
                catalogue=self.catalogue,
                generator=lambda adapter: self.models.generator(adapter, brief=True),
                threshold=self.config.tuning.max_forgetting,
                progress=progress,
            ),
            dev=self.search.readable(splits.dev),
            metric=specs.informed(self.config.study.decides, (*splits.train, *splits.dev, *splits.test)),
            section=self.config.tuning.model_copy(update={"seed": self._dev_seed}),
            spent=self.spent,
            progress=progress,
        )


def _of_run(progress: Progress, number: int, of: int) -> Progress:
    """The same progress, its stages named after the training run."""
    return lambda stage, done, total: progress(f"run {number} of {of} {stage}".strip(), done, total)
