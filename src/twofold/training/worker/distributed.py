"""Several training processes that take every step together (torchrun; gloo on CPUs, NCCL on GPUs).

Each computes its share of a step's packs, the gradients are summed, and all make the same update: the same step as one
process makes. What depends on the clock or writes files is the first one's business. The layers' weights may be spread
over the processes (FSDP: Zhao et al. 2023, arXiv:2304.11277), each of which then holds a part of them; a layer's are
gathered while it is at work, so that all must do the same passes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

from twofold.errors import TrainingError
from twofold.files.reading import counted

T = TypeVar("T")


class Crew:
    """This process among those that train together; alone where torchrun did not start it."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        """Processes on this machine, which share its cores."""
        self.spreads = False
        if self.size > 1:
            import torch

            if torch.cuda.is_available():
                there = torch.cuda.device_count()
                if self.beside > there:
                    raise TrainingError(
                        f"{self.beside} training processes on a machine with {counted(there, 'GPU')}",
                        cure=f"Set [tuning.trainer.options].processes, or --nproc-per-node, to {there} at most.",
                    )
                # before the group: NCCL takes the current device
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    @property
    def first(self) -> bool:
        """Does this one decide and write?"""
        return self.rank == 0

    @property
    def measures(self) -> bool:
        """Does this one take part in scoring?"""
        return self.first or self.spreads

    def spread(self, layers: Sequence[Any], *, device: str) -> None:
        """Give each process a part of the weights of these layers."""
        from torch.distributed import fsdp
        from torch.distributed.device_mesh import init_device_mesh

        mesh = init_device_mesh(device, (self.size,))
        for layer in layers:
            fsdp.fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        self.spreads = True

    def share(self, parts: Sequence[T]) -> list[tuple[T, float]]:
        """This process's part of a step, the longest dealt out first, each with its weight.

        Where all must do as many passes, one that lacks work does another's again, without weight.
        """
        # Parts are sorted by length, so that dealing them out in turn gives all about the same work.
        mine = [(part, 1.0) for part in parts[self.rank :: self.size]]
        lacks = self.spreads and len(mine) * self.size < len(parts)
        return [*mine, (parts[0], 0.0)] if lacks else mine

    def summed(self, masters: Any, loss: float, *, device: Any) -> float:
        """Sum the gradients of all, in place, and their losses."""
        if self.size == 1:
            return loss
        import torch

        for name, full in masters.full.items():
            # A process without work has no gradient, and takes part in the sum all the same.
            full.grad = torch.zeros_like(full) if full.grad is None else full.grad
            # Of spread weights FSDP has summed the gradients already (`Masters.collect`).
            if name not in masters.spread:
                torch.distributed.all_reduce(full.grad)
        total = torch.tensor([loss], dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        torch.distributed.all_reduce(total)
        return float(total)

    def shared(self, value: T) -> T:
        """The first one's value, everywhere; the others' is ignored."""
        if self.size == 1:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def all_equal(self, value: int) -> bool:
        """Is it the same everywhere? All ask."""
        if self.size == 1:
            return True
        import torch

        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return len(set(values)) == 1

    def follow(self, value: T) -> T:
        """`shared` among those that measure: the first alone, unless weights are spread."""
        return self.shared(value) if self.spreads else value

    def close(self) -> None:
        """Part, after all have come this far."""
        if self.size > 1:
            import torch

            # The first one may still be writing when the others are done: nobody leaves the group before it.
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
