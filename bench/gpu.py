"""What training and answering reach on this machine's GPU, beside what the arithmetic of `tune --plan --size` says.

    python bench/gpu.py [--model smollm2-135m-instruct] [--steps 6] [--out gpu]

Ten minutes with the embedded model. Writes ``gpu.json`` and ``gpu.md``, a row for docs/how-to/scale-training.md:

- learning: tokens a second, peak memory (and what was predicted) and share of the peak for lora, qlora and full, plain,
  with activations computed again, and compiled;
- the same steps on the CPU in f32: how far the losses of the first steps are from each other;
- answers: tokens a second of 1, 16 and 64 prompts at a time, in transformers;
- 4-bit weights by the kernel of bitsandbytes and by torch: are they the same, and which is quicker.

Where there is no GPU it does the same steps on the CPU with a tiny model and on torch's `meta` device, says that
nothing was run on a GPU, and exits with 3.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS, LENGTH, ANSWER = 8, 512, 64
"""Rows of a step, their tokens, and those of their answers."""
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("lora", "lora", {}),
    ("lora, checkpointing", "lora", {"checkpointing": "on"}),
    ("lora, compiled", "lora", {"compile": True}),
    ("qlora", "qlora", {}),
    ("full", "full", {}),
)
SIDES = ("lora", "full")
"""Methods whose losses are compared with those of the CPU."""
SINGLE = (1, 16, 64)
"""Prompts answered at a time."""
NEW = 64
"""Tokens of an answer."""


def tiny(directory: Path) -> None:
    """A random model that a CPU trains in a second."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=8192, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(directory)


def packs_of(step: int, *, together: bool = False) -> list[Any]:
    """The rows of a step, the same everywhere; `together`: in one pack, for which no value is looked at on the way."""
    import torch

    from twofold.training.packing import TrainingRow, pack

    draw = torch.Generator().manual_seed(step)
    rows = []
    for _ in range(ROWS):
        ids = torch.randint(5, 8000, (LENGTH,), generator=draw).tolist()
        rows.append(TrainingRow(ids=tuple(ids), start=LENGTH - ANSWER))
    return [pack(rows)] if together else [pack([row]) for row in rows]


@contextlib.contextmanager
def on(device: str) -> Iterator[None]:
    """Let training use this device."""
    from twofold.training.worker import methods

    former = methods.device
    methods.device = lambda: device
    try:
        yield
    finally:
        methods.device = former


def train(model: Path, options: Any, *, steps: int, device: str) -> dict[str, Any]:
    """Train some steps as the loop does."""
    import torch

    from twofold.models import adapter_layers
    from twofold.training.packing import micro_batches
    from twofold.training.sizing import MOST
    from twofold.training.worker import devices, methods
    from twofold.training.worker.network import Masters, loss_of, plain_of

    with on(device):
        network = methods.adapted(model, options, None, seed=0)  # type: ignore[arg-type]
    if options.checkpointing == "on":
        plain_of(network).gradient_checkpointing_enable({"use_reentrant": False})
    if options.compile:
        for layer in adapter_layers.layers_of(plain_of(network)):
            layer.compile(dynamic=True)
    network.train()
    masters = Masters(network, options)
    losses, seconds = [], []
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for step in range(steps):
        packs = packs_of(step, together=device == "meta")
        devices.wait()
        began, total = time.perf_counter(), 0.0
        for part in micro_batches(packs, MOST):
            loss = loss_of(network, part)
            (loss / (ROWS * ANSWER)).backward()
            masters.collect()
            total += 0.0 if device == "meta" else float(loss.detach())
        masters.update(1.0)
        devices.wait()
        seconds.append(time.perf_counter() - began)
        losses.append(total / (ROWS * ANSWER))
    # The first two choose kernels, or compile.
    pace = min(seconds[2:] or seconds)
    outcome = {
        "tokens_per_second": ROWS * (LENGTH - 1) / pace,
        "first_seconds": seconds[0],
        "losses": losses,
        "peak_gib": devices.peak_mib() / 1024,
    }
    del network, masters
    gc.collect()
    devices.free()
    return outcome


def predicted(model: Path, options: Any, room: float) -> tuple[float, float]:
    """GiB, and operations of a token."""
    from twofold.training import sizing

    of = sizing.shape(str(model))
    steps = sizing.Steps(longest=LENGTH, tokens=ROWS * LENGTH, answers=ANSWER / LENGTH)
    need = sizing.memory(of, options, steps, room=room, beside=0.0)
    again = options.checkpointing == "on"
    return need.total, sizing.operations(of, options, length=LENGTH / 2, answers=ANSWER / LENGTH, again=again)


def answer(model: Path) -> dict[str, float]:
    """Tokens a second, written by so many prompts at a time."""
    import torch

    from twofold.models import adapter_layers
    from twofold.training.worker import devices

    network = adapter_layers.open_model(model, dtype="bf16").to("cuda").eval()
    rates = {}
    for count in SINGLE:
        ids = torch.randint(5, 8000, (count, LENGTH), generator=torch.Generator().manual_seed(0)).to("cuda")
        for _ in range(2):  # the first one chooses kernels
            devices.wait()
            began = time.perf_counter()
            network.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                do_sample=False,
                pad_token_id=0,
            )
            devices.wait()
            rates[str(count)] = count * NEW / (time.perf_counter() - began)
    return rates


