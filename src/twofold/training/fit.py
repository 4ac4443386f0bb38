"""The training loop (heavy leaf; runs in the child process).

What makes it fast on a CPU: rows of a step are bucketed by length and right-padded, so causal attention needs no mask;
logits are computed at completion positions only (the vocabulary projection is a fifth of a small model's work); LoRA
weights are kept in the model's own dtype, so no matmul casts, with float32 master copies in the optimiser, so small
updates are not rounded away. Memory is bounded by the micro-batch, whose size follows from `memory_gib`.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twofold import plugins, prompts
from twofold.errors import LossStuck, NothingToLearn, TrainingError
from twofold.plugins import Progress, TrainerJob
from twofold.store import models
from twofold.training.batching import micro_batches, steps_of_epoch
from twofold.training.encoding import Encoder, Row
from twofold.training.lora import LoraOptions
from twofold.types import Completion, DevItem, Json, Pair

_POINTS = 40
"""Points of the loss curve."""


@dataclass
class State:
    """Everything a resumed run needs beside weights and optimiser."""

    step: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    tokens: int = 0
    losses: list[float] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    dev_loss: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best: tuple[float, float] = (-1.0, -math.inf)
    since_best: int = 0


def fit(job: TrainerJob, options: LoraOptions, directory: Path, *, progress: Progress) -> Json:
    """Train the job's adapter and leave it in `directory` with ``training.json``.

    Raises:
        NothingToLearn: a row has no completion token.
        LossStuck: the loss did not move.
        TrainingError: the loss is not a number.
    """
    import torch

    began = time.perf_counter()
    if options.threads:
        torch.set_num_threads(options.threads)
    source = models.locate(job.model)
    encoder = Encoder(source)
    variants = [[encoder.row(pair, options.max_length) for pair in rows] for rows in job.rows]
    if not variants or not variants[0]:
        raise NothingToLearn("there are no training rows")
    plan = schedule(len(variants[0]), options, seed=job.seed)
    network = adapted(source, options, seed=job.seed)
    weights = {name: p for name, p in network.named_parameters() if p.requires_grad}
    masters = {name: p.detach().float().clone().requires_grad_(True) for name, p in weights.items()}
    optimiser = torch.optim.AdamW(
        masters.values(), lr=options.learning_rate, betas=(0.9, 0.999), weight_decay=options.weight_decay
    )
    budget = token_budget(network.config, options)
    state = State()
    _restore(directory, state, masters, optimiser)
    _publish(masters, weights)
    dev = _dev_rows(job, encoder, options)
    marks = {max(1, round(len(plan) * (i + 1) / options.evaluations)) for i in range(options.evaluations)}
    stopped, saved = "epochs", time.perf_counter()
    earlier = state.seconds
    started_step = state.step
    while state.step < len(plan):
        epoch, members = plan[state.step]
        rows = variants[epoch % len(variants)]
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * pace(state.step, len(plan), options.warmup)
        tick = time.perf_counter()
        loss = step(network, rows, members, budget=budget)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is not a number at step {state.step}",
                cure="Lower [tuning.trainer.options].learning_rate; the last checkpoint is kept.",
            )
        update(weights, masters, optimiser, clip=options.clip)
        state.step += 1
        state.losses.append(loss)
        state.tokens += sum(len(rows[r].ids) for r in members)
        state.training_seconds += time.perf_counter() - tick
        progress("train", state.step, len(plan))
        state.seconds = earlier + time.perf_counter() - began
        late = options.minutes and state.seconds > options.minutes * 60
        if state.step in marks or state.step == len(plan) or late:
            better = _evaluate(network, encoder, job, dev, state, options, budget=budget, progress=progress)
            if better:
                _save(directory / "best.pt", {name: p.detach().to(weights[name].dtype) for name, p in masters.items()})
            state.seconds = earlier + time.perf_counter() - began
            _checkpoint(directory, state, masters, optimiser)
            saved = time.perf_counter()
        elif time.perf_counter() - saved > options.checkpoint_seconds:
            _checkpoint(directory, state, masters, optimiser)
            saved = time.perf_counter()
        if late:
            stopped = "minutes"
            break
        if state.since_best >= options.patience:
            stopped = "patience"
            break
    moved(state.losses)
    return _finish(directory, network, weights, state, plan, stopped=stopped, resumed_at=started_step, rows=variants[0])


def schedule(rows: int, options: LoraOptions, *, seed: int) -> list[tuple[int, list[int]]]:
    """(epoch, row numbers) of every step; a fraction of an epoch is its first steps."""
    plan: list[tuple[int, list[int]]] = []
    whole = math.ceil(options.epochs)
    for epoch in range(whole):
        steps = steps_of_epoch(rows, options.batch, seed=seed, epoch=epoch)
        share = options.epochs - epoch
        plan += [(epoch, members) for members in steps[: max(1, round(len(steps) * min(1.0, share)))]]
    return plan


def pace(step: int, total: int, warmup: float) -> float:
    """Learning-rate factor: linear warm-up, then linear decay to zero."""
    rise = max(1, round(total * warmup))
    return (step + 1) / rise if step < rise else (total - step) / max(1, total - rise)


def adapted(source: Path, options: LoraOptions, *, seed: int) -> Any:
    """The base model with fresh LoRA layers in the model's own dtype."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    network = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, attn_implementation="sdpa")
    network.config.use_cache = False
    depth = network.config.num_hidden_layers
    upper = list(range(depth - options.layers, depth)) if options.layers else None
    torch.manual_seed(seed)
    recipe = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.targets),
        layers_to_transform=upper,
    )
    made = get_peft_model(network, recipe, autocast_adapter_dtype=False)
    made.train()
    return made


