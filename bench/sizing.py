"""How far the arithmetic of `tune --plan --size` is off, on trainings that can be run here.

    python bench/sizing.py [--steps 4] [--threads 1] [--cases NAME…] [--json FILE]

Each configuration is a process of its own that trains some steps. Memory is the process's peak beside that of one that
has only imported the same packages. Time is the processor's seconds of the steps (one thread, so that other work on the
machine counts little), as a share of what the fastest product of matrices here takes. The first configuration says what
share of that pace training reaches; the others are predicted with it. Beside it stands a law of five terms (products,
values that pass through memory, learned values, rounded weights, logits), each configuration predicted by a fit to all
others: how far a single share is from what time is spent on.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANSWER = 32
"""Tokens of a row's answer."""
PROCESS = 105.0
"""MiB that libraries take in the first step; fitted with `sizing.KEPT` to the trainings of one machine."""
SHAPES: dict[str, dict[str, Any]] = {
    "26M": {"num_hidden_layers": 6, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4},
    "58M": {"num_hidden_layers": 10, "hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8},
    "222M": {"num_hidden_layers": 8, "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16},
}
"""Random models, with the words of the embedded one."""


@dataclass(frozen=True)
class Case:
    """A training."""

    model: str
    """Of SHAPES; else the embedded one."""
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    rows: int = 4
    """Of a step."""
    length: int = 256
    """Tokens of a row."""


CASES: dict[str, Case] = {
    "135M lora r16": Case("135M", "lora"),
    "135M lora r64": Case("135M", "lora", {"rank": 64}),
    "135M lora, checkpointing": Case("135M", "lora", {"checkpointing": "on"}),
    "135M full": Case("135M", "full"),
    "135M qlora r16": Case("135M", "qlora"),
    "26M lora r16": Case("26M", "lora"),
    "26M full": Case("26M", "full"),
    "135M lora, rows of 512": Case("135M", "lora", rows=2, length=512),
    "135M lora, 16 rows of 64": Case("135M", "lora", rows=16, length=64),
    "58M lora r16": Case("58M", "lora"),
    "58M full": Case("58M", "full"),
    "58M qlora r16": Case("58M", "qlora"),
    "222M lora r16": Case("222M", "lora"),
    "222M qlora r16": Case("222M", "qlora"),
}


def random_model(name: str, directory: Path) -> None:
    """A random model of one of SHAPES."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = SHAPES[name]
    kv_heads = sizes["num_attention_heads"] // 2
    config = LlamaConfig(**sizes, num_key_value_heads=kv_heads, vocab_size=49152, tie_word_embeddings=True)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)


def file_mib() -> float:
    """MiB of this process that are pages of files."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile")) / 1024


def measured(model: Path, case: Case, steps: int, threads: int) -> dict[str, float]:
    """Peak MiB and processor seconds a token of a training, beside what was there before it."""
    import torch

    from twofold.host.memory import peak_mib
    from twofold.training.options import KINDS
    from twofold.training.packing import TrainingRow, micro_batches, pack
    from twofold.training.worker import methods
    from twofold.training.worker.memory import token_budget
    from twofold.training.worker.network import Masters, loss_of, plain_of

    torch.set_num_threads(threads)
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    before, files = peak_mib(), file_mib()
    options = KINDS[case.method].model_validate(case.options)
    network = methods.adapted(model, options, None, seed=0)
    if options.checkpointing == "on":
        plain_of(network).gradient_checkpointing_enable({"use_reentrant": False})
    # Rounded weights leave the pages of the file that they were read from, which are given back when memory is short.
    mapped = file_mib() - files if case.method == "qlora" else 0.0
    network.train()
    masters = Masters(network, options)
    draw = torch.Generator().manual_seed(0)
    budget = token_budget(plain_of(network), options, learned=sum(p.numel() for p in masters.live.values()))
    used, tokens = [], 0
    for step in range(steps):
        rows = []
        for _ in range(case.rows):
            ids = torch.randint(5, 8000, (case.length,), generator=draw).tolist()
            rows.append(pack([TrainingRow(ids=tuple(ids), start=case.length - ANSWER)]))
        began = time.process_time()
        for part in micro_batches(rows, budget):
            (loss_of(network, part) / (case.rows * ANSWER)).backward()
            masters.collect()
        masters.update(1.0)
        # the first step chooses kernels
        used += [time.process_time() - began] if step else []
        tokens = sum(len(row.ids) for row in rows)
        gc.collect()
    return {
        "peak_mib": peak_mib() - before - mapped,
        "seconds": min(used) / tokens,
        "budget": float(budget),
        "dtype": float(options.dtype == "bf16"),
    }


