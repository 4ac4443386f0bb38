"""Memory and time of tuning a model of any size on a GPU that is not here, by arithmetic on the model's shape.

Operations of a token are counted (Kaplan et al. 2020, arXiv:2001.08361, section 2.1: two for each weight and pass), as
the loop makes them: logits at completion positions only, no gradient of frozen weights. Bytes are those that the loop
holds. Nothing is downloaded and no weight is read. Light.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twofold.errors import ConfigError
from twofold.training.options import FitOptions, FullOptions, LoraOptions
from twofold.types import Json

GIB: Final = 2**30
CHUNK: Final = 512
"""Positions whose logits are held at once: of 49,152 words (SmolLM2), in float32, that is 96 MiB."""
LEARNED: Final = 18
"""Bytes of a learned value beside the weights: master, gradient, two moments of 4 each, and 2 of its live gradient."""
LEAST, MOST = 256, 2048
"""Padded tokens of a micro-batch: with fewer, products are too small to be quick; more need room and gain nothing."""
USABLE: Final = 0.9
"""Share of a GPU's memory that can be planned with; its driver, and gaps between what is allocated, take the rest."""
BESIDE: Final = 1.0
"""GiB of the driver's context and of libraries' buffers on a GPU."""
EFFICIENCY: Final = (0.15, 0.35, 0.5)
"""Shares of a GPU's peak that training reaches: low, likely, high; not measured with Twofold. Chowdhery et al. 2022
(arXiv:2204.02311, section 4.1) list .21 to .46 for large runs; small steps of an adapter reach less."""
LAUNCHES: Final = 120
"""Kernels of a layer and micro-batch, forwards and backwards, with the adapters' own; counted, not measured."""
LAUNCH: Final = 8e-6
"""Seconds to start one without compiling; assumed."""
MEMORY_ERROR: Final = 0.2
"""By how much of the prediction a training may take more: of those measured on CPUs each was predicted from all others
(``bench/sizing.py``); rounded up, as none ran on a GPU."""
TIME_ERROR: Final = 1.2
"""The same of time, where one training's share of the peak is carried to another: on a CPU that multiplies much faster
than it reads memory, as GPUs do, a small model took 2.1 times what the share of a larger one says."""
KEPT: Final = 0.54
"""Of `activation_bytes`, what a pass keeps that keeps no attention scores (measured on a CPU, ``bench/sizing.py``)."""
_NF4: Final = 0.5 + 4 / 64
"""Bytes of a weight in 4 bits, with a scale for each 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a causal language model with gated feed-forward layers."""

    name: str
    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward part."""
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    """Are input and output vectors the same?"""
    biases: bool = False
    """Do queries, keys and values have a bias?"""

    @property
    def linear(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of the linear layers of a block."""
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        attention = ((self.hidden, queries), (self.hidden, keys), (self.hidden, keys), (queries, self.hidden))
        return (*attention, (self.hidden, self.inner), (self.hidden, self.inner), (self.inner, self.hidden))

    @property
    def block(self) -> int:
        """Weights of the linear layers of a block."""
        return sum(one * other for one, other in self.linear)

    @property
    def rest(self) -> int:
        """All other weights: word vectors, norms, biases."""
        words = self.vocabulary * self.hidden * (1 if self.tied else 2)
        biases = (self.heads + 2 * self.kv_heads) * self.head_width if self.biases else 0
        return words + self.layers * (2 * self.hidden + biases) + self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.layers * self.block + self.rest


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """A GPU as its maker describes it."""

    name: str
    tflops: float
    """Peak of bf16 products with float32 sums, without sparsity, in 10¹² operations a second."""
    bandwidth: float
    """GB/s."""
    memory: float
    """GiB, as the driver counts them: an L4 "of 24 GB" has 22.5."""
    source: str


def _gpu(name: str, tflops: float, bandwidth: float, memory: float, source: str) -> GpuSpec:
    return GpuSpec(name=name, tflops=tflops, bandwidth=bandwidth, memory=memory, source=source)


# Checked on 2026-12-01 against what third parties copy of NVIDIA's sheets (nvidia.com itself was out of reach), peaks
# without sparsity, and memory as nvidia-smi counts it, which the sheets round:
# H100, A100: glennklockwood.com/garden/processors (989.4 and 312; 3.35 and 2.039 TB/s);
# H200: github.com/meta-pytorch/tritonbench/issues/78 (989.5), github.com/allenai/open-instruct/pull/1441 (4.8 TB/s);
# L4: grokipedia.com/page/NVIDIA_L4_vs_L40S (242 with sparsity, 300 GB/s); 4090: waredb.com (165.15; 1,008 GB/s);
# MiB of H100 81,559, A100 81,920, L4 23,034: github.com/modal-labs/modal-client/pull/2797; of H200 143,771 and
# 4090 24,564: logs of nvidia-smi in public repositories.
GPUS: Mapping[str, GpuSpec] = {
    one.name.lower(): one
    for one in (
        _gpu("H200", 989, 4800, 140.4, "NVIDIA H200 datasheet"),
        _gpu("H100", 989, 3350, 79.6, "NVIDIA H100 datasheet, SXM"),
        _gpu("A100", 312, 2039, 80.0, "NVIDIA A100 datasheet, 80 GB SXM"),
        _gpu("L4", 121, 300, 22.5, "NVIDIA L4 datasheet, half of the figure with sparsity"),
        _gpu("4090", 165, 1008, 24.0, "NVIDIA Ada GPU architecture whitepaper, GeForce RTX 4090"),
    )
}
"""By name in small letters."""


