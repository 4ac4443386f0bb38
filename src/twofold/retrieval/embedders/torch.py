"""Sentence vectors by torch and transformers: the reference, and the embedder for encoders other than BERT."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from twofold.errors import MissingExtra, ModelError, install
from twofold.hashing import digest
from twofold.host import capabilities
from twofold.models import hub
from twofold.plugins import protocols
from twofold.plugins.protocols import Progress
from twofold.retrieval.embedders.sentence_config import read_pooling
from twofold.retrieval.embedders.tokenizing import SentenceTokens, unit


class TorchEmbedder:
    """A sentence encoder on torch, pooled as its ``1_Pooling/config.json`` says.

    Args:
        options: See `Options`.

    Raises:
        ModelNotPulled: the model is not in the cache.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the embedder ``torch``."""

        model: str = "all-minilm-l6-v2"
        """Name or source string of a sentence encoder that transformers can load."""
        max_tokens: int = Field(default=256, ge=8)
        """A longer text is cut (for its vector only)."""
        batch: int = Field(default=16, ge=1)
        """Texts run at a time."""
        device: str = "cpu"
        """A torch device, for example ``cuda``."""
        precision: Literal["auto", "bf16", "f32"] = Field(default="auto", validate_default=True)
        """Arithmetic: ``auto`` (what `device` computes fastest), ``bf16`` or ``f32``."""

        @field_validator("precision")
        @classmethod
        def _resolved(cls, value: Literal["auto", "bf16", "f32"], info: ValidationInfo) -> capabilities.Dtype:
            return capabilities.resolve(value, "cuda" if info.data.get("device", "").startswith("cuda") else "cpu")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._path = hub.locate(options.model)
        self._pooling = read_pooling(self._path)
        self._tokens = SentenceTokens(self._path, options.max_tokens)
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, pooling, precision, limit and version."""
        parts = {
            "embedder": "torch",
            "version": self.version,
            "weights": hub.weights_digest(self._path),
            "pooling": self._pooling,
            "precision": self._options.precision,
            "max_tokens": self._options.max_tokens,
        }
        return digest("embedder", parts)

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._model.config.hidden_size)

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
            return self._tokens.tokens(texts, self._states, batch=self._options.batch)

    def _encode(self, ids: NDArray[np.int32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        states = self._states(ids, mask)
        # states: (batch, length, hidden); the mean's divisor is lost in `unit`
        return unit(states[:, 0] if self._pooling == "cls" else (states * mask[..., None]).sum(1))

    def _states(self, ids: NDArray[np.int32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        # ids and mask: (batch, length)
        places = torch.from_numpy(ids).long().to(self._options.device)
        weight = torch.from_numpy(mask).to(self._options.device)
        with torch.inference_mode():
            states = self._model(input_ids=places, attention_mask=weight.long()).last_hidden_state.float()
        vectors: NDArray[np.float32] = states.cpu().numpy()
        return vectors

    @cached_property
    def _model(self) -> Any:
        try:
            import torch
            from transformers import AutoModel
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"the embedder 'torch' needs the package {error.name!r}, which is not installed",
                cure=install("train"),
            ) from error
        kind = torch.bfloat16 if self._options.precision == "bf16" else torch.float32
        try:
            model = AutoModel.from_pretrained(
                str(self._path), dtype=kind, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"transformers cannot load this model: {error}", file=self._path) from error
        return model.eval().to(self._options.device)
