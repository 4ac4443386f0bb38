"""The GPU of this process, where there is one; nothing elsewhere (heavy leaf)."""

from __future__ import annotations

from typing import Any

import torch


def wait() -> None:
    """Until the GPU has done what it was given: its work goes on while Python does, and clocks would miss it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def free() -> None:
    """Give back what is allocated and not in use: after memory ran out, its pieces fit nothing larger."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_mib() -> float:
    """Most memory that tensors took on the GPU; 0 without one."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0


def chance() -> Any:
    """The random generators, dropout's among them, for `restore_chance`: the processor's, and this process's GPU's."""
    if torch.cuda.is_available():
        return [torch.get_rng_state(), torch.cuda.get_rng_state()]
    return torch.get_rng_state()


def restore_chance(value: Any) -> None:
    """Go on as from `chance`; where a run moves to a machine without GPUs, or from one, with what both have."""
    states = value if isinstance(value, list) else [value]
    torch.set_rng_state(states[0])
    if len(states) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[1])