def gpu(name: str) -> GpuSpec:
    """The GPU of that name.

    Raises:
        ConfigError: it is not in the table.
    """
    known = GPUS.get(name.lower())
    if known is None:
        raise ConfigError(f"unknown GPU {name!r}", cure=f"Choose {', '.join(one.name for one in GPUS.values())}.")
    return known


def _shape(name: str, values: str, *, tied: bool, biases: bool = False) -> Shape:
    layers, hidden, inner, heads, kv_heads, head_width, vocabulary = map(int, values.split())
    return Shape(
        name=name,
        layers=layers,
        hidden=hidden,
        inner=inner,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        vocabulary=vocabulary,
        tied=tied,
        biases=biases,
    )


SHAPES: Mapping[str, Shape] = {
    one.name.lower(): one
    for one in (
        _shape("SmolLM2-135M", "30 576 1536 9 3 64 49152", tied=True),
        _shape("Llama-3.2-1B", "16 2048 8192 32 8 64 128256", tied=True),
        _shape("Llama-3.2-3B", "28 3072 8192 24 8 128 128256", tied=True),
        _shape("Qwen2.5-7B", "28 3584 18944 28 4 128 152064", tied=False, biases=True),
        _shape("Llama-3.1-8B", "32 4096 14336 32 8 128 128256", tied=False),
    )
}
"""By name in small letters; the values are those of each model's public ``config.json``."""


