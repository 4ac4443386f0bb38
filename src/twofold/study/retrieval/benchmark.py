"""Measure pipelines of retrieval on labelled questions: how well they rank, and what a query costs.

A pipeline is a configuration; several are measured on the same questions, so that their differences are paired. The
scorers are tested first (`scorer_check`): a gold ranking must score 1, rankings dealt to other questions about chance.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from twofold.answering.system import query
from twofold.assembly.searching import Search
from twofold.assembly.spread_search import SpreadRetriever
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import StudyError, TooFewExamples
from twofold.examples.questions import Questions
from twofold.examples.retrieval_questions import WARNING as SYNTHETIC_WARNING
from twofold.examples.retrieval_questions import self_questions
from twofold.examples.splitting import Splits
from twofold.execution.on_demand import OnDemand
from twofold.hashing import digest, plain
from twofold.host import timing
from twofold.indexing.embedded_text import embedded_text
from twofold.indexing.sync import BATCH_CHUNKS
from twofold.indexing.work import EmbeddingWork, embedded
from twofold.plugins import loading
from twofold.plugins.protocols import Metric, Progress, quiet
from twofold.stats import intervals
from twofold.store.model_registry import now
from twofold.study import looks
from twofold.study.admission import require_sound
from twofold.study.compose import numbers
from twofold.study.scorer_check import self_test
from twofold.types import Answer, Chunk, Example, Hit, Json, Query

Unit = Literal["document", "passage"]
METRICS = ("ndcg", "recall", "mrr")
"""The first decides."""
RANKS = 10
"""Ranks that count."""
_SYNTHETIC = 200
"""Questions made from the documents where none is labelled."""
_BATCH = 64
"""Questions searched together."""
_PER_DOCUMENT = 3
"""Hits fetched per rank when several may come from one document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a retrieval measurement."""

    unit: Unit = "document"
    """Unit that is ranked (see `metrics.ranking`)."""
    latency: int = 40
    """Questions asked one at a time for milliseconds; 0 to skip."""
    level: float = 0.95
    """Of the intervals."""
    resamples: int = 5000
    """Of the bootstrap."""
    seed: int = 0
    """Of bootstrap and latency sample."""

    @property
    def hits(self) -> int:
        """Hits fetched for a question."""
        return RANKS * _PER_DOCUMENT if self.unit == "document" else RANKS


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPipeline:
    """The measurement of one retrieval pipeline."""

    scores: dict[str, list[float | None]]
    """Per metric, one score a question."""
    ms: Json | None
    """``{"p50", "p95", "n"}``: milliseconds of one query at a time."""
    tokens: float
    """Mean tokens spent by models within retrieval, a query."""
    seconds: float
    """All questions, in batches."""


class PipelineComparison(TypedDict):
    """Pipelines measured on the same questions."""

    unit: str
    """``document`` or ``passage``."""
    questions: int
    groups: int
    """Groups that the questions are of."""
    synthetic: float
    """Share of the questions that were made from the documents."""
    level: float
    """Of the intervals."""
    self_test: list[Json]
    """A row for each metric: what a gold ranking scores."""
    pipelines: dict[str, Json]
    """Name → ``metrics``, ``ms``, ``tokens`` and ``seconds``."""
    differences: list[Json]
    """Name, metric, estimate of each pipeline less the first; the intervals of one metric hold together."""


def opened(search: Search, configs: Mapping[str, Config], *, progress: Progress = quiet) -> dict[str, Search]:
    """A search for each configuration, its index holding what the project's index holds.

    One that cuts and embeds documents as the project does reads the project's index; any other gets an index of its own
    beside it (``bench/``), kept for the next time and made again when the documents change.
    """
    base_recipe = _recipe(search)
    searches = {}
    for name, config in configs.items():
        shared: Json = {"catalogue": search.catalogue, "artifacts": search.artifacts}
        opened_search = Workspace.open(search.directory, config, **shared).search
        if (recipe := _recipe(opened_search)) != base_recipe:
            opened_search = Workspace.open(
                _aside(search, recipe), config, embedder=opened_search.embedder, **shared
            ).search

            # The name of now: a closure would see the loop's last one.
            def step(stage: str, done: int, total: int, name: str = name) -> None:
                progress(f"{name}: {stage}", done, total)

            _fill(search, opened_search, progress=step)
        searches[name] = opened_search
    return searches


def _recipe(search: Search) -> str:
    made_of = [search.chunk_recipe, search.config.retrieval.index, search.embedder.fingerprint]
    return digest("index", made_of).partition(":")[2][:12]


def _aside(base: Search, recipe: str) -> Path:
    """The directory of an index made by another recipe; indexes of earlier documents are removed."""
    root = base.directory / "bench"
    content = base.index.state().content.partition(":")[2][:12]
    for old in root.glob(f"{recipe}-*"):
        if old.name != f"{recipe}-{content}":
            shutil.rmtree(old)
    return root / f"{recipe}-{content}"


def _fill(base: Search, search: Search, *, progress: Progress) -> None:
    """Cut and embed the project's documents; what an interrupted run has left is kept."""
    search.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = base.index.documents()
    indexed = search.index.documents()
    missing = [document for document in base.catalogue.documents.get(list(known)) if document.id not in indexed]
    batch: list[Chunk] = []
    where = OnDemand(search.config.scale)
    work = EmbeddingWork(
        config=search.config,
        embedder_options=search.embedder_options(),
        fingerprint=search.embedder.fingerprint,
        here=search.embedder,
    )
    for done, document in enumerate(missing, 1):
        batch += search.chunker.split(document)
        if len(batch) >= BATCH_CHUNKS or (done == len(missing) and batch):
            where.call()
            search.index.upsert(batch, embedded(where, work, [embedded_text(chunk) for chunk in batch]))
            batch = []
            progress("embed", done, len(missing))


