"""The training loop (heavy leaf; runs in the child process).

What makes it fast on a CPU: passages shared by several rows are read once (`packing`), logits are computed at
completion positions only (the vocabulary projection is a fifth of a small model's work), LoRA layers neither cast nor
copy (`network`), and micro-batches are bucketed by length. Memory is bounded by the micro-batch, whose size follows
from `memory_gib`. Batch order and rows are functions of (seed, epoch): the step number recovers both on resume.
"""

from __future__ import annotations

import json
import math
import pickle
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twofold import plugins, prompts
from twofold.errors import LossStuck, NothingToLearn, TrainingError
from twofold.jobs import TrainerJob
from twofold.plugins import Progress
from twofold.store import models
from twofold.training.encoding import Encoder
from twofold.training.lora import LoraOptions
from twofold.training.network import Masters, adapted, loss_of
from twofold.training.packing import Pack, Row, groups_of, micro_batches, pack, steps_of_epoch
from twofold.types import Completion, DevItem, Json, Pair

_POINTS = 40
"""Points of the loss curve."""
_SETTLING = 4
"""Steps whose pace tells how many fit into `minutes`."""


@dataclass
class State:
    """Everything a resumed run needs beside weights and optimiser."""

    step: int = 0
    planned: int = 0
    """Steps in all: those of the epochs, or fewer when `minutes` allow no more; settled after `_SETTLING` steps."""
    seconds: float = 0.0
    training_seconds: float = 0.0
    tokens: int = 0
    """Tokens read."""
    row_tokens: int = 0
    """Tokens the same rows hold when each repeats its prefix."""
    losses: list[float] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    dev_loss: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best: tuple[float, float] = (-1.0, -math.inf)
    since_best: int = 0


@dataclass
class Run:
    """One training run: what is trained, on what, and how far it is."""

    job: TrainerJob
    options: LoraOptions
    directory: Path
    encoder: Encoder
    network: Any
    masters: Masters
    dev: list[tuple[DevItem, Row]]
    budget: int
    progress: Progress
    state: State = field(default_factory=State)


def fit(job: TrainerJob, options: LoraOptions, directory: Path, *, progress: Progress) -> Json:
    """Train the job's adapter and leave it in `directory` with ``training.json``; resumes from a checkpoint there.

    Raises:
        NothingToLearn: a row has no completion token.
        LossStuck: the loss did not move.
        TrainingError: the loss is not a number.
    """
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    source = models.locate(job.model)
    encoder = Encoder(source)
    variants = [[encoder.row(pair, options.max_length) for pair in rows] for rows in job.rows]
    if not variants or not variants[0]:
        raise NothingToLearn("there are no training rows")
    network = adapted(source, options, seed=job.seed)
    run = Run(
        job=job,
        options=options,
        directory=directory,
        encoder=encoder,
        network=network,
        masters=Masters(network, options),
        dev=_dev_rows(job, encoder, options),
        budget=token_budget(network.config, options),
        progress=progress,
    )
    _restore(run)
    run.masters.publish()
    groups = [groups_of(rows) if options.share_prefixes else [[n] for n in range(len(rows))] for rows in variants]
    plan = schedule(groups, options, seed=job.seed)
    stopped = _loop(run, variants, groups, plan)
    moved(run.state.losses)
    return _finish(
        run, variants[0], epochs=run.state.step / max(1, sum(1 for epoch, _ in plan if epoch == 0)), stopped=stopped
    )


