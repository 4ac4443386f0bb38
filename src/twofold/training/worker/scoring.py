"""Measurements during training: the dev split's task metric and loss, and the loss on other things (heavy leaf)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch

from twofold import prompts
from twofold.models import adapter_layers
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress
from twofold.training.encoding import Encoder
from twofold.training.options import FitOptions
from twofold.training.packing import Pack, TrainingRow, micro_batches, pack
from twofold.training.worker.network import loss_of, plain_of, token_losses
from twofold.training.worker.objectives import row_sums
from twofold.types import Completion, DevItem, Pair


def placed(pair: Pair, encoder: Encoder, options: FitOptions, *, virtual: int) -> TrainingRow:
    """A row to measure, with the method's placeholders before it."""
    row = encoder.row(pair, options.max_length)
    return TrainingRow(ids=((0,) * virtual + row.ids), start=row.start + virtual, example=row.example)


def dev_rows(
    job: TrainerJob, encoder: Encoder, options: FitOptions, *, virtual: int
) -> list[tuple[DevItem, TrainingRow]]:
    """The dev items that are scored, each with the row whose loss is followed."""
    rows = []
    for item in job.dev[: options.dev_items]:
        # The passage that the answer cites: the first hit of a right document, as the prompt numbers them.
        number = next(
            (n for n, hit in enumerate(item.hits, 1) if hit.chunk.span.document in item.example.sources), None
        )
        text = item.example.references[0] if item.example.references else job.template.abstention
        completion = prompts.completion_text(
            text, template=job.template, number=number if item.example.answerable else None
        )
        pair = Pair(messages=item.prompt.messages, completion=completion, example=item.example.id)
        rows.append((item, placed(pair, encoder, options, virtual=virtual)))
    return rows


@torch.no_grad()  # type: ignore[untyped-decorator]
def mean_loss(network: Any, rows: Sequence[TrainingRow], *, budget: int) -> float | None:
    """Mean cross-entropy of a completion token; None without rows."""
    if not rows:
        return None
    network.eval()
    parts = micro_batches([pack([row]) for row in rows], budget)
    total = sum(float(loss_of(network, part)) for part in parts)
    network.train()
    return total / sum(len(one.targets) for one in chain.from_iterable(parts))


@torch.no_grad()  # type: ignore[untyped-decorator]
def known(network: Any, facts: Sequence[tuple[TrainingRow, TrainingRow]], *, budget: int) -> float | None:
    """Share of facts whose right answer (the first row) is likelier a token than the wrong one; None without facts."""
    if not facts:
        return None
    network.eval()
    # By identity: micro-batches are sorted by length, and a right answer must not meet another question's wrong one.
    packs = [pack([row]) for row in chain.from_iterable(facts)]
    losses: dict[int, float] = {}
    for part in micro_batches(packs, budget):
        sums = row_sums(token_losses(network, part), part)
        losses.update({id(packed): float(loss) / len(packed.targets) for packed, loss in zip(part, sums, strict=True)})
    network.train()
    means = [losses[id(packed)] for packed in packs]
    return sum(right < wrong for right, wrong in zip(means[::2], means[1::2], strict=True)) / len(facts)


@torch.no_grad()  # type: ignore[untyped-decorator]
def task_scores(
    network: Any,
    dev: Sequence[tuple[DevItem, TrainingRow]],
    job: TrainerJob,
    *,
    encoder: Encoder,
    options: FitOptions,
    budget: int,
    progress: Progress,
) -> list[float]:
    """The job's metric of greedy answers to the dev items, the shortest prompt first; None is left out."""
    metric = loading.make("metrics", job.metric, job.metric_options)
    network.eval()
    # Prompts of like length together: what is padded is computed.
    order = sorted(range(len(dev)), key=lambda i: dev[i][1].start)
    # Nothing is kept for a backward pass, so four times the tokens of a training micro-batch fit.
    size = max(1, min(24, 4 * budget // max(1, *(row.start for _, row in dev)))) if dev else 1
    scores: list[float] = []
    for begin in range(0, len(order), size):
        items = [dev[i][0] for i in order[begin : begin + size]]
        for item, text in zip(items, generate(network, encoder, items, options=options), strict=True):
            answer = prompts.read(
                Completion(text=text),
                template=job.template,
                hits=item.hits or None,
                question=item.example.question,
                choices=item.example.choices,
            )
            score = metric.score(item.example, answer)
            scores += [] if score is None else [float(score)]
        progress("score dev", min(begin + size, len(order)), len(order))
    network.train()
    return scores


def keeps_up(scores: Sequence[float], best: Sequence[float]) -> bool:
    """Is the best ahead of these scores of the same items by no more than a standard error of the difference?"""
    if len(best) != len(scores) or not scores:
        return True
    behind = [other - score for score, other in zip(scores, best, strict=True)]
    mean = sum(behind) / len(behind)
    spread: float = sum((one - mean) ** 2 for one in behind) / max(1, len(behind) - 1)
    return mean <= float((spread / len(behind)) ** 0.5)


@torch.no_grad()  # type: ignore[untyped-decorator]
def read_once(network: Any, part: Sequence[Pack]) -> None:
    """Read a micro-batch and throw the losses away: what that takes is the pace of this machine."""
    network.eval()
    token_losses(network, part)
    network.train()


def generate(network: Any, encoder: Encoder, items: Sequence[DevItem], *, options: FitOptions) -> list[str]:
    """Greedy completions of a batch of prompts, left-padded, with the unmerged adapter."""
    prompt_ids = [encoder.shortened(item.prompt.messages, options.max_length) for item in items]
    front = adapter_layers.virtual(plain_of(network))
    longest = max(len(ids) for ids in prompt_ids)
    batch = torch.full((len(items), front + longest), encoder.end, dtype=torch.long)  # (items, placeholders + prompt)
    mask = torch.zeros_like(batch)
    # Placeholders stand at the very front, before the padding: a prompt's vectors take their places by number.
    batch[:, :front] = 0
    mask[:, :front] = 1
    for place, ids in enumerate(prompt_ids):
        batch[place, front + longest - len(ids) :] = torch.tensor(ids)
        mask[place, front + longest - len(ids) :] = 1
    generated = network.generate(
        input_ids=batch.to(network.device),
        attention_mask=mask.to(network.device),
        max_new_tokens=max(item.prompt.max_tokens for item in items),
        # Said here, as the model's own generation settings may ask for the contrary.
        do_sample=False,
        repetition_penalty=1.0,
        use_cache=True,
        eos_token_id=encoder.end,
        pad_token_id=encoder.end,
    )
    return [encoder.decode(row[front + longest :].tolist()) for row in generated]
