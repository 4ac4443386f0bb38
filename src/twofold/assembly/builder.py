"""Arm + corpus + examples → `System`, reusing everything that exists.

Every derived thing has a key made of what made it: work out the key, ask the store, make what is missing. Nothing here
imports a workshop; parts are made by name through `plugins`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from twofold.answering import access
from twofold.answering.sufficiency import Calibration
from twofold.answering.system import Renderer, System, gold_chunks
from twofold.assembly.calibrations import Calibrations
from twofold.assembly.schemas import require_support, schema_text
from twofold.assembly.searching import Search
from twofold.config import Config, Part
from twofold.errors import AccessDenied, TemplateMismatch
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest
from twofold.host import pace
from twofold.plugins import loading, specs
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import (
    Chunker,
    Discards,
    Embedder,
    Generator,
    Index,
    KnowsProvenance,
    Parts,
    Progress,
    Remembers,
    Retriever,
    Trainer,
)
from twofold.plugins.traits import TrainerSettings
from twofold.reports import word_weight
from twofold.store import weighing
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.store.model_registry import LEARNED, Registry, model_id, weights_of
from twofold.tuning import distillation, finalize
from twofold.tuning.forgetting_gate import ForgettingGate
from twofold.tuning.gathered import Gathered
from twofold.tuning.training_data import few_shots
from twofold.tuning.visible import Learning
from twofold.types import Adapter, Arm, Chunk, Example, Filter, Json

KEYS = "keys"
"""Name under which the catalogue keeps the keys that a recipe came to."""
_VERSION = 3
"""Raised when systems are made differently from the same parts, or read the same completion as another answer."""


def quiet(_stage: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""


class Builder:
    """Makes the parts of one project; opens each once.

    Args:
        directory: The project's derived data (``.twofold``).
        config: The configuration in force.
        catalogue: The open catalogue.
        everything: Learn from all documents, also those that only test questions are about: no study may use it.
    """

    def __init__(self, directory: Path, config: Config, *, catalogue: Catalogue, everything: bool = False) -> None:
        self.directory = directory
        self.config = config
        self.catalogue = catalogue
        self.everything = everything
        self.artifacts = Artifacts(directory / "artifacts")
        self.spent = pace.Spent()
        self._search = self._opened()

    # ------------------------------------------------------------ parts

    @cached_property
    def embedder(self) -> Embedder:
        """The configured embedder."""
        embedder: Embedder = loading.make("embedders", self.config.retrieval.embedder.name, self.embedder_options())
        return embedder

    def embedder_options(self) -> Json:
        """The configured embedder's options, with the place of one that was tuned here (`Artifacts.placed`)."""
        return self.artifacts.placed(self.config.retrieval.embedder.options)

    @cached_property
    def chunker(self) -> Chunker:
        """The configured chunker, counting the embedder's tokens."""
        part = self.config.documents.chunker
        chunker: Chunker = loading.make(
            "chunkers", part.name, part.options, offsets=self.embedder.offsets, embed=self.embedder.embed
        )
        rules = self.config.access.rules
        return access.RuledChunker(chunker, rules) if rules else chunker

    def _opened(self) -> Search:
        return Search(
            directory=self.directory,
            config=self.config,
            catalogue=self.catalogue,
            embedder=lambda: self.embedder,
            generator=lambda: self._plain_generator,
            chunks=lambda: self.chunk_recipe,
        )

    @property
    def index(self) -> Index:
        """The living index; see `searching.Search`."""
        return self._search.index

    @property
    def retriever(self) -> Retriever:
        """The configured pipeline over the living index."""
        return self._search.retriever

    @property
    def parts(self) -> Parts:
        """What retrievers and their stages may use."""
        return self._search.parts

    @property
    def gathered(self) -> Gathered:
        """The searches for train and dev questions, each made once."""
        return self._search.gathered

    def words(self) -> float | None:
        """The weight of the word leg chosen for this search; None without a choice."""
        return self._search.words()

    def words_told(self) -> str:
        """`words` and why, as a sentence; see `weighing.in_force`."""
        choice, why_none = weighing.in_force(
            self.catalogue.notes, self.config, chunks=self.chunk_recipe, embedder=self.embedder
        )
        return why_none or word_weight.sentence(choice)

    def retrieval_spec(self) -> Json:
        """Everything that decides what is found."""
        return self._search.spec()

    @cached_property
    def filter(self) -> Filter:
        """What studies and tuning may see: what [retrieval].where says, of what the study's principal may read."""
        section, where = self.config.access, self.config.retrieval.where
        if not section.enabled or not (section.study_user or section.study_groups):
            return Filter(where=where)
        return Filter(where=where, principal=access.principal(section.study_user, section.study_groups))

    def require_principal(self) -> None:
        """Refuse a study or tuning under access control as nobody.

        Raises:
            AccessDenied: access control is on, and [access] names no principal for them.
        """
        if self.config.access.enabled and self.filter.principal is None:
            raise AccessDenied("access control is on, and twofold.toml names nobody as whom studies and tuning run")

    def readable(self, examples: Sequence[Example]) -> Questions:
        """The examples that tuning may learn from: made from documents that the study's principal may read."""
        if self.filter.principal is None:
            return Questions.of(examples)
        golds = self.gold(examples)
        return Questions(e for e, own in zip(examples, golds, strict=True) if access.readable(e, own, self.filter))

    @cached_property
    def _plain_generator(self) -> Generator:
        return self.generator()

    def generator(self, adapter: Adapter | None = None, *, brief: bool = False, exact: bool = False) -> Generator:
        """The configured generator, with an adapter or without; the caller closes it.

        Args:
            adapter: To answer with.
            brief: It only measures a candidate: its copy is not compared with the unmerged adapter.
            exact: It sends also what its endpoint refused before, on which no key of a tuned model may depend.
        """
        part = self.config.generation.generator
        skips = brief and "parity" in loading.find("generators", part.name).Options.model_fields
        options = {**part.options, "parity": False} if skips else part.options
        generator: Generator = loading.make("generators", part.name, options, adapter=adapter)
        if isinstance(generator, Remembers) and not exact:
            generator.remember(self.directory)
        return generator

    @cached_property
    def schema(self) -> str:
        """The JSON schema of answers as text, read once; see `schemas.schema_text`."""
        return schema_text(self.config.generation.json_schema, self.directory.parent)

    # ------------------------------------------------------------ corpus

    @property
    def chunk_recipe(self) -> Json:
        """What documents are cut with."""
        rules = [rule.model_dump(mode="json") for rule in self.config.access.rules]
        return {**specs.of_part("chunkers", self.config.documents.chunker), **({"rules": rules} if rules else {})}

    def clear_index(self) -> None:
        """Remove the index and what is known of the documents in it."""
        self._search = self._opened()
        self.catalogue.sync.clear()
        part = self.config.retrieval.index
        index_class = loading.find("indexes", part.name)
        if isinstance(index_class, Discards):
            index_class.discard(loading.options("indexes", part.name, part.options), dimension=self.embedder.dimension)
        shutil.rmtree(self.directory / "index", ignore_errors=True)

    def gold(self, examples: Sequence[Example]) -> list[list[Chunk]]:
        """Gold passages of each example, best evidence first; empty where the sources are unknown."""
        document_ids = list(dict.fromkeys(source for example in examples for source in example.sources))
        by_document: dict[str, list[Chunk]] = {}
        for chunk in self.index.chunks_of(document_ids) if document_ids else []:
            by_document.setdefault(chunk.span.document, []).append(chunk)
        return [
            gold_chunks(example, [c for source in example.sources for c in by_document.get(source, ())])
            for example in examples
        ]

    # ------------------------------------------------------------ tuning

    def learning(self, splits: Splits) -> Learning:
        """What may be learned from: nothing of the documents that only test questions are about, or `everything`."""
        train, dev = self.readable(splits.train), self.readable(splits.dev)
        hidden = frozenset() if self.everything else splits.hidden
        return Learning(
            splits=replace(splits, train=train, dev=dev),
            filter=replace(self.filter, without=hidden),
            everything=self.everything,
            config=self.config,
            root=self.directory.parent,
            retriever=lambda: self.gathered,
            gold=self.gold,
        )

    def training_job(self, arm: Arm, splits: Splits, method: Part | None = None) -> TrainerJob:
        """Rows and dev items of an arm; see `visible.Learning.job`.

        Raises:
            TooFewExamples: the train or dev split is empty.
            AccessDenied: access control is on, and nobody is named as whom to tune.
        """
        self.require_principal()
        learning = self.learning(splits)
        return learning.job(arm, method or self.methods[0], self.renderer(arm, learning.filter))

    @property
    def methods(self) -> tuple[Part, ...]:
        """The ways of tuning to compare; see `finalize.methods`."""
        return finalize.methods(self.config.tuning)

    def adapter_key(self, job: TrainerJob, method: Part | None = None) -> str:
        """Name of the adapter this job ends in: how it is trained, and what follows."""
        trained = self.trained_key(job, method or self.methods[0])
        return digest("adapter", {"trained": trained, "after": self._after()})

    def _after(self) -> Json:
        """What follows training, as it is part of an adapter's key."""
        after = finalize.spec(self.config.tuning, schema=self.schema)
        if after["gate"] != "off":
            generator = self.generator(brief=True, exact=True)
            after["generator"] = generator.key
            generator.close()
        return after

    def trained_key(self, job: TrainerJob, method: Part) -> str:
        """Name of the weights as a method makes them of this job, before what follows."""
        known = job.model_dump(mode="json", exclude={"without"})
        return digest("trained", {"job": known, **self._trained_by(method, job.without)})

    def _trained_by(self, method: Part, without: Sequence[str]) -> Json:
        """What decides trained weights beside the job: trainer, base, what models write for the training."""
        weights = self.base(method).get("weights", "")
        wrote = self._teaching(method, without).spec()
        wrote |= {"documents": "all"} if self.everything else {}
        return {"trainer": specs.of_part("trainers", method), "model": weights, **wrote}

    def _recipe(self, arm: Arm, splits: Splits, method: Part) -> str:
        """Names an arm's adapter by what decides it, known before anything is searched for."""
        learning = self.learning(splits)
        made_of = {
            "job": learning.job_decided_by(arm, method),
            "retrieval": self.retrieval_spec(),
            "trained": self._trained_by(method, sorted(learning.filter.without)),
            "after": self._after(),
        }
        return digest("recipe", made_of)

    def known_keys(self, arm: Arm, splits: Splits, method: Part) -> Json | None:
        """``trained`` and ``adapter``, the keys of what a method makes for the arm, without searching for anything.

        An arm with retrieval learns from what is found, which its keys name: None until `adapter` has found it once
        with the examples, documents and settings of now.
        """
        if arm.retrieval:
            return self.catalogue.measures.get(self._recipe(arm, splits, method), KEYS)
        job = self.training_job(arm, splits, method)
        return {"trained": self.trained_key(job, method), "adapter": self.adapter_key(job, method)}

    def _teaching(self, method: Part, without: Sequence[str]) -> distillation.Teaching:
        seen = replace(self.filter, without=frozenset(without))
        writer = partial(self.generator, exact=True)
        options = loading.options("trainers", method.name, method.options)
        return distillation.Teaching(
            catalogue=self.catalogue,
            generator=writer,
            retrieval=lambda: self._system(self.config.arm("rag"), generator=writer(), shots=(), filter=seen),
            distils=self.config.tuning.answers == "retrieval",
            replays=TrainerSettings.of(options).replay > 0,
        )

    def adapter(
        self, arm: Arm, splits: Splits, *, use: str = "", lineage: Json | None = None, progress: Progress = quiet
    ) -> tuple[Adapter, Json]:
        """The arm's adapter, made now unless the store has it; of several methods the best on dev.

        Args:
            arm: Which; where `use` or ``[tuning].use`` names a model for it, that model.
            splits: What is learned from.
            use: A tuned model, for this call.
            lineage: What the manifest says of the model's origin.
            progress: Shows the training.

        Returns:
            The adapter; and its training report with ``gate``, ``merge_back``, ``dev_score``, ``key``, ``cached``,
            ``trials`` (checkpoints, shares and methods tried on dev), and ``methods`` (a row for each of several).
        """
        chosen = self.chosen(arm, use)
        if chosen:
            return self.load_adapter(chosen), self._report(chosen, cached=True)
        reports = [
            self._report_by(arm, splits, method, lineage=lineage or {}, progress=progress) for method in self.methods
        ]
        return self._carried(reports)

    def _carried(self, reports: Sequence[Json]) -> tuple[Adapter, Json]:
        """Of the reports of all methods the one to go on with."""
        best = (
            finalize.best_of(reports, enforce=self.config.tuning.gate == "enforce") if len(reports) > 1 else reports[0]
        )
        report = {**best, "trials": sum(one["trials"] for one in reports)}
        if len(reports) > 1:
            report |= finalize.compared(reports, best)
        return self.load_adapter(best["key"]), report

    def _report_by(self, arm: Arm, splits: Splits, method: Part, *, lineage: Json, progress: Progress) -> Json:
        """The report of the arm's adapter by one method: trained and finished now unless the store has it."""
        job = self.training_job(arm, splits, method)
        key, trained = self.adapter_key(job, method), self.trained_key(job, method)
        if arm.retrieval:
            self.catalogue.measures.put(self._recipe(arm, splits, method), KEYS, {"trained": trained, "adapter": key})
        if self.artifacts.find(key) is not None:
            return self._report(key, cached=True)
        if self.artifacts.find(trained) is None:
            self._train(arm, splits, job, method=method, key=trained, progress=progress)
        self._finishing(arm, splits, progress).finish(key, trained, lineage)
        return self._report(key, cached=False)

    def combine(
        self, arm: Arm, splits: Splits, parts: Mapping[str, float], *, progress: Progress = quiet
    ) -> tuple[Adapter, Json]:
        """One adapter of several (tuned model → weight; see `finalize.put_together`), measured on dev as any other."""
        records = [(self.registry.checked(name), weight) for name, weight in parts.items()]
        trained, lineage = finalize.put_together(self.artifacts, arm, records)
        key = digest("adapter", {"trained": trained, "after": self._after(), "dev": splits.dev.digests})
        cached = self.artifacts.find(key) is not None
        if not cached:
            self._finishing(arm, splits, progress).finish(key, trained, lineage)
        return self.load_adapter(key), self._report(key, cached=cached)

    def _finishing(self, arm: Arm, splits: Splits, progress: Progress) -> finalize.Finishing:
        return finalize.Finishing(
            artifacts=self.artifacts,
            catalogue=self.catalogue,
            equip=lambda adapter: self.equipped(arm, splits, adapter=adapter, brief=True),
            gathered=lambda: self.gathered,
            gate=ForgettingGate(
                catalogue=self.catalogue,
                generator=lambda adapter: self.generator(adapter, brief=True),
                threshold=self.config.tuning.max_forgetting,
                progress=progress,
            ),
            dev=self.readable(splits.dev),
            metric=specs.informed(self.config.study.decides, (*splits.train, *splits.dev, *splits.test)),
            section=self.config.tuning,
            spent=self.spent,
            progress=progress,
        )

    def _train(self, arm: Arm, splits: Splits, job: TrainerJob, *, method: Part, key: str, progress: Progress) -> None:
        """Train, and keep the weights as they came out."""
        trainer: Trainer = loading.make("trainers", method.name, method.options)
        learning = self.learning(splits)
        work = self.artifacts.working(key)
        wrote = self._teaching(method, job.without)
        written = {}
        if wrote.distils:
            with self.spent.on("teach"):
                train, written["answers"] = wrote.distilled(learning.splits.train, progress=progress)
            job = self.training_job(arm, replace(splits, train=Questions(train)), method)
        if wrote.replays:
            with self.spent.on("replay"):
                job = job.model_copy(update={"replay": wrote.replayed(progress=progress)})
        report = trainer.train(job, work, progress=progress)
        learned = learning.learned()
        (work / LEARNED).write_text(json.dumps(learned), encoding="utf-8")
        manifest = {
            "kind": "trained",
            "trainer": specs.of_part("trainers", method),
            "base": self.base(method),
            **learning.manifest(arm, job, learned, written=written),
            "report": report,
        }
        self.artifacts.finish(key, manifest)

    def _report(self, key: str, *, cached: bool) -> Json:
        """What is told of a finished adapter."""
        manifest = self.artifacts.manifest(key)
        return {**finalize.report(manifest), "key": key, "model": model_id(manifest), "cached": cached}

    @property
    def registry(self) -> Registry:
        """The project's tuned models by id and alias."""
        return Registry(self.artifacts, self.catalogue.models)

    def chosen(self, arm: Arm, use: str = "") -> str:
        """Key of the model that `use`, else ``[tuning].use``, names, where it was tuned as the arm is; else empty.

        Raises:
            UnknownName: there is no such model.
            StoreError: its files are gone or damaged.
        """
        named = use or self.config.tuning.use
        record = self.registry.checked(named) if named else {"tuning": None}
        return str(record["key"]) if record["tuning"] == arm.tuning else ""

    def load_adapter(self, key: str) -> Adapter:
        """A finished adapter.

        Raises:
            TemplateMismatch: it was trained with another prompt template than the one in force.
        """
        path, manifest = self.artifacts.find(key), self.artifacts.manifest(key)
        if manifest["template"] != self.config.template.digest:
            raise TemplateMismatch(
                f"the adapter {key} was trained with prompt template {manifest['template']}, "
                f"but [prompt] now makes {self.config.template.digest}"
            )
        return Adapter(
            key=key, weights=digest("adapter", weights_of(manifest)), path=str(path), template=manifest["template"]
        )

    # ------------------------------------------------------------ systems

    def system(
        self, arm: Arm, splits: Splits, *, use: str = "", progress: Progress = quiet
    ) -> tuple[System, Json | None]:
        """An arm made ready, with the tuned model `use` or training its adapter if need be; and the training report."""
        adapter, report = self.adapter(arm, splits, use=use, progress=progress) if arm.tuning else (None, None)
        return self.equipped(arm, splits, adapter=adapter), report

    def equipped(self, arm: Arm, splits: Splits, *, adapter: Adapter | None, brief: bool = False) -> System:
        """An arm made ready with this adapter, its abstention calibrated unless the store has that.

        With `brief` it only measures a candidate (see `generator`), and sees what learning may see.
        """
        generator = self.generator(adapter, brief=brief)
        calibration = self.calibration(splits)[0] if arm.retrieval else None
        seen = self.learning(splits).filter if brief else self.filter
        return self._system(
            arm, generator=generator, shots=self.shots(arm, splits), calibration=calibration, filter=seen
        )

    def served(
        self, arm: Arm, *, shots: tuple[Example, ...], adapter: Adapter | None, calibration: Calibration | None
    ) -> System:
        """An arm made ready of parts that are there: nothing is trained, calibrated, retrieved or written."""
        return self._system(arm, generator=self.generator(adapter), shots=shots, calibration=calibration)

    @property
    def calibrations(self) -> Calibrations:
        """The stored calibrations of abstention."""
        return Calibrations(artifacts=self.artifacts, risk=self.config.retrieval.risk, retrieval=self.retrieval_spec)

    def calibration(self, splits: Splits) -> tuple[Calibration | None, str]:
        """When to abstain for want of evidence, or None, and why; see `Calibrations.calibrated`."""
        return self.calibrations.calibrated(self.learning(splits))

    def known_adapter(self, arm: Arm, splits: Splits, *, use: str = "") -> Adapter | None:
        """The arm's adapter (see `adapter`) where the store has it; None otherwise: nothing is searched or trained."""
        if chosen := self.chosen(arm, use):
            return self.load_adapter(chosen)
        known = [self.known_keys(arm, splits, method) for method in self.methods]
        keys = [keys["adapter"] for keys in known if keys and self.artifacts.find(keys["adapter"]) is not None]
        if len(keys) < len(known):
            return None
        return self._carried([self._report(key, cached=True) for key in keys])[0]

    def known_system_key(self, arm: Arm, splits: Splits) -> str | None:
        """The key the arm's system has or will have; None where its adapter or calibration is not made yet."""
        adapter = self.known_adapter(arm, splits) if arm.tuning else None
        if arm.tuning and adapter is None:
            return None
        if arm.retrieval and not self.calibrations.settled(self.learning(splits)):
            return None
        system = self.equipped(arm, splits, adapter=adapter)
        system.close()
        return system.key

    def shots(self, arm: Arm, splits: Splits) -> tuple[Example, ...]:
        """Few-shot examples of an arm, from train."""
        return few_shots(splits.train, arm.shots, seed=self.config.study.seed) if arm.shots else ()

    def renderer(self, arm: Arm, filter: Filter) -> Renderer:
        """An arm's prompts without its model: for rows and dev items, of documents that the filter lets be seen."""
        reading = {**self._reading(arm, filter), **({"retriever": self.gathered} if arm.retrieval else {})}
        return Renderer(arm=arm, **reading)

    def _reading(self, arm: Arm, filter: Filter) -> dict[str, Any]:
        """The fields that a `Renderer` and a `System` of an arm have in common."""
        return {
            "template": self.config.template,
            "max_tokens": self.config.generation.max_tokens,
            "retriever": self.retriever if arm.retrieval else None,
            "k": self.config.retrieval.k,
            "gold": self.gold if arm.oracle else None,
            "filter": filter,
            "guarded": self.config.access.enabled,
            "sources": self.gold,
        }

    def _system(
        self,
        arm: Arm,
        *,
        generator: Generator,
        shots: tuple[Example, ...],
        calibration: Calibration | None = None,
        filter: Filter | None = None,
    ) -> System:
        filter, schema = filter or self.filter, self.schema
        parts: Json = {
            "arm": arm.name,
            "generator": generator.description,
            "template": self.config.template.digest,
            "max_tokens": self.config.generation.max_tokens,
            "shots": list(Questions.of(shots).digests),
        }
        if schema:
            require_support(schema, generator)
            parts["schema"] = schema
        if self.config.access.enabled:
            parts["principal"] = list(self.filter.principal or ())
        if arm.retrieval:
            parts["retrieval"] = {**self.retrieval_spec(), "oracle": arm.oracle, "nothing_found": "abstain"}
            if calibration is not None:
                parts["retrieval"]["abstention"] = calibration.key
            if filter.without:
                parts["retrieval"]["without"] = digest("without", filter.without)
        made_of = {**parts, "generator": generator.key, "arm": "", "version": _VERSION}
        if arm.retrieval:
            parts["retrieval"] = {**parts["retrieval"], "index_version": self.index.state().version}
        return System(
            arm=arm,
            key=digest("system", made_of),
            description=parts,
            generator=generator,
            schema=schema,
            keyed=lambda writer: digest("system", {**made_of, "generator": writer}),
            shots=shots,
            calibration=calibration,
            **self._reading(arm, filter),
        )

    def base(self, method: Part | None = None) -> Json:
        """Where a method's weights come from: its trainer's ``provenance(model)``, else `models.hub.provenance`."""
        from twofold.models import hub

        method = method or self.methods[0]
        trainer = loading.make("trainers", method.name, method.options)
        model = specs.base_model(self.config, method)
        if not model:
            return {}
        return dict(trainer.provenance(model) if isinstance(trainer, KnowsProvenance) else hub.provenance(model))