def four_bits() -> dict[str, Any]:
    """4-bit weights of a large layer by bitsandbytes and by torch."""
    import torch

    from twofold.models import adapter_layers
    from twofold.training.worker import devices

    class Block(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4096, 14336, bias=False, dtype=torch.bfloat16, device="cuda")

        def get_output_embeddings(self) -> None:
            return None

    block = Block()
    adapter_layers.round_to_nf4(block)
    weight = block.layer.parametrizations.weight
    packed, scale, values = weight.original0, weight.original1, weight[0].values
    places = torch.stack([packed >> 4, packed & 15], dim=-1).reshape(len(packed), adapter_layers.BLOCK)
    by_torch = (values[places.int()] * scale).to(torch.bfloat16).flatten()
    by_kernel = adapter_layers.nf4_by_kernel(packed, scale, values, dtype=torch.bfloat16).flatten()
    devices.wait()
    began = time.perf_counter()
    for _ in range(10):
        adapter_layers.nf4_by_kernel(packed, scale, values, dtype=torch.bfloat16)
    devices.wait()
    return {"same": bool(torch.equal(by_torch, by_kernel)), "kernel_ms": (time.perf_counter() - began) * 100}


def peak_tflops() -> float:
    """The fastest bf16 product of matrices here."""
    import torch

    from twofold.training.worker import devices

    factor, best = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda"), 0.0
    for _ in range(10):
        devices.wait()
        began = time.perf_counter()
        factor @ factor
        devices.wait()
        best = max(best, 2 * 8192**3 / (time.perf_counter() - began) / 1e12)
    return best


def without_gpu(folder: Path) -> list[str]:
    """What can be checked on any machine; returns what was."""
    from twofold.training import sizing
    from twofold.training.options import KINDS

    tiny(folder)
    done = []
    for name, method, more in CASES:
        if more.get("compile"):
            continue  # torch needs a compiler for it, which not every machine has
        options = KINDS[method].model_validate({"dtype": "bf16", **more})
        losses = train(folder, options, steps=2, device="cpu")["losses"]
        train(folder, options, steps=1, device="meta")
        done.append(f"{name}: two steps on the CPU (losses {losses[0]:.3f}, {losses[1]:.3f}), one on `meta`")
    for gpu in sizing.GPUS.values():
        predicted(folder, KINDS["lora"].model_validate({"dtype": "bf16"}), gpu.memory * sizing.USABLE)
    return [*done, f"predictions for {len(sizing.GPUS)} GPUs"]


def with_gpu(model: Path, *, steps: int) -> dict[str, Any]:
    """All that `main` writes."""
    import torch

    from twofold.training import sizing
    from twofold.training.options import KINDS

    name, room = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1] / 2**30 * sizing.USABLE
    known = next((gpu for key, gpu in sizing.GPUS.items() if key in name.lower()), None)
    report: dict[str, Any] = {"gpu": name, "torch": torch.__version__, "cuda": torch.version.cuda, "model": model.name}
    report |= {"tflops": peak_tflops(), "listed_tflops": known.tflops if known else None, "training": []}
    for case, method, more in CASES:
        options = KINDS[method].model_validate({"dtype": "bf16", **more})
        row: dict[str, Any] = {"case": case}
        try:
            row |= train(model, options, steps=steps, device="cuda")
            gib, work = predicted(model, options, room)
            row |= {"predicted_gib": gib, "memory_error": gib / row["peak_gib"] - 1}
            row["share_of_peak"] = (
                work * row["tokens_per_second"] / (report["listed_tflops"] or report["tflops"]) / 1e12
            )
        except Exception as error:  # one case that fails must not take the figures of the others
            row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        report["training"].append(row)
        print(json.dumps(row), file=sys.stderr)
    report["agreement"] = {}
    for method in SIDES:
        exact = KINDS[method].model_validate({"dtype": "f32"})
        sides = [train(model, exact, steps=3, device=device)["losses"] for device in ("cpu", "cuda")]
        report["agreement"][method] = max(abs(a / b - 1) for a, b in zip(*sides, strict=True))
    report["answers"] = answer(model)
    report["four_bits"] = four_bits() if importlib.util.find_spec("bitsandbytes") else "bitsandbytes is not installed"
    return report


def main() -> int:
    """Measure, or say that nothing was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a model's name, as in twofold.toml")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--out", default="gpu", help="beginning of the names of the files")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        with tempfile.TemporaryDirectory() as folder:
            for line in without_gpu(Path(folder)):
                print(f"checked: {line}")
        print("not run here: no GPU")
        return 3
    from twofold.models import hub

    report = with_gpu(hub.pull(options.model), steps=options.steps)
    Path(f"{options.out}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    lines = ["| GPU | training | tokens/s | peak GiB | predicted | share of peak |", "|---|---|---|---|---|---|"]
    for row in report["training"]:
        if "error" in row:
            lines.append(f"| {report['gpu']} | {row['case']} | {row['error']} | | | |")
            continue
        lines.append(
            f"| {report['gpu']} | {row['case']} | {row['tokens_per_second']:.0f} | {row['peak_gib']:.2f} | "
            f"{row['predicted_gib']:.2f} | {row['share_of_peak']:.3f} |"
        )
    Path(f"{options.out}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(json.dumps({name: report[name] for name in ("agreement", "answers", "four_bits")}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