def rules_of(config: Config, unit: Unit = "document") -> Rules:
    """The rules of measurement that [study] configures."""
    section = config.study
    return Rules(unit=unit, level=section.level, resamples=section.resamples, seed=section.seed)


def labelled(examples: Sequence[Example]) -> list[Example]:
    """The examples that tell which documents hold the answer."""
    return [e for e in examples if e.answerable and (e.sources or e.grades)]


def learned_train(configs: Iterable[Config]) -> bool:
    """Was the embedder of any of these configurations tuned here, that is, on questions of the train split?"""
    models = (str(one.retrieval.embedder.options.get("model", "")) for one in configs)
    return any(model.startswith("artifact:") for model in models)


def paid(
    search: Search,
    records: Path,
    configs: Iterable[Config],
    *,
    examples: Sequence[Example],
    split: str,
) -> list[str]:
    """Note these pipelines in the ledger of looks; returns, in words, the price that the next study pays.

    Nothing but questions of the test split costs anything.
    """
    if split != "test":
        return []
    pipelines = [digest("pipeline", {"chunker": one.documents.chunker, "retrieval": one.retrieval}) for one in configs]
    level = search.config.study.level
    return [looks.search(records, search.catalogue, pipelines, examples=examples, at=now(), level=level)]


LEARNED = "an embedder was tuned on the train split's questions"
"""Why these are not asked to measure it."""


def chosen(splits: Splits, split: str) -> list[Example]:
    """Labelled questions of a split; ``open`` is train and dev together: everything but test and reserve.

    Raises:
        StudyError: it is the reserve.
        TooFewExamples: there are none, or none of them has sources.
    """
    if split == "reserve":
        raise StudyError(
            "the reserve is sealed; only `twofold study --final` opens it, once",
            cure="Omit --split, or name test, which counts as a look at the test questions.",
        )
    sides = {"train": splits.train, "dev": splits.dev, "test": splits.test}
    pool: Sequence[Example] = (*splits.train, *splits.dev) if split == "open" else sides[split]
    if not pool:
        raise TooFewExamples(
            f"the split {split!r}{' (train and dev)' if split == 'open' else ''} has no question",
            cure="Add examples, or use --synthetic for questions made from the documents.",
        )
    sourced = labelled(splits.judged(pool))
    if not sourced:
        raise TooFewExamples(
            f"no question of the split {split!r} names the documents that contain its answer",
            cure="Give examples doc_ids or spans, or use --synthetic for questions made from the documents.",
        )
    return sourced


