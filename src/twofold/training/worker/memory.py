"""Estimate the memory of a training run before it starts."""

from __future__ import annotations

from typing import Any

from twofold.training import sizing
from twofold.training.options import FitOptions


def per_token_bytes(config: Any, options: FitOptions) -> float:
    """Bytes of activations kept for the backward pass, a token; see `sizing.activation_bytes`."""
    config = config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layers = getattr(options, "layers", 0) or config.num_hidden_layers
    width = 2 if options.dtype == "bf16" else 4
    return sizing.activation_bytes(hidden=config.hidden_size, inner=inner, layers=layers, width=width)


def weights_bytes(network: Any, learned: int) -> float:
    """Bytes of weights and of what learning needs for each (master, two moments, gradients), and 1.5 GiB besides."""
    stored = sum(p.numel() * p.element_size() for p in network.parameters())
    return float(stored + sizing.LEARNED * learned + 1.5 * 2**30)


def room_bytes(options: FitOptions) -> float:
    """Bytes that training may take: `memory_gib` on a CPU, of a GPU most of what it has."""
    import torch

    if torch.cuda.is_available():
        return sizing.USABLE * float(torch.cuda.mem_get_info()[1])
    return options.memory_gib * 2**30


def token_budget(network: Any, options: FitOptions, *, learned: int) -> int:
    """Padded tokens of a micro-batch that keep the peak in the room there is, from 256 to 2,048."""
    room = room_bytes(options) - weights_bytes(network, learned)
    if getattr(network, "is_gradient_checkpointing", False):
        room *= 8
    return int(max(sizing.LEAST, min(sizing.MOST, room / per_token_bytes(network.config, options))))
