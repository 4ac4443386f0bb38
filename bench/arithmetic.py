"""Does `auto` choose the fastest arithmetic on this machine? A ratio within one run: the machine's own speed cancels.

    python bench/arithmetic.py                                                     # this machine
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python bench/arithmetic.py    # as if it had no bf16 instructions

One forward and backward pass over layers of the embedded model's shape (random weights), on one core, the dtypes taking
turns; medians. Prints ``{"auto", "because", "milliseconds": {"f32", "bf16"}, "share_of_best"}``.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from twofold.host import capabilities
from twofold.training.options import LoraOptions

LAYERS = 2
TOKENS = 64
ROUNDS = 3


def main() -> None:
    import torch
    from transformers import LlamaConfig, LlamaModel

    torch.set_num_threads(1)
    shape = LlamaConfig(
        vocab_size=64,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=LAYERS,
        num_attention_heads=9,
        num_key_value_heads=3,
    )
    kinds = {"f32": torch.float32, "bf16": torch.bfloat16}
    networks = {name: LlamaModel(shape).to(kind) for name, kind in kinds.items()}
    ids = torch.arange(TOKENS)[None] % 64
    for network in networks.values():
        _pass(network, ids)
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(ROUNDS):
        for name, network in networks.items():
            began = time.perf_counter()
            _pass(network, ids)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    auto = LoraOptions().dtype
    report = {
        "auto": auto,
        "because": capabilities.arithmetic().because,
        "milliseconds": {name: round(1000 * value, 2) for name, value in medians.items()},
        "share_of_best": min(medians.values()) / medians[auto],
    }
    print(json.dumps(report))


def _pass(network: Any, ids: Any) -> None:
    network(input_ids=ids, use_cache=False).last_hidden_state.float().square().mean().backward()
    network.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