def questions(
    search: Search,
    examples: Callable[[], Sequence[Example]],
    splits: Callable[[], Splits],
    *,
    split: str,
    synthetic: int = 0,
) -> tuple[list[Example], str, list[str]]:
    """Questions to measure retrieval with, whose they are, and what to beware of.

    Args:
        search: Of the project, synced.
        examples: Reads all examples.
        splits: Divides them.
        split: See `chosen`.
        synthetic: Ask so many questions made from the documents; 0: only where no example is labelled.
    """
    if not synthetic:
        try:
            known = bool(labelled(examples()))
        except TooFewExamples:
            known = False
        if known:
            return chosen(splits(), split), split, []
    self_made = self_questions(search.catalogue.documents.get(), synthetic or _SYNTHETIC, seed=search.config.study.seed)
    why = [] if synthetic else ["no example says which documents hold its answer"]
    return self_made, "synthetic", [*why, SYNTHETIC_WARNING]


def scorers(unit: Unit) -> dict[str, Metric]:
    """The ranking metrics by name."""
    return {name: loading.make("metrics", name, {"k": RANKS, "unit": unit}) for name in METRICS}


def measure(
    search: Search, examples: Sequence[Example], rules: Rules, *, progress: Progress = quiet
) -> MeasuredPipeline:
    """Run one pipeline over the questions, in batches for the ranking and one at a time for the milliseconds."""
    retriever = search.retriever
    # As many together as keep every worker busy, where there are some.
    size = _BATCH * (retriever.executor.workers if isinstance(retriever, SpreadRetriever) else 1)
    queries = [query(example, search.filter) for example in examples]
    hit_lists: list[tuple[Hit, ...]] = []
    spent = 0
    started = time.perf_counter()
    for begin in range(0, len(queries), size):
        for retrieval in retriever.retrieve(queries[begin : begin + size], rules.hits):
            hit_lists.append(retrieval.hits)
            spent += retrieval.usage.prompt_tokens + retrieval.usage.completion_tokens
        progress("retrieve", len(hit_lists), len(queries))
    seconds = time.perf_counter() - started
    metrics = scorers(rules.unit)
    answers = [Answer(text="", hits=hits) for hits in hit_lists]
    scores = {}
    for name, metric in metrics.items():
        scores[name] = [metric.score(e, answer) for e, answer in zip(examples, answers, strict=True)]
    chance = random.Random(rules.seed)
    sample = chance.sample(list(enumerate(queries)), min(rules.latency, len(queries)))
    ms = None
    if sample:
        # Timed with as many passages as an answer reads, not with the ranks that are scored.
        k = search.config.retrieval.k
        clock = timing.Clock[tuple[int, Query]](
            lambda pair: bool(retriever.retrieve([pair[1]], k)), name=lambda pair: str(pair[0])
        )
        # A question that is not timed: the first one pays for what is loaded.
        clock.open(next((pair for pair in enumerate(queries) if pair not in sample), sample[0]))
        timing.in_turns([clock], sample, chance=chance)
        # A search that fails raises, so every question has its seconds.
        each = list(clock.seconds().values())
        ms = {"p50": 1000 * timing.quantile(each, 0.5), "p95": 1000 * timing.quantile(each, 0.95), "n": len(each)}
    return MeasuredPipeline(scores=scores, ms=ms, tokens=spent / max(1, len(queries)), seconds=seconds)