def predicted(model: Path, case: Case) -> tuple[float, float, list[float]]:
    """MiB, operations a token, and the further terms of its time: 10⁹ bytes or weights a token."""
    from twofold.training import sizing
    from twofold.training.options import KINDS

    options = KINDS[case.method].model_validate(case.options)
    of, tokens, answers = sizing.shape(str(model)), case.rows * case.length, ANSWER / case.length
    steps = sizing.Steps(longest=case.length, tokens=tokens, answers=answers)
    again = options.checkpointing == "on"
    need = sizing.memory(of, options, steps, room=options.memory_gib, beside=PROCESS / 1024)
    work = sizing.operations(of, options, length=case.length / 2, answers=answers, again=again)
    width, passes = 2 if options.dtype == "bf16" else 4, 3 if again else 2
    values = sizing.activation_bytes(hidden=of.hidden, inner=of.inner, layers=of.layers, width=width)
    terms = [
        values * passes,
        sizing.LEARNED * sizing.learned(of, options) / tokens,
        of.layers * of.block * passes / tokens if case.method == "qlora" else 0.0,
        answers * of.vocabulary * (width + 12),
    ]
    return need.total * 1024, work, [term / 1e9 for term in terms]


def left_out(terms: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Predicted / measured - 1 of each, by the fit of non-negative parts to all others (least squares of ratios)."""
    import numpy as np
    from scipy.optimize import nnls

    each, took = np.array(terms), np.array(seconds)
    errors = []
    for place in range(len(took)):
        others = np.arange(len(took)) != place
        parts, _ = nnls(each[others] / took[others, None], np.ones(len(took) - 1))
        errors.append(float(each[place] @ parts / took[place] - 1))
    return errors


def main() -> None:
    """Measure each configuration, and print the errors of the predictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES), help="the first sets the share")
    parser.add_argument("--case", help="measure this one, here")
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measured(options.model, CASES[options.case], options.steps, options.threads)))
        return
    from twofold.models import hub
    from twofold.training.speed import gflops

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        share = 0.0
        for name in options.cases:
            case = CASES[name]
            place = hub.pull("smollm2-135m-instruct")
            if case.model in SHAPES:
                place = Path(folder) / case.model
                if not place.exists():
                    random_model(case.model, place)
            command = [sys.executable, __file__, "--case", name, "--model", str(place)]
            command += ["--steps", str(options.steps), "--threads", str(options.threads)]
            peak = gflops()["gflops"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seen = json.loads(done.stdout.splitlines()[-1])
            mib, work, terms = predicted(place, case)
            pace = peak["bf16" if seen["dtype"] else "f32"] * 1e9
            reached = work / seen["seconds"] / pace
            share = share or reached
            rows.append(
                {
                    "case": name,
                    "peak_mib": round(seen["peak_mib"]),
                    "predicted_mib": round(mib),
                    "memory_error": mib / seen["peak_mib"] - 1,
                    "tokens_per_second": 1 / seen["seconds"],
                    "share_of_peak": reached,
                    "time_error": reached / share - 1,
                    "gflops": pace / 1e9,
                    "budget": seen["budget"],
                    "terms": [work / pace, *terms],
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr)
    law = left_out([row["terms"] for row in rows], [1 / row["tokens_per_second"] for row in rows])
    for row, error in zip(rows, law if len(rows) > len(rows[0]["terms"]) + 1 else [math.nan] * len(rows), strict=True):
        row["law_error"] = error
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(
        "| training | peak MiB | predicted | error | tokens/s | share of peak | error by the share |"
        " by the law, left out |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['case']} | {row['peak_mib']} | {row['predicted_mib']} | {row['memory_error']:+.0%} | "
            f"{row['tokens_per_second']:.0f} | {row['share_of_peak']:.2f} | {row['time_error']:+.0%} | "
            f"{row['law_error']:+.0%} |"
        )


if __name__ == "__main__":
    main()