def _loop(
    run: Run,
    variants: Sequence[Sequence[Row]],
    groups: Sequence[Sequence[Sequence[int]]],
    plan: Sequence[tuple[int, list[int]]],
) -> str:
    """Steps until the end of the plan, of patience or of the time; returns which."""
    state, options = run.state, run.options
    began = saved = time.perf_counter()
    earlier = state.seconds
    state.planned = state.planned or len(plan)
    run.network.train()
    while state.step < state.planned:
        epoch, members = plan[state.step]
        rows = variants[epoch % len(variants)]
        chosen = [[rows[r] for r in groups[epoch % len(groups)][member]] for member in members]
        packs = [pack(group) for group in chosen]
        tick = time.perf_counter()
        factor = pace(state.step, state.planned, options.warmup)
        loss = take_step(run.network, run.masters, packs, budget=run.budget, factor=factor)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is not a number at step {state.step + 1}",
                cure="Lower [tuning.trainer.options].learning_rate; the last checkpoint is kept.",
            )
        state.step += 1
        state.losses.append(loss)
        state.tokens += sum(len(one.ids) for one in packs)
        state.row_tokens += sum(len(row.ids) - 1 for group in chosen for row in group)
        state.training_seconds += time.perf_counter() - tick
        state.seconds = earlier + time.perf_counter() - began
        if state.step == min(_SETTLING, len(plan)) and options.minutes:
            state.planned = affordable(state, len(plan), options)
        run.progress("train", state.step, state.planned)
        late = bool(options.minutes) and state.seconds > options.minutes * 60
        marks = {round(state.planned * (i + 1) / options.evaluations) for i in range(options.evaluations)}
        if state.step in marks or state.step == state.planned or late:
            if _evaluate(run):
                live = {name: p.detach().clone() for name, p in run.masters.live.items()}
                _save(run.directory / "best.pt", live)
            state.seconds = earlier + time.perf_counter() - began
            _checkpoint(run)
            saved = time.perf_counter()
        elif time.perf_counter() - saved > options.checkpoint_seconds:
            _checkpoint(run)
            saved = time.perf_counter()
        if late:
            return "minutes"
        if state.since_best >= options.patience:
            return "patience"
    return "epochs" if state.planned == len(plan) else "minutes"


def affordable(state: State, total: int, options: LoraOptions) -> int:
    """Steps that fit into `minutes` at the pace so far, so that the learning rate still decays to its end.

    A fifth of the time is kept for scoring the dev split.
    """
    left = options.minutes * 60 * 0.8 - state.training_seconds
    each = state.training_seconds / max(1, state.step)
    return max(state.step, min(total, state.step + int(left / max(1e-9, each))))


def schedule(
    groups: Sequence[Sequence[Sequence[int]]], options: LoraOptions, *, seed: int
) -> list[tuple[int, list[int]]]:
    """(epoch, group numbers) of every step; a fraction of an epoch is its first steps.

    Args:
        groups: Groups of row numbers of every variant; epoch `e` uses variant ``e % len(groups)``.
        options: Epochs and batch.
        seed: Of the order.
    """
    plan: list[tuple[int, list[int]]] = []
    for epoch in range(math.ceil(options.epochs)):
        steps = steps_of_epoch(groups[epoch % len(groups)], options.batch, seed=seed, epoch=epoch)
        share = min(1.0, options.epochs - epoch)
        plan += [(epoch, members) for members in steps[: max(1, round(len(steps) * share))]]
    return plan


def pace(step: int, total: int, warmup: float) -> float:
    """Learning-rate factor: linear warm-up, then a cosine to 2 % (Loshchilov & Hutter 2017)."""
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def token_budget(config: Any, options: LoraOptions) -> int:
    """Padded tokens of a micro-batch that keep the peak under `memory_gib`.

    Activations kept for the backward pass are about (22 h + 9 m) values a token and layer (h hidden, m intermediate
    size; measured, see docs/notebook.md), beside the weights and 1.5 GiB for libraries and buffers.
    """
    width = 2 if options.dtype == "bf16" else 4
    layers = options.layers or config.num_hidden_layers
    per_token = layers * (22 * config.hidden_size + 9 * config.intermediate_size) * width
    weights = width * (
        config.vocab_size * config.hidden_size
        + config.num_hidden_layers * (4 * config.hidden_size**2 + 3 * config.hidden_size * config.intermediate_size)
    )
    room = options.memory_gib * 2**30 - weights - 1.5 * 2**30
    return int(max(256, min(2048, room / per_token)))


def take_step(network: Any, masters: Masters, packs: Sequence[Pack], *, budget: int, factor: float) -> float:
    """Forward, backward and update over one step; returns the mean loss of a completion token."""
    count = sum(len(one.wanted) for one in packs)
    spent = 0.0
    for part in micro_batches(packs, budget):
        loss = loss_of(network, part)
        (loss / count).backward()
        masters.collect()
        spent += float(loss.detach())
    if math.isfinite(spent):
        masters.update(factor)
    return spent / count


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


