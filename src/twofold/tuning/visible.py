"""The training material: the examples of train and dev, and the documents that training may see.

A verdict for new documents needs an adapter, a calibration and an embedder that have read nothing of the documents that
only test questions are about. Those documents are kept out of every search that learning makes, in the index's own
query, so that a training row still shows as many passages as a live request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.answering import access, sufficiency
from twofold.answering.system import Renderer, query
from twofold.examples.grouping import documents_of
from twofold.forgetting.suite import general_rows, known_facts
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.traits import TrainerSettings
from twofold.store.model_record import Seen
from twofold.tuning.training_data import closed_rows, open_rows, preferred_rows
from twofold.types import Arm, Chunk, DevItem, Example, Filter, Json, Pair, Retrieval

if TYPE_CHECKING:
    from twofold.answering.sufficiency import Calibration, Case
    from twofold.config import Config
    from twofold.examples.splitting import Splits
    from twofold.plugins.protocols import Retriever
    from twofold.settings.sections import Part

Rows = tuple[tuple[Pair, ...], ...]
_SPARE = 3
"""Passages that a row's search finds beyond those it shows, to stand in for gold ones that are taken out."""
_PREFERENCES = "preferences.jsonl"


@dataclass(frozen=True, kw_only=True)
class Learning:
    """One project's examples and documents, as whatever is learned may see them."""

    splits: Splits
    """Train and dev as the study's principal may read them."""
    filter: Filter
    """Of every search: without the documents that only test questions are about."""
    everything: bool
    """Nothing is kept out: no study may use what is learned."""
    config: Config
    """The configuration in force."""
    root: Path
    """The project's directory."""
    retriever: Callable[[], Retriever]
    """The configured pipeline; as a project uses it, it searches for a question once (`gathered.Gathered`)."""
    gold: Callable[[Sequence[Example]], list[list[Chunk]]]
    """Gold passages of each example, best evidence first."""

    def retrieved(self, examples: Sequence[Example], k: int) -> list[Retrieval]:
        """The `k` best passages for each example, of documents that may be seen.

        Raises:
            AccessDenied: the retriever returned a passage of another document.
        """
        if not examples:
            return []
        retriever = self.retriever()
        # In the query itself, not sorted out afterwards: a row then shows as many passages as a live request.
        retrievals = retriever.retrieve([query(example, self.filter) for example in examples], k)
        # Checked after the search too: a plugin that ignores the filter must not teach what is hidden.
        hits = chain.from_iterable(retrieval.hits for retrieval in retrievals)
        access.checked([hit.chunk for hit in hits], self.filter, type(retriever).__name__)
        return retrievals

    def rows(self, arm: Arm, *, preference: bool) -> Rows:
        """The training rows of an arm, every variant (see `rows`).

        Args:
            arm: What is tuned for.
            preference: The trainer learns from better and worse answers.
        """
        config = self.config
        train = self.splits.train
        if preference:
            file = self.root / _PREFERENCES
            near = config.examples.near == "drop"
            return (preferred_rows(file, self.splits, config.template, without=self.filter.without, near=near),)
        if arm.tuning != "open-book":
            return (closed_rows(train, config.template),)
        hits = [one.hits for one in self._of_train()]
        k = config.retrieval.k
        gold = self.gold(self.splits.judged(train))  # a copy of the gold passage is no distractor
        return open_rows(train, hits, gold, template=config.template, tuning=config.tuning, k=k)

    def _of_train(self) -> list[Retrieval]:
        """Passages found for the train questions, some more than an answer shows."""
        return self.retrieved(self.splits.train, self.config.retrieval.k + _SPARE)

    def _of_dev(self) -> list[Retrieval]:
        """Passages found for the dev questions, exactly as for a live request."""
        return self.retrieved(self.splits.dev, self.config.retrieval.k)

    def job(self, arm: Arm, method: Part, renderer: Renderer) -> TrainerJob:
        """Rows and dev items of an arm, rendered exactly as its live requests are (see `rows`).

        Args:
            arm: What is tuned for.
            method: The trainer.
            renderer: Makes the arm's prompts, of documents that may be seen.

        Raises:
            TooFewExamples: the train or dev split is empty.
        """
        config, splits = self.config, self.splits
        for name, examples in (("train", splits.train), ("dev", splits.dev)):
            if not examples:
                may = " that the study's principal may read" if self.filter.principal else ""
                raise splits.lack(name, f"tuning needs examples{may}")
        gated = config.tuning.gate != "off"
        rows = self.rows(arm, preference=self._prefers(method))
        dev: list[DevItem] = []
        for example, hits in zip(splits.dev, renderer.hits(splits.dev), strict=True):
            dev.append(DevItem(prompt=renderer.prompt(example, hits), example=example, hits=tuple(hits or ())))
        return TrainerJob(
            rows=rows,
            dev=tuple(dev),
            metric=specs.decider(config.study, pooled=True).name,
            metric_options=config.study.decides.options,
            model=specs.base_model(config, method),
            template=config.template,
            seed=config.tuning.seed,
            without=tuple(sorted(self.filter.without)),
            general=general_rows() if gated else (),
            facts=known_facts() if gated else (),
        )

    def job_decided_by(self, arm: Arm, method: Part) -> Json:
        """The inputs of `job` but for the search: known without searching for anything."""
        config, splits = self.config, self.splits
        prefers = self._prefers(method)
        sides = {"train": splits.train, "dev": splits.dev}
        # Preferences that give a test question away are left out, so the test decides which rows there are.
        sides |= {"test": splits.test, "reserve": splits.reserve} if prefers else {}
        file = self.root / _PREFERENCES
        examples = {}
        for name, side in sides.items():
            examples[name] = [[e.id, e.group, known] for e, known in zip(side, side.digests, strict=True)]
        return {
            # An arm under another name is trained alike; spelled out, so that a new field of `Arm` changes no old key.
            # Which model it is of, its base below says.
            "arm": {
                "name": "",
                "retrieval": arm.retrieval,
                "tuning": arm.tuning,
                "shots": arm.shots,
                "oracle": arm.oracle,
            },
            "examples": examples,
            "preferences": digest("preferences", file.read_bytes().hex()) if prefers and file.is_file() else "",
            "near": config.examples.near,
            "without": sorted(self.filter.without),
            "principal": self.filter.principal,
            "template": config.template.digest,
            "max_tokens": config.generation.max_tokens,
            "tuning": config.tuning.model_dump(mode="json", exclude={"use"}),
            "metric": [specs.decider(config.study, pooled=True).name, config.study.decides.options],
            "model": specs.base_model(config, method),
        }

    @staticmethod
    def _prefers(method: Part) -> bool:
        """Does the trainer learn from better and worse answers?"""
        options = loading.options("trainers", method.name, method.options)
        return TrainerSettings.of(options).objective == "preference"

    def calibrated(self) -> Calibration:
        """When to abstain for want of evidence: weights from train, the threshold from dev (`sufficiency.calibrate`).

        Raises:
            TooFewExamples: there are too few unanswerable questions.
        """
        config = self.config
        k = self.config.retrieval.k
        sufficiency.require_unanswerable(self.splits.train, self.splits.dev)  # before anything is searched for
        train = [replace(one, hits=one.hits[:k]) for one in self._of_train()]
        return sufficiency.calibrate(
            self._cases(self.splits.dev, self._of_dev()),
            train=self._cases(self.splits.train, train),
            risk=config.retrieval.risk,
            level=config.study.level,
        )

    def _cases(self, examples: Sequence[Example], retrievals: Sequence[Retrieval]) -> list[Case]:
        judged = self.splits.judged(examples)
        return [(query(example, self.filter), one, example) for example, one in zip(judged, retrievals, strict=True)]

    def calibrated_by(self) -> Json:
        """The inputs of `calibrated` but for the search."""
        return {
            "train": list(self.splits.train.digests),
            "dev": list(self.splits.dev.digests),
            "without": sorted(self.filter.without),
            "risk": self.config.retrieval.risk,
            "level": self.config.study.level,
            "principal": self.filter.principal,
        }

    def documents(self, arm: Arm) -> list[str]:
        """Documents that an arm's rows and dev items are made from: named when one of them is forgotten."""
        examples = (*self.splits.train, *self.splits.dev)
        used = set(chain.from_iterable(example.sources for example in examples))
        if arm.retrieval or self.config.tuning.answers == "retrieval":
            retrievals = (*self._of_train(), *self._of_dev())
            hits = chain.from_iterable(retrieval.hits for retrieval in retrievals)
            used |= {hit.chunk.span.document for hit in hits}
        return sorted(used)

    def learned(self) -> dict[str, list[str]]:
        """Digests of the examples of ``train`` and ``dev``, sorted."""
        sides = {"train": self.splits.train, "dev": self.splits.dev}
        return {name: sorted(side.digests) for name, side in sides.items()}

    def manifest(self, arm: Arm, job: TrainerJob, learned: Mapping[str, Sequence[str]], *, written: Json) -> Json:
        """The part of a manifest that says what the weights learned from.

        Args:
            arm: What was tuned for.
            job: What was trained.
            learned: What `learned` gives.
            written: Counts of what models wrote for the training (`distillation`).
        """
        rows = len(job.rows[0])
        return {
            "arm": arm.name,
            "tuning": arm.tuning,
            "template": job.template.digest,
            "model": job.model,
            "rows": rows,
            "seed": job.seed,
            "data": {
                "rows": rows,
                **{name: {"examples": len(own), "digest": digest(name, own)} for name, own in learned.items()},
                "job": digest("rows", job.rows),
                "replay": len(job.replay),
                **written,
            },
            "documents": self.documents(arm),
            "seen": self.seen(),
        }

    def seen(self) -> Seen:
        """The documents that learning saw, for manifests and cards."""
        evaluation = (*self.splits.test, *self.splits.reserve)
        return {
            "everything": self.everything,
            "kept_out": len(self.filter.without),
            "unnamed": sum(1 for example in evaluation if example.answerable and not documents_of(example)),
        }
