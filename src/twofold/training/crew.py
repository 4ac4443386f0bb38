"""Several training processes that take every step together (torchrun; gloo on CPUs, NCCL on GPUs).

Each computes its share of a step's packs, the gradients are summed, and all make the same update: the same step as one
process makes. What depends on the clock or writes files is the first one's business.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Crew:
    """This process among those that train together; alone where torchrun did not start it."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1:
            import torch

            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    @property
    def first(self) -> bool:
        """Does this one decide and write?"""
        return self.rank == 0

    def share(self, parts: Sequence[T]) -> list[T]:
        """This process's part of a step, the longest dealt out first."""
        return list(parts[self.rank :: self.size])

    def summed(self, masters: Any, loss: float, *, device: Any) -> float:
        """Sum the gradients of all, in place, and their losses."""
        if self.size == 1:
            return loss
        import torch

        for full in masters.full.values():
            full.grad = torch.zeros_like(full) if full.grad is None else full.grad
            torch.distributed.all_reduce(full.grad)
        total = torch.tensor([loss], dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        torch.distributed.all_reduce(total)
        return float(total)

    def told(self, value: T) -> T:
        """The first one's value, everywhere; the others' is ignored."""
        if self.size == 1:
            return value
        import torch

        held = [value]
        torch.distributed.broadcast_object_list(held, src=0)
        return held[0]

    def close(self) -> None:
        """Part, after all have come this far."""
        if self.size > 1:
            import torch

            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
