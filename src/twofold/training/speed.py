"""Measure how fast one core multiplies matrices with torch, by dtype; the child process of `capabilities.measure`.

``python -m twofold.training.speed`` prints ``{"torch", "gflops": {"f32", "bf16", "f16"}}``. The dtypes take
turns, so that a busy moment hits all of them, and the fastest product counts: others' work can only slow it down.
One core, because cores that wait for each other on a busy machine make all dtypes look alike.
"""

from __future__ import annotations

import json
import sys
import time

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

    torch.set_num_threads(1)
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
                # multiplications and additions
                best[name] = max(best[name], 2 * _SIZE**3 / (time.perf_counter() - began) / 1e9)
    return {"torch": torch.__version__, "gflops": best}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(gflops()))
