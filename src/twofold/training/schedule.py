"""The schedule of a training run and its evaluations on dev: steps, learning rate, limits, effort. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from twofold.training.options import FitOptions
from twofold.training.packing import steps_of_epoch
from twofold.types import Json

T = TypeVar("T")

EVALUATION_SHARE = 0.15
"""Part of the time limit that scoring the dev split may take."""
FOLLOWED_SHARE = 0.05
"""Part of the time limit that following other things (a general set, known facts) may take; beyond it they are not."""
FREE_SHARE = 0.25
"""Without a limit: part of the work of training, counted in tokens, so that all machines score the same items."""
FEWEST = 8
"""Dev items of one evaluation, below which fewer evaluations are made instead."""
TRAINED = 2.0
"""Work of a token that is trained on beside one that is only read: the backward pass costs another forward pass (the
weights' own gradients, which LoRA does without, are not counted)."""
WRITTEN = 100
"""Cost of writing the answer to a dev item, in tokens read: some 30 tokens, each with a pass of its own."""
CHANCE = 0.9
"""Part of the planned steps after which a tuned arm counts as given its chance."""
_FOLLOWED = 64
"""Rows on other things whose loss is followed, at most."""


def schedule(sizes: Sequence[Sequence[int]], options: FitOptions, *, seed: int) -> list[tuple[int, list[int]]]:
    """(epoch, group numbers) of every step; a fraction of an epoch is its first steps.

    Args:
        sizes: Rows that each group of each variant counts for; epoch `e` uses variant ``e % len(sizes)``.
        options: Epochs and batch.
        seed: Of the order.
    """
    plan: list[tuple[int, list[int]]] = []
    for epoch in range(math.ceil(options.epochs)):
        steps = steps_of_epoch(sizes[epoch % len(sizes)], options.batch, seed=seed, epoch=epoch)
        share = min(1.0, options.epochs - epoch)  # of the last epoch, where epochs are no whole number
        plan += [(epoch, members) for members in steps[: max(1, round(len(steps) * share))]]
    return plan


def pace(step: int, total: int, warmup: float) -> float:
    """Learning-rate factor: linear warm-up, then a cosine to 2 % (Loshchilov & Hutter 2017)."""
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def affordable(step: int, total: int, *, each: float, left: float) -> int:
    """Steps in all when `left` seconds remain for steps of `each` seconds, so that the learning rate decays to its end.

    Args:
        step: Steps done.
        total: Steps of the plan.
        each: Seconds of a step.
        left: Seconds that remain, the evaluations' apart.
    """
    return max(step, min(total, step + int(left / max(1e-9, each))))


def evaluations_within(room: float, *, each: float, most: int, items: int) -> tuple[int, int]:
    """How often the dev split is scored, and on how many items: as often as wanted, on as many as there is room for.

    Args:
        room: Seconds or tokens for all evaluations together.
        each: Seconds or tokens of one item.
        most: Evaluations wanted.
        items: Items there are, or wanted.

    Returns:
        Evaluations and items of each; (1, items) scaled down to (1, 0) where there is room for none.
    """
    # Fewer evaluations rather than fewer items: below `FEWEST` a score shows nothing.
    fewest = min(FEWEST, items)
    if not items:
        return most, 0
    count = max(1, min(most, int(room / max(1e-9, each * fewest))))
    return count, min(items, int(room / count / max(1e-9, each)))


def free_evaluations(trained: float, *, each: float, most: int, items: int) -> tuple[int, int]:
    """Evaluations and items of each where no limit is set: they follow from tokens, so all machines score the same.

    At least two evaluations, which show whether the dev score still rose, of `FEWEST` items, as fewer show nothing.

    Args:
        trained: Tokens read by all steps.
        each: Work of scoring an item, in tokens read.
        most: Evaluations wanted.
        items: Items there are, or wanted.
    """
    if min(most, items) < 1:
        return 0, 0
    room = FREE_SHARE * TRAINED * trained
    count, _ = evaluations_within(room, each=each, most=most, items=items)
    # Twice, and on eight items, even where that costs more than its share (decision 10).
    count = max(count, min(2, most))
    return count, max(min(items, int(room / count / max(1.0, each))), min(items, FEWEST))


def followed(general: Sequence[T]) -> Sequence[T]:
    """Rows on other things whose loss is followed, evenly drawn."""
    return general[:: max(1, math.ceil(len(general) / _FOLLOWED))]


def marks(planned: int, count: int) -> set[int]:
    """Steps after which the dev split is scored."""
    # the end is always scored
    return {max(1, round(planned * (number + 1) / count)) for number in range(count)} | {planned}


def moved(losses: Sequence[float]) -> bool:
    """Did the training loss fall?

    The last tenth of the losses (three steps at least, as batches differ; one in runs of under four steps) must be 1 %
    below the first tenth or, as a long run may learn most in that, 10 % below the first steps. One step shows nothing.
    """
    if len(losses) < 2:
        return False
    # Ends are averaged, since batches differ; the two ends never overlap.
    few = max(1, min(3, len(losses) // 2))
    part = max(few, len(losses) // 10)
    first, last = sum(losses[:part]) / part, sum(losses[-part:]) / part
    # The second: a long run may learn most within its first tenth, which the mean of that tenth hides.
    return last < first * 0.99 or last < 0.9 * sum(losses[:few]) / few


def effort(
    *,
    planned: int,
    losses: Sequence[float],
    epochs: float,
    stopped: str,
    dev: Sequence[tuple[int, float]],
    seconds: float,
    needed: float | None,
    limit: float,
) -> Json:
    """How much of its plan a run was given: the verdict never crowns another arm over one without its chance.

    Args:
        planned: Steps of the whole plan, whatever limits say.
        losses: Training loss of each step done.
        epochs: Epochs done.
        stopped: ``plan``, ``patience``, ``minutes``, ``euros`` or ``nan``.
        dev: (step, task metric) of each evaluation.
        seconds: Spent.
        needed: Seconds that the whole plan takes on this machine; None where no pace is known.
        limit: Minutes allowed; 0 for no limit.
    """
    falls = moved(losses)
    whole = stopped in {"plan", "patience"} or len(losses) >= CHANCE * planned
    scores = [score for _, score in dev]
    return {
        "planned": planned,
        "steps": len(losses),
        "epochs": round(epochs, 3),
        "stopped": stopped,
        "limit_minutes": limit,
        "moved": falls,
        "rising": max(scores[:-1]) < scores[-1] if len(scores) > 1 else None,
        "dev_first": scores[0] if scores else None,
        "dev_best": max(scores) if scores else None,
        "chance": falls and whole,
        "minutes": round(seconds / 60, 2),
        "minutes_needed": None if needed is None else round(needed / 60, 2),
    }
