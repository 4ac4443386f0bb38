"""Rerankers with a model: late interaction over the embedder's own tokens, and cross-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from twofold.errors import ConfigError, MissingExtra, ModelError, install
from twofold.models import hub
from twofold.plugins import protocols
from twofold.plugins.protocols import Parts, TokenEmbedder
from twofold.retrieval.rerankers.ranking import reordered
from twofold.types import Hit, Query, Retrieval

_DIGITS = 5
"""Of scores within [0, 1]. A network in f32 reads a pair up to 3e-6 otherwise beside other pairs or with other
threads: equal passages would change places between one process and several."""


class LateInteraction:
    """MaxSim over token vectors (Khattab & Zaharia, SIGIR 2020, ColBERT), with the configured embedder.

    Each token of the question counts with its most similar token of the passage; the mean is mixed with the search's
    own score. The first `pool` hits are scored anew, the others stay behind them.

    Args:
        options: See `Options`.
        parts: An embedder that gives token vectors.

    Raises:
        ConfigError: the embedder has no token vectors.
    """

    version: ClassVar[int] = 1
    final: ClassVar[bool] = False

    class Options(protocols.Options):
        """Options of the reranker ``late_interaction``."""

        pool: int = Field(default=20, ge=2)
        """Hits scored anew."""
        weight: float = Field(default=0.5, ge=0, le=1)
        """Weight of MaxSim; the search's score has the rest. Both are scaled to [0, 1] within the pool."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        if not isinstance(parts.embedder, TokenEmbedder):
            raise ConfigError(
                f"the embedder {type(parts.embedder).__name__} returns no token vectors",
                cure="Use the embedder 'minilm', 'torch' or 'hashing', or remove the reranker late_interaction.",
            )
        self._embedder = parts.embedder

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:
        """At most `k` hits, those of the pool by their new scores."""
        pools = [retrieval.hits[: self._options.pool] for retrieval in retrievals]
        texts = list(dict.fromkeys(hit.chunk.text for hit in chain.from_iterable(pools)))
        questions = self._embedder.tokens([query.text for query in queries])
        passages = dict(zip(texts, self._embedder.tokens(texts), strict=True))
        reranked = []
        for retrieval, pool, question in zip(retrievals, pools, questions, strict=True):
            if len(pool) < 2 or not len(question):
                # nothing to reorder, or nothing to compare with
                reranked.append(replace(retrieval, hits=retrieval.hits[:k]))
                continue
            # each (tokens of the question, tokens of the passage): cosines, since all rows have length 1
            sims = [(question @ passages[hit.chunk.text].T) for hit in pool]
            best = np.array([float(s.max(axis=1).mean()) if s.size else 0.0 for s in sims])
            reranked.append(_rescored(retrieval, pool, best, self._options.weight, k))
        return reranked


