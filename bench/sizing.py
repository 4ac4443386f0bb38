"""How far the arithmetic of `tune --plan --size` is off, on trainings that can be run here.

    python bench/sizing.py [--steps 4] [--threads 1] [--cases NAME…] [--json FILE]

Each configuration is a process of its own that trains some steps. Memory is the process's peak beside that of one that
has only imported the same packages. Time is the processor's seconds of the steps (one thread, so that other work on the
machine counts little), as a share of what the fastest product of matrices here takes. The first configuration says what
share of that pace training reaches; the others are predicted with it.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS, LENGTH, ANSWER = 4, 256, 32
"""Rows of a step, their tokens, and those of their answers."""
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "135M lora r16": ("smollm2-135m-instruct", "lora", {}),
    "135M lora r64": ("smollm2-135m-instruct", "lora", {"rank": 64}),
    "135M lora, checkpointing": ("smollm2-135m-instruct", "lora", {"checkpointing": "on"}),
    "135M full": ("smollm2-135m-instruct", "full", {}),
    "135M qlora r16": ("smollm2-135m-instruct", "qlora", {}),
    "26M lora r16": ("", "lora", {}),
    "26M full": ("", "full", {}),
}
SMALL = {"num_hidden_layers": 6, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}


def small(directory: Path) -> None:
    """A random model of 26 million weights, with the embedded model's words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=49152, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(directory)


def measured(model: Path, method: str, more: dict[str, Any], steps: int, threads: int) -> dict[str, float]:
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

    before = peak_mib()
    options = KINDS[method].model_validate(more)
    network = methods.adapted(model, options, None, seed=0)
    if options.checkpointing == "on":
        plain_of(network).gradient_checkpointing_enable({"use_reentrant": False})
    network.train()
    masters = Masters(network, options)
    draw = torch.Generator().manual_seed(0)
    budget = token_budget(plain_of(network), options, learned=sum(p.numel() for p in masters.live.values()))
    used, tokens = [], 0
    for step in range(steps):
        rows = []
        for _ in range(ROWS):
            ids = torch.randint(5, 8000, (LENGTH,), generator=draw).tolist()
            rows.append(pack([TrainingRow(ids=tuple(ids), start=LENGTH - ANSWER)]))
        began = time.process_time()
        for part in micro_batches(rows, budget):
            (loss_of(network, part) / (ROWS * ANSWER)).backward()
            masters.collect()
        masters.update(1.0)
        # the first step chooses kernels
        used += [time.process_time() - began] if step else []
        tokens = sum(len(row.ids) for row in rows)
        gc.collect()
    return {
        "peak_mib": peak_mib() - before,
        "seconds": min(used) / tokens,
        "budget": float(budget),
        "dtype": float(options.dtype == "bf16"),
    }


def predicted(model: Path, method: str, more: dict[str, Any]) -> tuple[float, float]:
    """MiB, and operations a token."""
    from twofold.training import sizing
    from twofold.training.options import KINDS

    options = KINDS[method].model_validate(more)
    of = sizing.shape(str(model))
    steps = sizing.Steps(longest=LENGTH, tokens=ROWS * LENGTH, answers=ANSWER / LENGTH)
    need = sizing.memory(of, options, steps, room=options.memory_gib, beside=0.0)
    work = sizing.operations(
        of, options, length=LENGTH / 2, answers=ANSWER / LENGTH, again=options.checkpointing == "on"
    )
    return need.total * 1024, work


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
        _, method, more = CASES[options.case]
        print(json.dumps(measured(options.model, method, more, options.steps, options.threads)))
        return
    from twofold.models import hub
    from twofold.training.speed import gflops

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        small(Path(folder))
        share = 0.0
        for name in options.cases:
            model, method, more = CASES[name]
            place = hub.pull(model) if model else Path(folder)
            command = [sys.executable, __file__, "--case", name, "--model", str(place)]
            command += ["--steps", str(options.steps), "--threads", str(options.threads)]
            peak = gflops()["gflops"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seen = json.loads(done.stdout.splitlines()[-1])
            mib, work = predicted(place, method, more)
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
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print("| training | peak MiB | predicted | error | tokens/s | share of peak | error of time |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['case']} | {row['peak_mib']} | {row['predicted_mib']} | {row['memory_error']:+.0%} | "
            f"{row['tokens_per_second']:.0f} | {row['share_of_peak']:.2f} | {row['time_error']:+.0%} |"
        )


if __name__ == "__main__":
    main()