def token_budget(config: Any, options: LoraOptions) -> int:
    """Padded tokens of a micro-batch that keep the peak under `memory_gib`.

    Activations kept for the backward pass are about (18 h + 7 m) values a token and layer (h hidden, m intermediate
    size; measured, see docs/notebook.md), beside the weights and 1.2 GiB for libraries and buffers.
    """
    width = 2 if options.dtype == "bf16" else 4
    layers = options.layers or config.num_hidden_layers
    per_token = layers * (18 * config.hidden_size + 7 * config.intermediate_size) * width
    weights = width * (
        config.vocab_size * config.hidden_size
        + config.num_hidden_layers * (4 * config.hidden_size**2 + 3 * config.hidden_size * config.intermediate_size)
    )
    room = options.memory_gib * 2**30 - weights - 1.2 * 2**30
    return int(max(256, min(4096, room / per_token)))


def completion_loss(network: Any, rows: Sequence[Row], members: Sequence[int]) -> tuple[Any, int]:
    """Summed cross-entropy over the completion tokens of one micro-batch, and their number.

    Rows are right-padded: with causal attention no real token sees a padded one, so there is no mask to make.
    """
    import torch
    from torch.nn import functional

    longest = max(len(rows[r].ids) for r in members)
    ids = torch.zeros(len(members), longest - 1, dtype=torch.long)
    where: list[tuple[int, int]] = []
    wanted: list[int] = []
    for place, r in enumerate(members):
        row = rows[r]
        ids[place, : len(row.ids) - 1] = torch.tensor(row.ids[:-1])
        for position in range(row.start, len(row.ids)):
            where.append((place, position - 1))
            wanted.append(row.ids[position])
    plain = network.get_base_model()
    hidden = plain.base_model(input_ids=ids, use_cache=False).last_hidden_state
    picked = hidden[[p for p, _ in where], [t for _, t in where]]
    logits = plain.lm_head(picked).float()
    return functional.cross_entropy(logits, torch.tensor(wanted), reduction="sum"), len(wanted)


def step(network: Any, rows: Sequence[Row], members: Sequence[int], *, budget: int) -> float:
    """Forward and backward over one step's rows; returns the mean loss of a completion token."""
    total = sum(len(rows[r].ids) - rows[r].start for r in members)
    spent = 0.0
    for part in micro_batches(members, [len(row.ids) for row in rows], budget):
        loss, _ = completion_loss(network, rows, part)
        (loss / total).backward()
        spent += float(loss.detach())
    return spent / total


def update(weights: dict[str, Any], masters: dict[str, Any], optimiser: Any, *, clip: float) -> None:
    """Clip, step the float32 masters, and copy them back into the model's weights."""
    import torch

    for name, live in weights.items():
        masters[name].grad = live.grad.float() if live.grad is not None else None
        live.grad = None
    torch.nn.utils.clip_grad_norm_(list(masters.values()), clip)
    optimiser.step()
    _publish(masters, weights)


