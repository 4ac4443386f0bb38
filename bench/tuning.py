"""Tuning side by side: Twofold's loop and a padded PEFT loop, same rows, same hyper-parameters, one run.

    python bench/tuning.py [--rows 48] [--epochs 2] [--rounds 3] [--batch 4]

Every measurement is a process of its own; the two sides take turns, A B A B, with another seed each round. Both follow
one plan of steps, the same rows in the same step, so that they should end at the same loss. Tokens are those of the
rows as they are (prompt and completion, each row its own prompt), so that reading shared passages once shows up as
speed, not as work. Prints medians, ratios, the final dev loss of both and the peak memory of both. The default batch is
what the padded loop survives: with Twofold's own 24 rows it was killed for memory at 24 GiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[1] / "src" / "twofold" / "demo"


def job_of(rows: int) -> Any:
    """The demo's open-book job, cut to `rows` rows and 24 dev items."""
    from twofold.project import Project

    with tempfile.TemporaryDirectory() as folder:
        with Project.create(Path(folder) / "demo", DEMO) as project:
            project.sync()
            job = project.workspace.adapters.job(project.config.arm("ft+rag"), project.splits)
        return job.model_copy(update={"rows": tuple(v[:rows] for v in job.rows[:1]), "dev": job.dev[:24]})


def ours(job: Any, options: Any) -> dict[str, float]:
    """Twofold's loop, without the dev generations that the padded loop does not do either."""
    from twofold.models import hub
    from twofold.training.encoding import Encoder
    from twofold.training.schedule import pace
    from twofold.training.worker import loop
    from twofold.training.worker.distributed import Crew
    from twofold.training.worker.methods import adapted
    from twofold.training.worker.state import bundles_of

    source = hub.locate(job.model)
    encoder = Encoder(source)
    network = adapted(source, options, encoder, seed=job.seed)
    run = loop._prepared(job, options, Path(), encoder=encoder, network=network, crew=Crew(), progress=lambda *_: None)
    network.train()
    started, tokens = time.perf_counter(), 0
    for number, (_, members) in enumerate(run.plan):
        factor = pace(number, len(run.plan), options.warmup)
        loop.take_step(run, bundles_of(run, 0, members), factor=factor)
        tokens += sum(len(row.ids) for m in members for row in run.variants[0][m])
    seconds = time.perf_counter() - started
    return {"tokens_per_second": tokens / seconds, "dev_loss": dev_loss(network, encoder, job, options)}


def padded(job: Any, options: Any) -> dict[str, float]:
    """The usual loop: PEFT as it comes, batches padded to their longest row, logits for every token."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from twofold.models import hub
    from twofold.training.encoding import Encoder
    from twofold.training.packing import groups_of
    from twofold.training.schedule import pace, schedule
    from twofold.training.worker.methods import linear_names

    source = hub.locate(job.model)
    encoder = Encoder(source)
    rows = [encoder.row(pair, options.max_length) for pair in job.rows[0]]
    torch.manual_seed(job.seed)
    base = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16 if options.dtype == "bf16" else torch.float32
    )
    network = get_peft_model(
        base,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=0.0,
            target_modules=linear_names(base),
        ),
    )
    weights = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    groups = groups_of(rows)
    plan = schedule([[len(group) for group in groups]], options, seed=job.seed)
    steps = [[row for m in members for row in groups[m]] for _, members in plan]
    network.train()
    started, tokens = time.perf_counter(), 0
    for number, members in enumerate(steps):
        longest = max(len(rows[r].ids) for r in members)
        ids = torch.full((len(members), longest), encoder.end)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for place, r in enumerate(members):
            row = rows[r]
            ids[place, : len(row.ids)] = torch.tensor(row.ids)
            mask[place, : len(row.ids)] = 1
            labels[place, row.start : len(row.ids)] = torch.tensor(row.ids[row.start :])
            tokens += len(row.ids)
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * pace(number, len(steps), options.warmup)
        network(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, options.clip)
        optimiser.step()
        optimiser.zero_grad()
    seconds = time.perf_counter() - started
    return {"tokens_per_second": tokens / seconds, "dev_loss": dev_loss(network, encoder, job, options)}


def dev_loss(network: Any, encoder: Any, job: Any, options: Any) -> float:
    """Mean cross-entropy of the dev split's completion tokens, the same code for both sides."""
    import torch

    from twofold.training.packing import pack
    from twofold.training.worker.network import loss_of
    from twofold.training.worker.scoring import dev_rows

    network.eval()
    packs = [pack([row]) for _, row in dev_rows(job, encoder, options, virtual=0)]
    with torch.no_grad():
        return sum(float(loss_of(network, [one])) for one in packs) / sum(len(one.targets) for one in packs)


def main() -> None:
    """Measure both sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", choices=("ours", "padded"))
    parser.add_argument("--job", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.side:
        from twofold.plugins.jobs import TrainerJob
        from twofold.training.options import LoraOptions

        job = TrainerJob.model_validate_json(given.job.read_text(encoding="utf-8"))
        job = job.model_copy(update={"seed": given.seed})
        options = LoraOptions(epochs=given.epochs, batch=given.batch)
        result = {"ours": ours, "padded": padded}[given.side](job, options)
        result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "padded": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(job_of(given.rows).model_dump_json(), encoding="utf-8")
        for number in range(given.rounds):
            for side, results in found.items():
                command = [sys.executable, __file__, "--side", side, "--job", str(path), "--epochs", str(given.epochs)]
                command += ["--batch", str(given.batch), "--seed", str(number)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                results.append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {number + 1} {side}: {results[-1]}", file=sys.stderr)
    table = {side: {key: statistics.median(r[key] for r in rs) for key in rs[0]} for side, rs in found.items()}
    speed = [
        a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(found["ours"], found["padded"], strict=True)
    ]
    out = {
        **table,
        "speed_ratio": {"median": statistics.median(speed), "low": min(speed), "high": max(speed)},
        "dev_loss_ratio": statistics.median(
            a["dev_loss"] / b["dev_loss"] for a, b in zip(found["ours"], found["padded"], strict=True)
        ),
        "memory_ratio": table["ours"]["peak_mib"] / table["padded"]["peak_mib"],
        "rows": given.rows,
        "epochs": given.epochs,
        "batch": given.batch,
        "rounds": given.rounds,
    }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
