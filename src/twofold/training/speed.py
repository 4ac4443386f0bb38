"""How fast torch multiplies matrices here, by dtype; the child process of `machine.measure`.

``python -m twofold.training.speed`` prints ``{"torch", "threads", "gflops": {"f32", "bf16", "f16"}}``. The dtypes take
turns, so that a busy moment hits all of them, and the fastest product counts: others' work can only slow it down.
"""

from __future__ import annotations

import json
import sys
import time

from twofold import machine
from twofold.types import Json

_SIZE = 512
"""Rows and columns: large enough for every kernel to reach its pace, small enough for emulated bf16 (100 ms at 2.6
GFLOP/s)."""
_ROUNDS = 4
_SECONDS = 0.08
"""Of one turn: three dtypes and four rounds take about a second."""


def gflops() -> Json:
    """Measure; see the module."""
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), machine.cores()))
    kinds = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
    values = torch.randn(_SIZE, _SIZE, generator=torch.Generator().manual_seed(0))
    factors = {name: values.to(kind) for name, kind in kinds.items()}
    best = dict.fromkeys(kinds, 0.0)
    for factor in factors.values():
        factor @ factor  # the first product chooses and compiles a kernel
    for _ in range(_ROUNDS):
        for name, factor in factors.items():
            end = time.perf_counter() + _SECONDS
            while (began := time.perf_counter()) < end:
                factor @ factor
                best[name] = max(best[name], 2 * _SIZE**3 / (time.perf_counter() - began) / 1e9)
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "gflops": best}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(gflops()))