def shape(name: str) -> Shape:
    """The shape of that name, or of the model whose ``config.json``, or its folder, lies there.

    Raises:
        ConfigError: there is none of that name, or the file is not that of a model of this kind.
    """
    if name.lower() in SHAPES:
        return SHAPES[name.lower()]
    path = Path(name).expanduser()
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(
            f"no model size {name!r}",
            cure=f"Choose {', '.join(s.name for s in SHAPES.values())}, or name a config.json.",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return of_config(config.get("text_config") or config, name=path.parent.name)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ConfigError(
            f"{path} does not describe a causal language model: {error}",
            cure="Name the config.json of a decoder with gated feed-forward layers, such as Llama, Mistral or Qwen.",
        ) from error


def of_config(config: Json, *, name: str) -> Shape:
    """The shape that a ``config.json`` describes."""
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    read = Shape(
        name=name,
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        inner=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or hidden // heads),
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", False)),
        biases=bool(config.get("attention_bias", config.get("model_type") == "qwen2")),
    )
    sizes = (read.layers, hidden, read.inner, heads, read.kv_heads, read.head_width, read.vocabulary)
    if min(sizes) < 1:
        raise ValueError(f"a size below 1 in {sizes}")
    return read


# ---------------------------------------------------------------- memory


def activation_bytes(*, hidden: int, inner: int, layers: int, width: int) -> float:
    """Bytes of activations kept for the backward pass, a token.

    About (22 h + 9 m) values a token and layer (h hidden, m intermediate size; measured, see docs/notebook.md): a
    bound, with the attention scores that masked packs keep on a CPU.
    """
    return float(layers * (22 * hidden + 9 * inner) * width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a training holds at its peak, in GiB."""

    weights: float
    learned: float
    """Masters, gradients and moments of what is learned."""
    activations: float
    logits: float
    beside: float
    tokens: int
    """Of a micro-batch."""
    checkpointing: bool
    """Are activations computed again in the backward pass?"""
    least: float
    """What it takes with the smallest micro-batch and activations computed again, the error of all but the weights
    added: a training fits where this does, for the loop fills the room that is left."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.learned + self.activations + self.logits + self.beside


def learned(of: Shape, options: FitOptions) -> int:
    """Values that a method learns.

    Raises:
        ConfigError: there is no arithmetic for the method.
    """
    if isinstance(options, FullOptions):
        return of.parameters
    if isinstance(options, LoraOptions):
        layers = min(options.layers or of.layers, of.layers)
        return layers * options.rank * sum(one + other for one, other in of.linear)
    raise ConfigError(
        f"no plan for another machine with the method {options.method}", cure="Choose lora, qlora or full by --method."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What the steps of a training are made of."""

    longest: int
    """Tokens of the longest row."""
    tokens: float
    """Of a step; no micro-batch has more."""
    answers: float
    """Share of the tokens that are learned, whose logits are made."""


def memory(of: Shape, options: FitOptions, steps: Steps, *, room: float, beside: float = BESIDE) -> Memory:
    """Peak memory with the micro-batch and checkpointing that the loop would choose for `room` GiB.

    Args:
        of: The model.
        options: Method and its sizes.
        steps: Of the training.
        room: GiB that may be used.
        beside: GiB of the process itself.

    Raises:
        ConfigError: see `learned`.
    """
    width = 2 if options.dtype == "bf16" else 4
    count = learned(of, options)
    rounded = options.method == "qlora"
    weights = of.layers * of.block * (_NF4 if rounded else width) + of.rest * width
    if rounded:
        weights += of.hidden * of.inner * 4 * width  # one layer at a time is there in full, and its places
    if not isinstance(options, FullOptions):
        weights += count * width

    def block(layers: int, part: float) -> float:
        return part * activation_bytes(hidden=of.hidden, inner=of.inner, layers=layers, width=width)

    adapted = min(_adapted_layers(options) or of.layers, of.layers)
    inputs = of.layers * of.hidden * width  # where activations are computed again, of a layer its input is kept
    # The loop's own bound decides, as it does there.
    left = room * GIB - weights - LEARNED * count - 1.5 * GIB
    again = options.checkpointing == "on" or (
        options.checkpointing == "auto" and left < block(adapted, 1) * steps.longest
    )
    most = 8 * left if again else left
    budget = int(max(LEAST, min(MOST, most / block(adapted, 1))))
    # a row goes alone where it is longer
    tokens = max(steps.longest, int(min(steps.tokens, budget)))

    def passing(number: int, *, recompute: bool) -> tuple[float, float]:
        each = inputs + block(1, KEPT) if recompute else block(adapted, KEPT)
        # bf16 as the model gives them; float32, their gradient and the probabilities
        logits = min(CHUNK, steps.answers * number + 1) * of.vocabulary * (width + 3 * 4)
        return number * each, logits

    # The masters' gradient is there during a pass where an earlier micro-batch of the step left it.
    value = LEARNED if steps.tokens > tokens else LEARNED - 4
    activations, logits = passing(tokens, recompute=again)
    smallest = sum(passing(max(steps.longest, LEAST), recompute=True))
    return Memory(
        weights=weights / GIB,
        learned=value * count / GIB,
        activations=activations / GIB,
        logits=logits / GIB,
        beside=beside,
        tokens=tokens,
        checkpointing=again,
        least=(weights + (1 + MEMORY_ERROR) * (LEARNED * count + smallest + beside * GIB)) / GIB,
    )


def _adapted_layers(options: FitOptions) -> int:
    """Uppermost layers that are adapted; 0 for all."""
    return options.layers if isinstance(options, LoraOptions) else 0


# ---------------------------------------------------------------- time


def operations(of: Shape, options: FitOptions, *, length: float, answers: float, again: bool = False) -> float:
    """Operations to learn from a token that is read.

    Args:
        of: The model.
        options: Method and its sizes.
        length: Tokens that a token sees on the average: about half of a row.
        answers: Share of the tokens that are learned, whose logits are made.
        again: Are activations computed again?

    Raises:
        ConfigError: see `learned`.
    """
    attention = 4 * of.heads * of.head_width * length
    forward = of.layers * (2 * of.block + attention) + 2 * answers * of.hidden * of.vocabulary
    passes = 3.0 if isinstance(options, FullOptions) else 2.0
    added = 0.0 if isinstance(options, FullOptions) else 3 * 2 * learned(of, options)
    return forward * (passes + (1.0 if again else 0.0)) + added


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """Seconds: the likely value, and between which it lies."""

    low: float
    likely: float
    high: float


def seconds(of: Shape, gpu: GpuSpec, *, work: float, parts: int, stored: float, efficiency: float = 0.0) -> TimeRange:
    """Seconds of a training on a GPU: of its products, or of reading the weights where that takes longer.

    Args:
        of: The model.
        gpu: Where.
        work: Operations of all steps.
        parts: Micro-batches of all steps, each of which reads all weights forwards and backwards.
        stored: GiB of the weights.
        efficiency: Share of the GPU's peak that was measured, as by ``bench/gpu.py``; 0: none was.
    """
    reading = 2 * parts * stored * GIB / (gpu.bandwidth * 1e9)
    starting = parts * of.layers * LAUNCHES * LAUNCH

    def at(share: float) -> float:
        return max(work / (gpu.tflops * 1e12 * share), reading, starting)

    if efficiency:
        likely = at(efficiency)
        return TimeRange(low=likely / (1 + TIME_ERROR), likely=likely, high=likely * (1 + TIME_ERROR))
    slow, usual, fast = map(at, EFFICIENCY)
    return TimeRange(low=fast, likely=usual, high=slow)