def _evaluate(run: Run) -> bool:
    """Score the dev split; True when it is the best so far (task metric first, dev loss among equals)."""
    import torch

    state = run.state
    metric = plugins.make("metrics", run.job.metric, {})
    run.network.eval()
    with torch.no_grad():
        parts = micro_batches([pack([row]) for _, row in run.dev], run.budget)
        loss = sum(float(loss_of(run.network, part)) for part in parts)
        count = sum(len(one.wanted) for part in parts for one in part)
        order = sorted(range(len(run.dev)), key=lambda i: run.dev[i][1].start)
        size = max(1, min(24, 4 * run.budget // max(1, *(row.start for _, row in run.dev))))
        scores: list[float] = []
        for begin in range(0, len(order), size):
            items = [run.dev[i][0] for i in order[begin : begin + size]]
            for item, text in zip(items, generate(run, items), strict=True):
                answer = prompts.read(
                    Completion(text=text),
                    template=run.job.template,
                    hits=item.hits or None,
                    question=item.example.question,
                    choices=item.example.choices,
                )
                score = metric.score(item.example, answer)
                scores += [] if score is None else [float(score)]
            run.progress("score dev", min(begin + size, len(order)), len(order))
    run.network.train()
    mean = sum(scores) / len(scores) if scores else 0.0
    state.dev.append((state.step, mean))
    state.dev_loss.append((state.step, loss / max(1, count)))
    reached = (round(mean, 6), -loss / max(1, count))
    if reached > tuple(state.best):
        state.best, state.best_step, state.since_best = reached, state.step, 0
        return True
    state.since_best += 1
    return False


def generate(run: Run, items: Sequence[DevItem]) -> list[str]:
    """Greedy completions of a batch of prompts, left-padded, with the unmerged adapter."""
    import torch

    encoder = run.encoder
    prompts_ids = [encoder.prompt(item.prompt.messages)[-run.options.max_length :] for item in items]
    longest = max(len(ids) for ids in prompts_ids)
    batch = torch.full((len(items), longest), encoder.end, dtype=torch.long)
    mask = torch.zeros_like(batch)
    for place, ids in enumerate(prompts_ids):
        batch[place, longest - len(ids) :] = torch.tensor(ids)
        mask[place, longest - len(ids) :] = 1
    made = run.network.generate(
        input_ids=batch.to(run.network.device),
        attention_mask=mask.to(run.network.device),
        max_new_tokens=max(item.prompt.max_tokens for item in items),
        do_sample=False,
        use_cache=True,
        eos_token_id=encoder.end,
        pad_token_id=encoder.end,
    )
    return [encoder.decode(row[longest:].tolist()) for row in made]


# ---------------------------------------------------------------- checkpoints


def _save(path: Path, value: Any) -> None:
    import torch

    partial = path.with_suffix(".partial")
    torch.save(value, partial)
    partial.replace(path)


def _checkpoint(run: Run) -> None:
    import torch

    kept = {
        "state": vars(run.state),
        "masters": {name: p.detach() for name, p in run.masters.full.items()},
        "optimiser": run.masters.optimiser.state_dict(),
        "random": torch.get_rng_state(),
    }
    _save(run.directory / "checkpoint.pt", kept)


def _restore(run: Run) -> None:
    import torch

    path = run.directory / "checkpoint.pt"
    if not path.is_file():
        return
    try:
        kept = torch.load(path, weights_only=True)
        with torch.no_grad():
            for name, full in run.masters.full.items():
                full.copy_(kept["masters"][name])
        run.masters.optimiser.load_state_dict(kept["optimiser"])
        torch.set_rng_state(kept["random"])
        vars(run.state).update(kept["state"])
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"the checkpoint cannot be read: {error}", file=path, cure="Delete it and rerun: training starts again."
        ) from error


def _finish(run: Run, rows: Sequence[Row], *, epochs: float, stopped: str) -> Json:
    import torch

    state, directory = run.state, run.directory
    best = directory / "best.pt"
    if best.is_file():
        run.masters.publish(torch.load(best, weights_only=True))
    run.network.save_pretrained(directory)
    width = max(1, math.ceil(len(state.losses) / _POINTS))
    curve = [
        (min(i + width, len(state.losses)), sum(state.losses[i : i + width]) / len(state.losses[i : i + width]))
        for i in range(0, len(state.losses), width)
    ]
    report = {
        "rows": len(rows),
        "completion_tokens": sum(len(row.ids) - row.start for row in rows),
        "cut_rows": sum(1 for row in rows if len(row.ids) >= run.options.max_length),
        "epochs": epochs,
        "steps": state.step,
        "best_step": state.best_step,
        "seconds": state.seconds,
        "training_seconds": state.training_seconds,
        "tokens": state.row_tokens,
        "tokens_read": state.tokens,
        "tokens_per_second": state.row_tokens / max(1e-9, state.training_seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024),
        "budget": run.budget,
        "stopped": stopped,
        "loss": curve,
        "dev": state.dev,
        "dev_loss": state.dev_loss,
        "trainable": sum(p.numel() for p in run.masters.live.values()),
    }
    partial = directory / "training.partial"
    partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
    partial.replace(directory / "training.json")
    return report