def moved(losses: Sequence[float]) -> None:
    """Refuse a run whose loss did not fall.

    Raises:
        LossStuck: the last tenth of the losses is not at least 1 % below the first.
    """
    if len(losses) < 4:
        return
    part = max(1, len(losses) // 10)
    first, last = sum(losses[:part]) / part, sum(losses[-part:]) / part
    if not last < first * 0.99:
        raise LossStuck(f"the loss did not move: {first:.4f} at the start, {last:.4f} at the end")


# ---------------------------------------------------------------- the dev split


def _dev_rows(job: TrainerJob, encoder: Encoder, options: LoraOptions) -> list[tuple[DevItem, Row]]:
    rows = []
    for item in job.dev[: options.dev_items]:
        number = next(
            (n for n, hit in enumerate(item.hits, 1) if hit.chunk.span.document in item.example.sources), None
        )
        text = item.example.references[0] if item.example.references else job.template.abstention
        wanted = prompts.completion_text(
            text, template=job.template, number=number if item.example.answerable else None
        )
        rows.append((item, encoder.row(Pair(messages=item.prompt.messages, completion=wanted), options.max_length)))
    return rows


def _evaluate(
    network: Any,
    encoder: Encoder,
    job: TrainerJob,
    dev: Sequence[tuple[DevItem, Row]],
    state: State,
    options: LoraOptions,
    *,
    budget: int,
    progress: Progress,
) -> bool:
    """Score the dev split; True when it is the best so far (task metric first, dev loss among equals)."""
    import torch

    network.eval()
    metric = plugins.make("metrics", job.metric, {})
    with torch.no_grad():
        loss, count = 0.0, 0
        rows = [row for _, row in dev]
        for part in micro_batches(range(len(rows)), [len(row.ids) for row in rows], budget):
            some, tokens = completion_loss(network, rows, part)
            loss, count = loss + float(some), count + tokens
        scores: list[float] = []
        order = sorted(range(len(dev)), key=lambda i: dev[i][1].start)
        size = max(1, min(24, budget // max(1, max(row.start for row in rows))))
        for begin in range(0, len(order), size):
            items = [dev[i][0] for i in order[begin : begin + size]]
            for item, text in zip(items, generate(network, encoder, items, options), strict=True):
                hits = item.hits if item.hits else None
                answer = prompts.read(Completion(text=text), template=job.template, hits=hits)
                score = metric.score(item.example, answer)
                scores += [] if score is None else [float(score)]
            progress("score dev", min(begin + size, len(order)), len(order))
    network.train()
    mean = sum(scores) / len(scores) if scores else 0.0
    state.dev.append((state.step, mean))
    state.dev_loss.append((state.step, loss / max(1, count)))
    reached = (round(mean, 6), -loss / max(1, count))
    if reached > tuple(state.best):
        state.best, state.best_step, state.since_best = reached, state.step, 0
        return True
    state.since_best += 1
    return False


def generate(network: Any, encoder: Encoder, items: Sequence[DevItem], options: LoraOptions) -> list[str]:
    """Greedy completions of a batch of prompts, left-padded, with the unmerged adapter."""
    import torch

    prompts_ids = [encoder.prompt(item.prompt.messages)[-options.max_length :] for item in items]
    longest = max(len(ids) for ids in prompts_ids)
    batch = torch.full((len(items), longest), encoder.end, dtype=torch.long)
    mask = torch.zeros_like(batch)
    for place, ids in enumerate(prompts_ids):
        batch[place, longest - len(ids) :] = torch.tensor(ids)
        mask[place, longest - len(ids) :] = 1
    made = network.generate(
        input_ids=batch,
        attention_mask=mask,
        max_new_tokens=max(item.prompt.max_tokens for item in items),
        do_sample=False,
        use_cache=True,
        eos_token_id=encoder.end,
        pad_token_id=encoder.end,
    )
    return [encoder.decode(row[longest:].tolist()) for row in made]


# ---------------------------------------------------------------- checkpoints


def _publish(masters: dict[str, Any], weights: dict[str, Any]) -> None:
    import torch

    with torch.no_grad():
        for name, live in weights.items():
            live.copy_(masters[name])


def _save(path: Path, value: Any) -> None:
    import torch

    partial = path.with_suffix(".partial")
    torch.save(value, partial)
    partial.replace(path)


def _checkpoint(directory: Path, state: State, masters: dict[str, Any], optimiser: Any) -> None:
    import torch

    kept = {
        "state": vars(state),
        "masters": {name: p.detach() for name, p in masters.items()},
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
    }
    _save(directory / "checkpoint.pt", kept)


def _restore(directory: Path, state: State, masters: dict[str, Any], optimiser: Any) -> None:
    import torch

    path = directory / "checkpoint.pt"
    if not path.is_file():
        return
    try:
        kept = torch.load(path, weights_only=True)
        for name, value in kept["masters"].items():
            with torch.no_grad():
                masters[name].copy_(value)
        optimiser.load_state_dict(kept["optimiser"])
        torch.set_rng_state(kept["random"])
        vars(state).update(kept["state"])
    except (RuntimeError, KeyError, EOFError) as error:
        raise TrainingError(
            f"the checkpoint cannot be read: {error}", file=path, cure="Delete it and rerun: training starts again."
        ) from error


def _finish(
    directory: Path,
    network: Any,
    weights: dict[str, Any],
    state: State,
    plan: Sequence[tuple[int, list[int]]],
    *,
    stopped: str,
    resumed_at: int,
    rows: Sequence[Row],
) -> Json:
    import torch

    best = directory / "best.pt"
    if best.is_file():
        _publish(torch.load(best, weights_only=True), weights)
    network.save_pretrained(directory)
    width = max(1, math.ceil(len(state.losses) / _POINTS))
    curve = [
        (min(i + width, len(state.losses)), sum(state.losses[i : i + width]) / len(state.losses[i : i + width]))
        for i in range(0, len(state.losses), width)
    ]
    per_epoch = sum(1 for epoch, _ in plan if epoch == 0)
    report = {
        "rows": len(rows),
        "completion_tokens": sum(len(row.ids) - row.start for row in rows),
        "epochs": state.step / max(1, per_epoch),
        "steps": state.step,
        "best_step": state.best_step,
        "seconds": state.seconds,
        "training_seconds": state.training_seconds,
        "tokens": state.tokens,
        "tokens_per_second": state.tokens / max(1e-9, state.training_seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024),
        "stopped": stopped,
        "resumed_at": resumed_at,
        "loss": curve,
        "dev": state.dev,
        "dev_loss": state.dev_loss,
        "trainable": sum(p.numel() for p in weights.values()),
    }
    partial = directory / "training.partial"
    partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
    partial.replace(directory / "training.json")
    return report