class CrossEncoder:
    """A transformer that reads question and passage together (Nogueira & Cho 2019), by transformers.

    Args:
        options: See `Options`.
        parts: Not used.

    Raises:
        ConfigError: no model is named.
        ModelError: the model is not a sequence classifier with one output.
        MissingExtra: torch or transformers is not installed.
    """

    version: ClassVar[int] = 1
    final: ClassVar[bool] = False

    class Options(protocols.Options):
        """Options of the reranker ``cross_encoder``."""

        model: str = ""
        """Source string of a sequence classifier with one output, for example ``path:models/ms-marco-MiniLM-L6-v2``."""
        pool: int = Field(default=20, ge=2)
        """Hits scored anew."""
        weight: float = Field(default=1.0, ge=0, le=1)
        """Weight of the model's score; the search's score has the rest. Both are scaled to [0, 1] within the pool."""
        max_tokens: int = Field(default=256, ge=16)
        """Question and passage together; a longer passage is cut."""
        batch: int = Field(default=16, ge=1)
        """Pairs read at a time."""
        device: str = "cpu"
        """A torch device."""

    def __init__(self, options: Options, *, parts: Parts) -> None:  # noqa: ARG002
        self._options = options
        if not options.model:
            raise ConfigError(
                "the reranker 'cross_encoder' needs a model",
                cure='Set model = "path:DIRECTORY" in its options: a sequence classifier with one output.',
            )
        self._path = hub.locate(options.model)

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:
        """At most `k` hits, those of the pool by the model's scores."""
        pools = [retrieval.hits[: self._options.pool] for retrieval in retrievals]
        # all queries in one list: batches are sorted by length across queries
        pairs: list[tuple[str, str]] = []
        for query, pool in zip(queries, pools, strict=True):
            pairs += [(query.text, hit.chunk.text) for hit in pool]
        scores, tokens = self._scores(pairs)
        reranked = []
        at = 0
        for retrieval, pool in zip(retrievals, pools, strict=True):
            pool_scores = scores[at : at + len(pool)]
            spent = sum(tokens[at : at + len(pool)])
            at += len(pool)
            done = _rescored(retrieval, pool, pool_scores, self._options.weight, k) if pool else retrieval
            usage = replace(retrieval.usage, prompt_tokens=retrieval.usage.prompt_tokens + spent)
            reranked.append(replace(done, usage=usage))
        return reranked

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, list[int]]:
        """The model's output and the tokens read, for each pair."""
        scores, tokens = np.zeros(len(pairs)), [0] * len(pairs)
        if not pairs:
            return scores, tokens
        tokenizer, model = self._model
        import torch

        # by length: a batch is padded to its longest passage
        order = sorted(range(len(pairs)), key=lambda n: len(pairs[n][1]))
        for start in range(0, len(order), self._options.batch):
            rows = order[start : start + self._options.batch]
            batch = tokenizer(
                [pairs[n][0] for n in rows],
                [pairs[n][1] for n in rows],
                truncation="longest_first",  # of both, the longer one is cut: the passage rather than the question
                max_length=self._options.max_tokens,
                padding=True,
                return_tensors="pt",
            ).to(self._options.device)
            with torch.inference_mode():
                # (batch, 1): the model has one output, see `_model`
                scores[rows] = model(**batch).logits[:, 0].float().cpu().numpy()
            for n, length in zip(rows, batch["attention_mask"].sum(1).tolist(), strict=True):
                tokens[n] = int(length)
        return scores, tokens

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"the reranker 'cross_encoder' needs the package {error.name!r}, which is not installed",
                cure=install("train"),
            ) from error
        try:
            # a model's folder must not bring code to run
            tokenizer = AutoTokenizer.from_pretrained(str(self._path), local_files_only=True, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(
                str(self._path), local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"transformers cannot load this model: {error}", file=self._path) from error
        if model.config.num_labels != 1:
            raise ModelError(
                f"the model has {model.config.num_labels} outputs; a cross-encoder for ranking has one",
                file=self._path,
                cure="Use a model trained to score passages, such as one of the ms-marco cross-encoders.",
            )
        return tokenizer, model.eval().to(self._options.device)


def _rescored(retrieval: Retrieval, pool: Sequence[Hit], scores: np.ndarray, weight: float, k: int) -> Retrieval:
    """The pool by mixed scores, the other hits behind it."""
    before = np.array([hit.score for hit in pool])
    # rounded: smaller differences are rounding, and such hits stay in the search's order
    mixed = np.round(weight * _scaled(scores) + (1 - weight) * _scaled(before), _DIGITS)
    order = sorted(range(len(pool)), key=lambda n: (-float(mixed[n]), n))
    hits = [replace(pool[n], score=float(mixed[n])) for n in order]
    # mixed scores are in [0, 1]: hits outside the pool must not have a higher one
    rest = [replace(hit, score=min(0.0, hit.score)) for hit in retrieval.hits[len(pool) :]]
    moved = sum(n != place for place, n in enumerate(order))
    return reordered(retrieval, [*hits, *rest][:k], {"scored": len(pool), "moved": moved})


def _scaled(values: np.ndarray) -> np.ndarray:
    spread = float(np.ptp(values))
    return (values - values.min()) / spread if spread > 0 else np.zeros(len(values))
