"""A BERT sentence encoder as an OpenVINO graph, built from its safetensors: no torch, no converter.

The network is that of Devlin et al. 2019 (post-layer-norm transformer encoder, exact GELU) with the pooling of
Reimers & Gurevych 2019 (Sentence-BERT): mean or first token, then length 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from twofold.errors import ModelError
from twofold.host import telemetry
from twofold.retrieval.embedders.sentence_config import Pooling, read_config, read_pooling

_CURE = "Use a BERT sentence encoder in safetensors form (such as all-minilm-l6-v2), or the embedder 'torch'."
_ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """The settings in a sentence encoder's configuration files."""

    layers: int
    """Transformer layers."""
    heads: int
    """Attention heads."""
    hidden: int
    """Width, and length of a vector."""
    positions: int
    """Longest input in tokens."""
    epsilon: float
    """Of the layer norms."""
    gelu: Literal["erf", "tanh"]
    """Form of the activation."""
    pooling: Pooling
    """The way that token states become one vector."""


def read_shape(directory: Path) -> EncoderShape:
    """Read ``config.json`` and ``1_Pooling/config.json`` of a sentence encoder.

    Raises:
        ModelError: the model is not a BERT encoder, or see `read_pooling`.
    """
    config = read_config(directory / "config.json")
    if config.get("model_type") != "bert" or config.get("hidden_act") not in _ACTIVATIONS:
        raise ModelError(
            f"not a BERT encoder: model_type {config.get('model_type')!r}, hidden_act {config.get('hidden_act')!r}",
            file=directory,
            cure=_CURE,
        )
    return EncoderShape(
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        hidden=int(config["hidden_size"]),
        positions=int(config["max_position_embeddings"]),
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        gelu="erf" if _ACTIVATIONS[config["hidden_act"]] == "erf" else "tanh",
        pooling=read_pooling(directory),
    )


def build(directory: Path, *, pooled: bool = True) -> Any:
    """The encoder as an ``openvino.Model``.

    Inputs: ``ids`` int32 of shape (batch, length) and ``mask`` float32 of the same shape, 1 for a token and 0 for
    padding. Output: float32 of shape (batch, hidden), rows of length 1; not `pooled`, (batch, length, hidden).

    Raises:
        ModelError: a weight is missing or of another shape.
    """
    return _Graph(directory, read_shape(directory)).model(pooled=pooled)


class _Graph:
    def __init__(self, directory: Path, shape: EncoderShape) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        self.op: Any = telemetry.imported("openvino.opset14")
        self.shape = shape
        self.file = directory / "model.safetensors"
        if not self.file.is_file():
            raise ModelError("the model directory has no model.safetensors", file=directory, cure=_CURE)
        try:
            self.tensors = load_file(self.file)
        except (SafetensorError, TypeError, KeyError) as error:  # the latter two: a type numpy does not have
            raise ModelError(
                f"the weights cannot be read as NumPy tensors: {error}", file=self.file, cure=_CURE
            ) from error
        # a model with a head on top has its encoder under that name
        self.prefix = "bert." if any(name.startswith("bert.") for name in self.tensors) else ""

    def model(self, *, pooled: bool) -> Any:
        ov = telemetry.imported("openvino")
        op, shape = self.op, self.shape
        ids = op.parameter([-1, -1], np.int32, name="ids")
        mask = op.parameter([-1, -1], np.float32, name="mask")
        state = self._embeddings(ids)
        # bias: (batch, 1, 1, length), 0 for a token and -1e4 for padding, which softmax makes 0
        bias = op.multiply(op.subtract(self._value(1.0), op.unsqueeze(mask, self._ints(1, 2))), self._value(-1e4))
        for layer in range(shape.layers):
            state = self._layer(state, bias, f"encoder.layer.{layer}.")
        if not pooled:
            tokens = op.result(op.normalize_l2(state, self._ints(2), 1e-12, "max"))
            tokens.set_friendly_name("vectors")
            return ov.Model([tokens], [ids, mask], "token_encoder")
        if shape.pooling == "cls":
            vector = op.gather(state, self._ints(0, scalar=True), self._ints(1, scalar=True))
        else:  # the mean's divisor is lost in the normalisation that follows
            vector = op.squeeze(op.matmul(op.unsqueeze(mask, self._ints(1)), state, False, False), self._ints(1))
        result = op.result(op.normalize_l2(vector, self._ints(1), 1e-12, "max"))
        result.set_friendly_name("vectors")
        return ov.Model([result], [ids, mask], "sentence_encoder")

    def _embeddings(self, ids: Any) -> Any:
        op = self.op
        words = op.gather(self._weight("embeddings.word_embeddings.weight"), ids, self._ints(0, scalar=True))
        length = op.gather(op.shape_of(ids, "i64"), self._ints(1), self._ints(0, scalar=True))
        # every text is one segment: its type vector belongs to each position
        places = self._array("embeddings.position_embeddings.weight")
        places = places + self._array("embeddings.token_type_embeddings.weight")[:1]
        positions = op.slice(op.constant(places), self._ints(0), length, self._ints(1), self._ints(0))
        return self._norm(op.add(words, positions), "embeddings.LayerNorm.")

    def _layer(self, state: Any, bias: Any, name: str) -> Any:
        op, shape = self.op, self.shape
        attention = name + "attention.self."
        query, key, value = (self._heads(self._dense(state, attention + part)) for part in ("query.", "key.", "value."))
        # the operator scales by the root of the head's width itself
        mixed = op.scaled_dot_product_attention(query, key, value, bias)
        mixed = op.reshape(op.transpose(mixed, self._ints(0, 2, 1, 3)), self._ints(0, 0, shape.hidden), True)
        mixed = self._dense(mixed, name + "attention.output.dense.")
        state = self._norm(op.add(mixed, state), name + "attention.output.LayerNorm.")
        inner = op.gelu(self._dense(state, name + "intermediate.dense."), shape.gelu)
        return self._norm(op.add(self._dense(inner, name + "output.dense."), state), name + "output.LayerNorm.")

    def _heads(self, state: Any) -> Any:
        op, shape = self.op, self.shape
        # (batch, length, hidden) → (batch, heads, length, hidden / heads)
        # a 0 keeps batch or length as it is
        split = op.reshape(state, self._ints(0, 0, shape.heads, shape.hidden // shape.heads), True)
        return op.transpose(split, self._ints(0, 2, 1, 3))

    def _dense(self, state: Any, name: str) -> Any:
        product = self.op.matmul(state, self._weight(name + "weight"), False, True)
        return self.op.add(product, self._weight(name + "bias"))

    def _norm(self, state: Any, name: str) -> Any:
        op = self.op
        normal = op.mvn(state, self._ints(-1), True, self.shape.epsilon, "inside_sqrt")
        return op.add(op.multiply(normal, self._weight(name + "weight")), self._weight(name + "bias"))

    def _array(self, name: str) -> Any:
        try:
            return np.asarray(self.tensors[self.prefix + name], dtype=np.float32)
        except KeyError as error:
            raise ModelError(f"the weight {error.args[0]!r} is missing", file=self.file, cure=_CURE) from error

    def _weight(self, name: str) -> Any:
        return self.op.constant(self._array(name))

    def _value(self, number: float) -> Any:
        return self.op.constant(np.float32(number))

    def _ints(self, *numbers: int, scalar: bool = False) -> Any:
        return self.op.constant(np.array(numbers[0] if scalar else numbers, dtype=np.int64))
