"""Arm + corpus + examples → `System`, reusing everything that exists.

Every derived thing has a key made of what made it: work out the key, ask the store, make what is missing. Nothing here
imports a workshop; parts are made by name through `plugins`.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from twofold import access, plugins, prompts, sufficiency
from twofold.answering import System, as_hits, gold_chunks, query, question
from twofold.config import Config, Part
from twofold.dataset import Splits, cloze, example_digest
from twofold.errors import AccessDenied, ConfigError, TemplateMismatch, TooFewExamples
from twofold.identity import digest, plain
from twofold.jobs import TrainerJob
from twofold.plugins import Chunker, Embedder, Generator, Index, Parts, Progress, Retriever, Tool, Trainer
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.store.registry import LEARNED, Registry, weights_of
from twofold.sufficiency import Calibration
from twofold.types import Adapter, Arm, Chunk, DevItem, Example, Filter, Hit, Json, Pair, Span

_VERSION = 1
"""Raised when rows, embedded texts or systems are made differently from the same parts."""


def quiet(_stage: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""


class Builder:
    """Makes the parts of one project; opens each once.

    Args:
        directory: The project's derived data (``.twofold``).
        config: The configuration in force.
        catalogue: The open catalogue.
    """

    def __init__(self, directory: Path, config: Config, *, catalogue: Catalogue) -> None:
        self.directory = directory
        self.config = config
        self.catalogue = catalogue
        self.artifacts = Artifacts(directory / "artifacts")
        self._asked: Generator | None = None

    # ------------------------------------------------------------ parts

    @cached_property
    def embedder(self) -> Embedder:
        """The configured embedder."""
        made: Embedder = plugins.make("embedders", self.config.retrieval.embedder.name, self.embedder_options())
        return made

    def embedder_options(self) -> Json:
        """The configured embedder's options; ``model = "artifact:KEY"`` names one that was tuned here.

        Raises:
            ConfigError: there is no such artifact.
        """
        given = self.config.retrieval.embedder.options
        tag, _, key = str(given.get("model", "")).partition(":")
        if tag != "artifact":
            return given
        path = Artifacts(self.artifacts.directory).find(key) if key.startswith("embedder:") else None
        if path is None:
            raise ConfigError(
                f"there is no tuned embedder {key!r}", cure="Run `twofold tune --what embedder`: it prints the name."
            )
        return {**given, "model": f"path:{path.resolve() / 'model'}"}

    @cached_property
    def chunker(self) -> Chunker:
        """The configured chunker, counting the embedder's tokens."""
        part = self.config.documents.chunker
        made: Chunker = plugins.make(
            "chunkers", part.name, part.options, offsets=self.embedder.offsets, embed=self.embedder.embed
        )
        rules = self.config.access.rules
        return access.RuledChunker(made, rules) if rules else made

    @cached_property
    def index(self) -> Index:
        """The living index.

        Raises:
            IndexMismatch: it was made by another embedder.
        """
        part = self.config.retrieval.index
        made: Index = plugins.make(
            "indexes",
            part.name,
            part.options,
            directory=self.directory / "index",
            fingerprint=self.embedder.fingerprint,
            dimension=self.embedder.dimension,
        )
        return made

    @cached_property
    def retriever(self) -> Retriever:
        """The configured pipeline over the living index."""
        made: Retriever = plugins.make("retrievers", "pipeline", self.config.retrieval.pipeline, parts=self.parts)
        return made

    @cached_property
    def parts(self) -> Parts:
        """What retrievers and their stages may use."""
        collections = {name: source.description for name, source in self.config.sources.items()}
        return Parts(
            embedder=self.embedder,
            index=self.index,
            generator=self._plain_generator,
            collections=collections,
            texts=self.catalogue.get_documents,
            tools=self.tools,
        )

    @cached_property
    def tools(self) -> dict[str, Tool]:
        """The live tools of ``[tools]``; none is asked yet."""
        return {
            name: plugins.make(
                "tools",
                tool.kind,
                tool.options,
                name=name,
                description=tool.description,
                readers=tool.readers,
                root=self.directory.parent,
                scratch=self.directory / "tools" / name,
            )
            for name, tool in self.config.tools.items()
        }

    @cached_property
    def filter(self) -> Filter:
        """What studies and tuning may see: everything, or under access control what the study's principal may read."""
        section = self.config.access
        if not section.enabled or not (section.study_user or section.study_groups):
            return Filter()
        return Filter(principal=access.principal(section.study_user, section.study_groups))

    def require_principal(self) -> None:
        """Refuse a study or tuning under access control as nobody.

        Raises:
            AccessDenied: access control is on, and [access] names no principal for them.
        """
        if self.config.access.enabled and self.filter.principal is None:
            raise AccessDenied("access control is on, and twofold.toml names nobody as whom studies and tuning run")

    def readable(self, examples: Sequence[Example]) -> tuple[Example, ...]:
        """The examples that tuning may learn from: made from documents that the study's principal may read."""
        if self.filter.principal is None:
            return tuple(examples)
        golds = self.gold(examples)
        return tuple(e for e, own in zip(examples, golds, strict=True) if access.readable(e, own, self.filter))

    def _plain_generator(self) -> Generator:
        if self._asked is None:
            self._asked = self.generator()
        return self._asked

    def generator(self, adapter: Adapter | None = None) -> Generator:
        """The configured generator, with an adapter or without; the caller closes it."""
        part = self.config.generation.generator
        made: Generator = plugins.make("generators", part.name, part.options, adapter=adapter)
        return made

    # ------------------------------------------------------------ corpus

    @property
    def chunk_recipe(self) -> Json:
        """What documents are cut with."""
        rules = [rule.model_dump(mode="json") for rule in self.config.access.rules]
        return {**self._spec("chunkers", self.config.documents.chunker), **({"rules": rules} if rules else {})}

    def clear_index(self) -> None:
        """Remove the index and what is known of the documents in it."""
        for name in ("index", "retriever", "parts"):
            self.__dict__.pop(name, None)
        self.catalogue.forget_sync()
        part = self.config.retrieval.index
        discard = getattr(plugins.find("indexes", part.name), "discard", None)
        if discard is not None:
            discard(plugins.options("indexes", part.name, part.options), dimension=self.embedder.dimension)
        shutil.rmtree(self.directory / "index", ignore_errors=True)

    def gold(self, examples: Sequence[Example]) -> list[list[Chunk]]:
        """Gold passages of each example, best evidence first; empty where the sources are unknown."""
        wanted = list(dict.fromkeys(source for example in examples for source in example.sources))
        by_document: dict[str, list[Chunk]] = {}
        for chunk in self.index.chunks_of(wanted) if wanted else []:
            by_document.setdefault(chunk.span.document, []).append(chunk)
        return [
            gold_chunks(example, [c for source in example.sources for c in by_document.get(source, ())])
            for example in examples
        ]

    # ------------------------------------------------------------ tuning

    def training_job(self, arm: Arm, splits: Splits) -> TrainerJob:
        """Rows and dev items of an arm, rendered exactly as its live requests are.

        Open-book rows follow RAFT (Zhang et al. 2024): the arm's own retriever's hits, shuffled, the gold passage put
        in where the retriever missed it, and for a share of rows taken out and answered by the abstention text; the
        passage used is cited. Each variant has its own order and its own share without gold. Examples with the same
        gold passage are shown the same passages, those found for one of them, so that the trainer reads them once.

        Raises:
            TooFewExamples: the train or dev split is empty.
            AccessDenied: access control is on, and nobody is named as whom to tune.
        """
        self.require_principal()
        splits = replace(splits, train=self.readable(splits.train), dev=self.readable(splits.dev))
        for name, part in (("train", splits.train), ("dev", splits.dev)):
            if not part:
                may = " that the study's principal may read" if self.filter.principal else ""
                raise TooFewExamples(f"tuning needs examples in the {name} split, and there is none{may}")
        trainer, open_book = self.config.tuning.trainer, arm.tuning == "open-book"
        trainer_options = plugins.options("trainers", trainer.name, trainer.options)
        rows = self._open_rows(splits.train) if open_book else (self._closed_rows(splits.train),)
        reader = self._system(arm, generator=None, shots=())
        hits = reader.hits(splits.dev)
        dev = tuple(
            DevItem(prompt=reader.prompt(example, found), example=example, hits=tuple(found or ()))
            for example, found in zip(splits.dev, hits, strict=True)
        )
        return TrainerJob(
            rows=rows,
            dev=dev,
            metric=self.config.study.metric,
            model=str(getattr(trainer_options, "model", "")) or self._model(),
            template=self.config.template,
            seed=self.config.tuning.seed,
        )

    def adapter_key(self, job: TrainerJob) -> str:
        """Name of the adapter this job makes."""
        part = self.config.tuning.trainer
        return digest("adapter", {"job": job, "trainer": self._spec("trainers", part), "model": self._weights(job)})

    def adapter(
        self, arm: Arm, splits: Splits, *, lineage: Json | None = None, progress: Progress = quiet
    ) -> tuple[Adapter, Json]:
        """The arm's adapter, trained now unless the store has it; and its training report (with ``cached``).

        Args:
            arm: Which; where ``[tuning].use`` names a model for it, that model.
            splits: What is learned from.
            lineage: What the manifest says of the model's origin.
            progress: Shows the training.
        """
        chosen = self.chosen(arm)
        if chosen:
            return self.load_adapter(chosen), {
                **self.artifacts.manifest(chosen)["report"],
                "key": chosen,
                "cached": True,
            }
        job = self.training_job(arm, splits)
        key = self.adapter_key(job)
        cached = self.artifacts.find(key) is not None
        if not cached:
            part = self.config.tuning.trainer
            trainer: Trainer = plugins.make("trainers", part.name, part.options)
            work = self.artifacts.working(key)
            report = trainer.train(job, work, progress=progress)
            learned = {
                name: sorted(map(example_digest, self.readable(part)))
                for name, part in (("train", splits.train), ("dev", splits.dev))
            }
            (work / LEARNED).write_text(json.dumps(learned), encoding="utf-8")
            manifest = {
                "kind": "adapter",
                "arm": arm.name,
                "tuning": arm.tuning,
                "template": job.template.digest,
                "model": job.model,
                "trainer": self._spec("trainers", part),
                "rows": len(job.rows[0]),
                "base": self._provenance(job),
                "seed": job.seed,
                "data": {
                    "rows": len(job.rows[0]),
                    **{name: {"examples": len(own), "digest": digest(name, own)} for name, own in learned.items()},
                    "job": digest("rows", job.rows),
                },
                "lineage": lineage or {},
                "documents": self._learned_from(arm, splits),
                "report": report,
            }
            self.artifacts.finish(key, manifest)
        adapter = self.load_adapter(key)
        return adapter, {**self.artifacts.manifest(key)["report"], "key": key, "cached": cached}

    @property
    def registry(self) -> Registry:
        """The project's tuned models by id and alias."""
        return Registry(self.artifacts, self.catalogue)

    def chosen(self, arm: Arm) -> str:
        """Key of the model that ``[tuning].use`` names, where it was tuned as the arm is; else empty.

        Raises:
            UnknownName: there is no such model.
            StoreError: its files are gone or damaged.
        """
        if not self.config.tuning.use:
            return ""
        record = self.registry.checked(self.config.tuning.use)
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

    def _learned_from(self, arm: Arm, splits: Splits) -> list[str]:
        """Documents that an adapter's rows and dev items were made from: named when one of them is forgotten."""
        examples = (*splits.train, *splits.dev)
        used = {source for example in examples for source in example.sources}
        if arm.retrieval:
            found = self.retriever.retrieve([query(e, self.filter) for e in examples], self.config.retrieval.k + 3)
            used |= {hit.chunk.span.document for one in found for hit in one.hits}
        return sorted(used)

    def _closed_rows(self, train: Sequence[Example]) -> tuple[Pair, ...]:
        template = self.config.template
        return tuple(
            prompts.pair(
                prompts.render(example.messages, template=template, choices=example.choices),
                example.references[0] if example.references else template.abstention,
                example,
            )
            for example in train
        )

    def _open_rows(self, train: Sequence[Example]) -> tuple[tuple[Pair, ...], ...]:
        tuning, template, k = self.config.tuning, self.config.template, self.config.retrieval.k
        found = [r.hits for r in self.retriever.retrieve([query(example, self.filter) for example in train], k + 3)]
        golds = self.gold(train)
        together: dict[str, list[int]] = {}
        for number, gold in enumerate(golds):
            together.setdefault(gold[0].id if gold else f"alone {number}", []).append(number)
        variants = []
        for variant in range(tuning.variants):
            chance = random.Random(f"{tuning.seed}/{variant}")
            rows = []
            for members in together.values():
                lender = members[variant % len(members)]
                shown, cited = _raft(found[lender], golds[lender], k=k, without=tuning.unanswerable, chance=chance)
                for example in (train[number] for number in members):
                    told = example.answerable and (cited is not None or not example.sources)
                    text = example.references[0] if told and example.references else template.abstention
                    prompt = prompts.render(example.messages, template=template, hits=shown, choices=example.choices)
                    wanted = prompts.completion_text(text, template=template, number=cited if told else None)
                    rows.append(prompts.pair(prompt, wanted, example))
                rows += self._cloze_rows(shown, chance)
            variants.append(tuple(rows))
        return tuple(variants)

    def _cloze_rows(self, shown: Sequence[Hit], chance: random.Random) -> list[Pair]:
        template, rows = self.config.template, []
        for _ in range(self.config.tuning.cloze if shown else 0):
            number = chance.randrange(len(shown)) + 1
            made = cloze(shown[number - 1].chunk.text, chance)
            if made is not None:
                asked = question(made[0])
                prompt = prompts.render(asked.messages, template=template, hits=shown)
                wanted = prompts.completion_text(made[1], template=template, number=number)
                rows.append(prompts.pair(prompt, wanted, asked))
        return rows

    # ------------------------------------------------------------ systems

    def system(self, arm: Arm, splits: Splits, *, progress: Progress = quiet) -> tuple[System, Json | None]:
        """An arm made ready, training its adapter if need be; and the training report."""
        adapter, report = self.adapter(arm, splits, progress=progress) if arm.tuning else (None, None)
        return self.equipped(arm, splits, adapter=adapter), report

    def equipped(self, arm: Arm, splits: Splits, *, adapter: Adapter | None) -> System:
        """An arm made ready with this adapter."""
        generator = self.generator(adapter)
        calibration = self.calibration(splits)[0] if arm.retrieval else None
        return self._system(arm, generator=generator, shots=self.shots(arm, splits), calibration=calibration)

    def calibration(self, splits: Splits) -> tuple[Calibration | None, str]:
        """When to abstain for want of evidence, calibrated on the dev split unless the store has it; or None, and why.

        Off where [retrieval].risk is 0, and where dev has too few unanswerable questions.
        """
        risk = self.config.retrieval.risk
        if not risk:
            return None, ""
        dev = self.readable(splits.dev)
        made_of = {
            "retrieval": self.retrieval_spec(),
            "dev": [example_digest(example) for example in dev],
            "risk": risk,
            "principal": self.filter.principal,
            "version": sufficiency.VERSION,
        }
        key = digest("sufficiency", made_of)
        path = self.artifacts.find(key)
        if path is None:
            asked = [query(example, self.filter) for example in dev]
            found = self.retriever.retrieve(asked, self.config.retrieval.k) if asked else []
            try:
                made = sufficiency.calibrate(asked, found, dev, risk=risk)
            except TooFewExamples as error:
                return None, error.message
            held = self.artifacts.working(key) / "calibration.json"
            held.write_text(json.dumps(plain(made)), encoding="utf-8")
            path = self.artifacts.finish(key, {"kind": "sufficiency", "risk": risk, "n": made.n})
        values = json.loads((path / "calibration.json").read_text(encoding="utf-8"))
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return Calibration(**{**values, "key": key}), ""

    def known_system_key(self, arm: Arm, splits: Splits) -> str | None:
        """The key the arm's system has or will have, without training; None if its adapter is not made yet."""
        adapter = None
        if arm.tuning:
            key = self.chosen(arm) or self.adapter_key(self.training_job(arm, splits))
            if self.artifacts.find(key) is None:
                return None
            adapter = self.load_adapter(key)
        system = self.equipped(arm, splits, adapter=adapter)
        system.close()
        return system.key

    def shots(self, arm: Arm, splits: Splits) -> tuple[Example, ...]:
        """Few-shot examples: short ones from train, drawn by seed, no two from one group while groups last."""
        if not arm.shots:
            return ()
        pool = sorted(splits.train, key=lambda e: (len(e.question), e.id))[: max(arm.shots, len(splits.train) // 2)]
        random.Random(self.config.study.seed).shuffle(pool)
        order = {example.id: number for number, example in enumerate(pool)}
        earlier = {e.id: sum(1 for o in pool[: order[e.id]] if o.group == e.group) for e in pool}
        return tuple(sorted(pool, key=lambda e: earlier[e.id])[: arm.shots])

    def _system(
        self,
        arm: Arm,
        *,
        generator: Generator | None,
        shots: tuple[Example, ...],
        calibration: Calibration | None = None,
    ) -> System:
        retrieval = self.config.retrieval
        parts: Json = {
            "arm": arm.name,
            "generator": generator.description if generator else {},
            "template": self.config.template.digest,
            "max_tokens": self.config.generation.max_tokens,
            "shots": [example_digest(shot) for shot in shots],
        }
        if self.config.access.enabled:
            parts["principal"] = list(self.filter.principal or ())
        if arm.retrieval:
            parts["retrieval"] = {**self.retrieval_spec(), "oracle": arm.oracle}
            if calibration is not None:
                parts["retrieval"]["abstention"] = calibration.key
        made_of = {**parts, "generator": generator.key if generator else "", "arm": "", "version": _VERSION}
        if arm.retrieval:
            parts["retrieval"] = {**parts["retrieval"], "index_version": self.index.state().version}
        return System(
            arm=arm,
            key=digest("system", made_of),
            description=parts,
            generator=generator,  # type: ignore[arg-type]
            template=self.config.template,
            max_tokens=self.config.generation.max_tokens,
            retriever=self.retriever if arm.retrieval else None,
            k=retrieval.k,
            gold=self.gold if arm.oracle else None,
            shots=shots,
            filter=self.filter,
            guarded=self.config.access.enabled,
            sources=self.gold,
            calibration=calibration,
        )

    def retrieval_spec(self) -> Json:
        """Everything that decides what is found: stages, index, embedder, content and k."""
        retrieval = self.config.retrieval
        return {
            "rewriters": [self._spec("rewriters", part) for part in retrieval.rewriters],
            "retriever": self._spec("retrievers", retrieval.retriever),
            "rerankers": [self._spec("rerankers", part) for part in retrieval.rerankers],
            **({"depth": retrieval.depth} if retrieval.rerankers else {}),
            "budget": retrieval.budget,
            "pipeline": plugins.find("retrievers", "pipeline").version,
            **({"tools": self._tool_specs()} if self.config.tools else {}),
            "index": self._spec("indexes", retrieval.index),
            "embedder": self.embedder.fingerprint,
            "content": self.index.state().content,
            "k": retrieval.k,
        }

    def _tool_specs(self) -> Json:
        return {
            name: {
                **self._spec("tools", Part(name=tool.kind, options=tool.options)),
                "description": tool.description,
                "readers": tool.readers,
            }
            for name, tool in self.config.tools.items()
        }

    def _spec(self, kind: plugins.Kind, part: Part) -> Json:
        return {
            "name": part.name,
            "version": plugins.find(kind, part.name).version,
            "options": plugins.options(kind, part.name, part.options).model_dump(mode="json"),
        }

    def _model(self) -> str:
        part = self.config.generation.generator
        return str(getattr(plugins.options("generators", part.name, part.options), "model", ""))

    def _weights(self, job: TrainerJob) -> str:
        return str(self._provenance(job).get("weights", ""))

    def _provenance(self, job: TrainerJob) -> Json:
        """Where the base weights come from; a trainer whose base is elsewhere tells it by ``provenance(model)``."""
        from twofold.store import models

        part = self.config.tuning.trainer
        trainer = plugins.make("trainers", part.name, part.options)
        told = getattr(trainer, "provenance", models.provenance)
        return dict(told(job.model)) if job.model else {}


def _raft(
    hits: Sequence[Hit], gold: Sequence[Chunk], *, k: int, without: float, chance: random.Random
) -> tuple[list[Hit], int | None]:
    """Passages of one open-book row, shuffled, and the number of the gold one (None when it is left out).

    An example whose sources are unknown keeps its hits as they are, and cites nothing.
    """
    if not gold:
        return list(hits[:k]), None
    bad, first = {chunk.span.document for chunk in gold}, gold[0].span
    distractors = [hit for hit in hits if hit.chunk.span.document not in bad]
    if chance.random() < without:
        shown = distractors[:k]
        chance.shuffle(shown)
        return shown, None
    holding = (hit for hit in hits[:k] if _within(first, hit.chunk.span))  # a stage may show more than the chunk
    best = next(holding, None) or as_hits(gold[:1])[0]
    shown = [best, *[hit for hit in hits[:k] if hit.chunk.id != best.chunk.id]][:k]
    chance.shuffle(shown)
    return shown, shown.index(best) + 1


def _within(inner: Span, outer: Span) -> bool:
    return inner.document == outer.document and outer.start <= inner.start and inner.end <= outer.end
