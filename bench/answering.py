"""Answering side by side: Twofold's study path, one-at-a-time `generate`, and length-sorted batches of 16. One run.

    python bench/answering.py [--questions 48] [--rounds 3]

All sides answer the same rendered prompts of the demo's `rag` arm with the same weights in bfloat16, greedily, with the
same limit of new tokens. Retrieval is outside the clock on every side. Each side is loaded and warmed up first; the
sides take turns. Prints answers per second (medians) and ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[1] / "src" / "twofold" / "demo"


def prompts_of(count: int) -> tuple[list[Any], str]:
    """Rendered prompts of the `rag` arm's test questions, and the model's name."""
    from twofold.plugins import specs
    from twofold.project import Project

    with tempfile.TemporaryDirectory() as folder, Project.create(Path(folder) / "demo", DEMO) as project:
        project.sync()
        arm = project.config.arm("rag")
        reader = project.workspace.systems.assembled(arm, generator=None, shots=())
        test = project.splits.test[:count]
        found = reader.hits(test)
        return [reader.prompt(e, h) for e, h in zip(test, found, strict=True)], specs.base_model(
            project.config, project.workspace.adapters.methods[0]
        )


def transformers_side(model: str) -> tuple[Callable[[list[Any], int], list[str]], Any]:
    """``answer(prompts, batch)`` with plain transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    from twofold.models import hub
    from twofold.training.encoding import Encoder

    source = hub.locate(model)
    encoder = Encoder(source)
    network = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16).eval()

    @torch.no_grad()
    def answer(prompts: list[Any], batch: int) -> list[str]:
        ids = [encoder.prompt(p.messages) for p in prompts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i])) if batch > 1 else list(range(len(ids)))
        texts = [""] * len(ids)
        for begin in range(0, len(order), batch):
            members = order[begin : begin + batch]
            longest = max(len(ids[m]) for m in members)
            padded = torch.full((len(members), longest), encoder.end)
            mask = torch.zeros_like(padded)
            for place, m in enumerate(members):
                padded[place, longest - len(ids[m]) :] = torch.tensor(ids[m])
                mask[place, longest - len(ids[m]) :] = 1
            out = network.generate(
                input_ids=padded,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=prompts[members[0]].max_tokens,
                eos_token_id=encoder.end,
                pad_token_id=encoder.end,
            )
            for row, m in zip(out, members, strict=True):
                texts[m] = encoder.decode(row[longest:].tolist())
        return texts

    return answer, encoder


def main() -> None:
    """Measure the three sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    prompts, model = prompts_of(given.questions)
    from twofold.plugins import loading

    # The prefix cache is emptied between rounds by closing the generator, so that no round reads what another computed.
    plain, _ = transformers_side(model)
    plain(prompts[:2], 1)
    seconds: dict[str, list[float]] = {"twofold": [], "one at a time": [], "sorted batches of 16": []}
    for number in range(given.rounds):
        generator = loading.make("generators", "local", {"model": model})
        generator.generate([prompts[0].__class__(messages=prompts[0].messages[-1:], max_tokens=4)])
        sides: dict[str, Callable[[], Any]] = {
            "twofold": lambda g=generator: g.generate(prompts),
            "one at a time": lambda: plain(prompts, 1),
            "sorted batches of 16": lambda: plain(prompts, 16),
        }
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
            print(f"round {number + 1} {name}: {seconds[name][-1]:.1f} s", file=sys.stderr)
        generator.close()
    rate = {name: len(prompts) / statistics.median(times) for name, times in seconds.items()}
    ratios = {
        name: statistics.median(t / own for t, own in zip(times, seconds["twofold"], strict=True))
        for name, times in seconds.items()
        if name != "twofold"
    }
    print(json.dumps({"answers_per_second": rate, "twofold_over": ratios, "questions": len(prompts),
                      "rounds": given.rounds}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