def measure_cached(
    search: Search, examples: Sequence[Example], rules: Rules, *, progress: Progress
) -> MeasuredPipeline:
    """`measure`, unless the same pipeline was measured on the same questions before."""
    key = pipeline_key(search, examples, rules)
    cached = search.catalogue.measures.get(key, "retrieval")
    if cached is not None:
        return MeasuredPipeline(**cached)
    fresh = measure(search, examples, rules, progress=progress)
    search.catalogue.measures.put(key, "retrieval", plain(fresh))
    return fresh


def pipeline_key(search: Search, examples: Sequence[Example], rules: Rules) -> str:
    """Name of a measurement: pipeline, index content, questions and rules."""
    metrics = {name: metric.version for name, metric in scorers(rules.unit).items()}
    return digest(
        "retrieval",
        {
            "pipeline": search.spec(),
            "examples": list(Questions.of(examples).digests),
            # Level and resamples decide the intervals, not the ranking: both are left out of the key.
            "rules": replace(rules, level=0.95, resamples=0),
            "metrics": metrics,
            "ranks": RANKS,
        },
    )


def compare(
    pipelines: Mapping[str, Search], examples: Sequence[Example], rules: Rules, *, progress: Progress = quiet
) -> PipelineComparison:
    """Measure every pipeline and its paired difference to the first.

    Raises:
        ScorerBroken: a gold ranking does not score 1.
        TooFewExamples: there is no question.
        UnknownDocument, BadRecord: a question is wrong about the documents; see `admission.require_sound`.
    """
    if not examples:
        raise TooFewExamples("there is no question to measure retrieval on")
    require_sound(next(iter(pipelines.values())), examples)
    tests = [{"metric": name, **self_test(metric, examples, name=name)} for name, metric in scorers(rules.unit).items()]
    measured = {}
    for name, search in pipelines.items():
        # The name of now, as above.
        def step(stage: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {stage}", done, total)

        measured[name] = measure_cached(search, examples, rules, progress=step)
    rows = {}
    for name, result in measured.items():
        rows[name] = {
            "metrics": {titled(m): plain(_mean(result.scores[m], examples, rules)) for m in METRICS},
            "ms": result.ms,
            "tokens": result.tokens,
            "seconds": result.seconds,
        }
    return {
        "unit": rules.unit,
        "questions": len(examples),
        "groups": len({example.group for example in examples}),
        "synthetic": sum(example.origin == "synthetic" for example in examples) / len(examples),
        "level": rules.level,
        "self_test": tests,
        "pipelines": rows,
        "differences": list(
            chain.from_iterable(differences(measured, examples, rules, metric=metric) for metric in METRICS)
        ),
    }


def titled(metric: str) -> str:
    """The metric as people write it."""
    return {"ndcg": f"nDCG@{RANKS}", "recall": f"recall@{RANKS}", "mrr": f"MRR@{RANKS}"}[metric]


def differences(
    measured: Mapping[str, MeasuredPipeline], examples: Sequence[Example], rules: Rules, *, metric: str
) -> list[Json]:
    """Paired differences of every pipeline to the first, with simultaneous intervals."""
    names = list(measured)
    if len(names) < 2:
        return []
    matrix = np.column_stack([numbers(measured[name].scores[metric]) for name in names])
    weights: dict[str, Any] = {}
    for place, name in enumerate(names[1:], 1):
        weight = np.zeros(len(names))
        # shape (pipelines,): this pipeline minus the first.
        weight[place], weight[0] = 1.0, -1.0
        weights[name] = weight
    effects = intervals.contrasts(
        matrix, Questions.of(examples).groups, weights, level=rules.level, resamples=rules.resamples, seed=rules.seed
    )
    rows: list[Json] = []
    for pipeline, interval in effects.items():
        rows.append(
            {
                "pipeline": pipeline,
                "against": names[0],
                "metric": titled(metric),
                "estimate": plain(interval.estimate()),
            }
        )
    return rows


def _mean(scores: Sequence[float | None], examples: Sequence[Example], rules: Rules) -> Any:
    return intervals.estimate(numbers(scores), Questions.of(examples).groups, level=rules.level)
