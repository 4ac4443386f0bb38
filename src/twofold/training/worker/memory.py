"""Estimate the memory of a training run before it starts."""

from __future__ import annotations

from typing import Any

from twofold.training.options import FitOptions


def per_token_bytes(config: Any, options: FitOptions) -> float:
    """Bytes of activations kept for the backward pass, a token.

    About (22 h + 9 m) values a token and layer (h hidden, m intermediate size; measured, see docs/notebook.md).
    """
    config = config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layers = getattr(options, "layers", 0) or config.num_hidden_layers
    width = 2 if options.dtype == "bf16" else 4
    return float(layers * (22 * config.hidden_size + 9 * inner) * width)


def weights_bytes(network: Any, learned: int) -> float:
    """Bytes of weights and of what learning needs for each (master, two moments, gradients), and 1.5 GiB besides."""
    stored = sum(p.numel() * p.element_size() for p in network.parameters())
    # A learned value takes 4 bytes each as master, gradient and two moments, and 2 as live gradient.
    return float(stored + 18 * learned + 1.5 * 2**30)


def token_budget(network: Any, options: FitOptions, *, learned: int) -> int:
    """Padded tokens of a micro-batch that keep the peak under `memory_gib`, from 256 to 2,048."""
    room = options.memory_gib * 2**30 - weights_bytes(network, learned)
    if getattr(network, "is_gradient_checkpointing", False):
        room *= 8
    return int(max(256, min(2048, room / per_token_bytes(network.config, options))))
