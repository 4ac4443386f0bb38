"""Sentence vectors by OpenVINO: the default embedder, fastest measured on CPUs, without torch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twofold.errors import ConfigError
from twofold.hashing import digest
from twofold.host import telemetry
from twofold.host.capabilities import OpenVinoArithmetic
from twofold.host.signal_stack import usual_signal_stack
from twofold.models import hub
from twofold.plugins import protocols
from twofold.plugins.protocols import Progress
from twofold.retrieval.embedders import bert_graph
from twofold.retrieval.embedders.tokenizing import SentenceTokens, unit

_LOG = logging.getLogger(__name__)


class OpenVinoEmbedder:
    """A BERT sentence encoder on OpenVINO.

    A text's vector does not depend on the texts beside it. Opening is cheap (tokenizer only); the network is built at
    the first `embed`.

    Args:
        options: See `Options`.

    Raises:
        ModelNotPulled: the model is not in the cache.
        ConfigError: `max_tokens` is more than the model can read.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the embedder ``minilm``."""

        model: str = "all-minilm-l6-v2"
        """Name or source string of a BERT sentence encoder."""
        precision: OpenVinoArithmetic = "auto"
        """Arithmetic: ``auto`` (bf16 where the CPU has it, else f32), ``bf16`` or ``f32``. bf16 is twice as fast, at
        cosine ≥ 0.999 to f32; OpenVINO computes in f32 where the CPU lacks it."""
        max_tokens: int = Field(default=256, ge=8)
        """A longer text is cut (for its vector only)."""
        batch: int = Field(default=16, ge=1)
        """Texts run at a time."""
        threads: int = Field(default=0, ge=0)
        """Threads; 0 leaves it to OpenVINO."""
        dimension: int = Field(default=0, ge=0)
        """Keep so many leading numbers of a vector, for models tuned with `matryoshka`; 0 for all."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._path = hub.locate(options.model)
        self._shape = bert_graph.read_shape(self._path)
        if options.max_tokens > self._shape.positions:
            raise ConfigError(
                f"max_tokens {options.max_tokens} is more than the {self._shape.positions} tokens that the model reads",
                cure="Lower max_tokens in [retrieval.embedder.options].",
            )
        self._tokens = SentenceTokens(self._path, options.max_tokens)
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, pooling, precision, limit and version."""
        parts = {
            "embedder": "openvino",
            "version": self.version,
            "weights": hub.weights_digest(self._path),
            "pooling": self._shape.pooling,
            "precision": self._options.precision,
            "max_tokens": self._options.max_tokens,
            # only where it is set, so that fingerprints from before there was the option stay
            **({"dimension": self.dimension} if self._options.dimension else {}),
        }
        return digest("embedder", parts)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return min(self._options.dimension or self._shape.hidden, self._shape.hidden)

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Character range of every token; no special tokens, never cut."""
        return self._tokens.offsets(text)

    def unknown(self, text: str) -> int:
        """Letters and digits of the text that the model cannot tell apart (see `SentenceTokens.unknown`)."""
        return self._tokens.unknown(text)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """float32 vectors of length 1, shape (len(texts), dimension). Safe to call from several threads."""
        with self._lock:
            return self._tokens.embed(
                texts, self._encode, dimension=self.dimension, batch=self._options.batch, progress=progress
            )

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text the vectors of its tokens, of shape (tokens, dimension), rows of length 1."""
        with self._lock:
            return self._tokens.tokens(
                texts, lambda ids, mask: self._token_request.infer([ids, mask])[0], batch=self._options.batch
            )

    def _encode(self, ids: NDArray[np.int32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        # (batch, hidden): cut to the dimension first, then brought to length 1
        return unit(self._request.infer([ids, mask])[0][:, : self.dimension])

    @cached_property
    def _request(self) -> Any:
        return self._compiled(pooled=True)

    @cached_property
    def _token_request(self) -> Any:
        return self._compiled(pooled=False)

    def _compiled(self, *, pooled: bool) -> Any:
        ov = telemetry.imported("openvino")
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self._options.precision,
            # one request at a time, with all threads
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self._options.threads:
            settings["INFERENCE_NUM_THREADS"] = self._options.threads
            # OpenVINO binds threads to the first cores, and so do other processes of it that have as few.
            settings["ENABLE_CPU_PINNING"] = False
        with usual_signal_stack():
            compiled = ov.Core().compile_model(bert_graph.build(self._path, pooled=pooled), "CPU", settings)
        # OpenVINO computes in f32 where the CPU lacks what was asked for, and does not say so
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != self._options.precision:
            _LOG.warning("this CPU runs the embedder in %s, not in %s", used, self._options.precision)
        return compiled.create_infer_request()
