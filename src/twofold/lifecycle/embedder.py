"""Tuning the embedder on the project's own questions: what to learn from, and what it will cost to embed again."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace

from twofold.answering.system import query
from twofold.assembly.searching import Search
from twofold.config import Config
from twofold.errors import ConfigError, TooFewExamples
from twofold.examples.splitting import Splits
from twofold.hashing import digest
from twofold.indexing.embedded_text import embedded_text
from twofold.lifecycle.record import EmbedderPlan, Reembedding, TunedEmbedder
from twofold.plugins import loading, protocols
from twofold.plugins.jobs import EmbedderJob, SearchPair
from twofold.plugins.protocols import Progress, quiet
from twofold.plugins.traits import EmbedderSettings, TrainerSettings
from twofold.study.retrieval.benchmark import labelled
from twofold.tuning.visible import Learning
from twofold.types import Chunk, Example, Json

MODEL = "model"
"""Folder of the tuned model within its artifact."""
_SEEN = 30
"""Hits among which hard negatives are looked for."""
_PASSAGES = 3
"""Right passages of a question that are learnt, at most."""
_TOO_NEAR = 0.95
"""A wrong passage this near to the question, compared with the right one, may well be right: it is no negative
(de Souza P. Moreira et al. 2024, positive-aware mining)."""
_SAMPLE = 48
"""Chunks embedded to tell the price of embedding all."""


def embedder_job(search: Search, splits: Splits) -> EmbedderJob:
    """Question-passage pairs of the train split with mined hard negatives, and the dev split's search.

    Raises:
        TooFewExamples: train or dev holds no question that says where its answer stands.
        ConfigError: the configured embedder has no model that could be tuned.
    """
    search.require_principal()
    # searched directly: what is found here for its negatives, 30 passages a question, is wanted no second time
    learning = replace(search.learning(splits), retriever=lambda: search.retriever)
    train, dev = labelled(learning.splits.train), labelled(learning.splits.dev)
    for name, part in (("train", train), ("dev", dev)):
        if not part:
            raise TooFewExamples(
                f"tuning the embedder needs questions with doc_ids or spans in the {name} split, and there is none"
            )
    # How many negatives and how large a pool, as the trainer's options say.
    settings = TrainerSettings.of(_options(search.config))
    return EmbedderJob(
        pairs=tuple(_pairs(search, learning, train, mined=settings.mined)),
        dev=tuple((query(example).text, example) for example in dev),
        pool=tuple(_pool(search, learning, dev, size=settings.pool)),
        model=_model(search),
        seed=search.config.tuning.seed,
    )


def tune(search: Search, splits: Splits, *, progress: Progress = quiet) -> TunedEmbedder:
    """Tune the embedder unless the store has it.

    Raises:
        TrainingError: see the trainer.
    """
    job = embedder_job(search, splits)
    key = _key(search, job)
    cached = search.artifacts.find(key) is not None
    if not cached:
        part = search.config.tuning.embedder
        report = loading.make("trainers", part.name, part.options).train(
            job, search.artifacts.working(key), progress=progress
        )
        manifest = {
            "kind": "embedder",
            "model": job.model,
            "stock": search.embedder.fingerprint,
            "trainer": _spec(search.config),
            "rows": len(job.pairs),
            "seen": search.learning(splits).seen(),
            "report": report,
        }
        search.artifacts.finish(key, manifest)
    report = search.artifacts.manifest(key)["report"]
    path = search.artifacts.find(key)
    assert path is not None
    return TunedEmbedder(key=key, cached=cached, path=str(path / MODEL), report=report, reembed=reembedding(search))


def plan(search: Search, splits: Splits) -> EmbedderPlan:
    """Plan the tuning of the embedder: its training data and the time to embed the documents again; trains nothing."""
    job = embedder_job(search, splits)
    settings = TrainerSettings.of(_options(search.config))
    return {
        "pairs": len(job.pairs),
        "dev_questions": len(job.dev),
        "pool": len(job.pool),
        "cached": search.artifacts.find(_key(search, job)) is not None,
        "minutes": settings.minutes,
        "reembed": reembedding(search),
    }


def reembedding(search: Search) -> Reembedding:
    """The price of embedding every chunk again, measured on a sample."""
    state = search.index.state()
    document_ids = sorted(search.index.documents())
    # A random sample: ids often sort by source, and sources differ in length of passages.
    random.Random(0).shuffle(document_ids)
    sample: list[Chunk] = []
    for begin in range(0, len(document_ids), 8):
        sample += search.index.chunks_of(document_ids[begin : begin + 8])
        if len(sample) >= _SAMPLE:
            break
    texts = [embedded_text(chunk) for chunk in sample[:_SAMPLE]]
    search.embedder.embed(texts[:2])  # loads the model, which is paid once
    started = time.perf_counter()
    search.embedder.embed(texts)
    each = (time.perf_counter() - started) / max(1, len(texts))
    return {"chunks": state.chunks, "documents": state.documents, "seconds": each * state.chunks}


def _pairs(search: Search, learning: Learning, train: Sequence[Example], *, mined: int) -> list[SearchPair]:
    queries = [query(example) for example in train]
    retrievals = learning.retrieved(train, _SEEN)
    vectors = search.embedder.embed([one.text for one in queries])
    pairs = []
    for number, (example, gold) in enumerate(zip(train, search.gold(train), strict=True)):
        right = _best_of_each(example, gold)
        if not right:
            continue
        sources = {*example.sources, *example.grades}
        texts = {chunk.text for chunk in gold}
        # Another passage of a right document may well be right: only other documents give negatives.
        wrong = [h.chunk for h in retrievals[number].hits if h.chunk.span.document not in sources]
        # The same text in another document is as right as the gold one.
        wrong = [chunk for chunk in wrong if chunk.text not in texts]
        near = search.embedder.embed([embedded_text(c) for c in (*right, *wrong)]) @ vectors[number]
        # near: (right + wrong,), cosines with the question, the right passages first.
        limit = _TOO_NEAR * float(near[: len(right)].max())
        negatives = []
        for passage, similarity in zip(wrong, near[len(right) :], strict=True):
            if similarity < limit:
                negatives.append((passage.span.document, embedded_text(passage)))
        pairs += [
            SearchPair(
                query=queries[number].text,
                passage=embedded_text(chunk),
                document=chunk.span.document,
                sources=tuple(sorted(sources)),
                negatives=tuple(negatives[:mined]),
            )
            for chunk in right
        ]
    return pairs


def _best_of_each(example: Example, gold: Sequence[Chunk]) -> list[Chunk]:
    """The best evidence in each right document; of graded ones the best grades only."""
    best: dict[str, Chunk] = {}
    for chunk in gold:
        best.setdefault(chunk.span.document, chunk)
    # Documents without a grade count as wholly right.
    top = max(example.grades.values(), default=1.0)
    top_graded = [c for name, c in best.items() if example.grades.get(name, 1.0) >= top]
    return top_graded[:_PASSAGES]


def _pool(search: Search, learning: Learning, dev: Sequence[Example], *, size: int) -> list[tuple[str, str]]:
    """The passages in which the dev questions are searched: theirs, what is found for them, and others at random."""
    passages: dict[str, Chunk] = {}
    for gold in search.gold(dev):
        passages.update({chunk.id: chunk for chunk in gold[:_PASSAGES]})
    depth = max(3, size // max(1, len(dev)))
    for retrieval in learning.retrieved(dev, min(_SEEN, depth)):
        passages.update({hit.chunk.id: hit.chunk for hit in retrieval.hits})
    # Sorted before shuffled: a set's order is not the same in two processes.
    others = sorted(set(search.index.documents()) - learning.filter.without)
    random.Random(search.config.tuning.seed).shuffle(others)
    # 16 documents a query of the index, until the pool is full.
    for begin in range(0, len(others), 16):
        if len(passages) >= size:
            break
        passages.update({chunk.id: chunk for chunk in search.index.chunks_of(others[begin : begin + 16])})
    return [(c.span.document, embedded_text(c)) for c in list(passages.values())[:size]]


def _options(config: Config) -> protocols.Options:
    part = config.tuning.embedder
    return loading.options("trainers", part.name, part.options, where="tuning.embedder")


def _spec(config: Config) -> Json:
    part = config.tuning.embedder
    version = loading.find("trainers", part.name).version
    return {"name": part.name, "version": version, "options": _options(config).model_dump(mode="json")}


def _key(search: Search, job: EmbedderJob) -> str:
    # The stock embedder's fingerprint stands for the model: a path to it may change, its weights do not.
    recipe = job.model_copy(update={"model": ""})
    return digest("embedder", {"job": recipe, "trainer": _spec(search.config), "stock": search.embedder.fingerprint})


def _model(search: Search) -> str:
    part = search.config.retrieval.embedder
    options = loading.options("embedders", part.name, search.embedder_options())
    model = EmbedderSettings.of(options).model
    if not model:
        raise ConfigError(
            f"the embedder {part.name!r} cannot be tuned: this embedder has no model",
            cure='Set [retrieval.embedder] name = "minilm".',
        )
    return model
