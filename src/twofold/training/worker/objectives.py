"""Training objectives: the loss of a pack from the losses of its tokens. The loop is the same for all.

Choices and preferences are branches on one shared prompt, so that the prompt is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from twofold.errors import NothingToLearn
from twofold.training.encoding import Encoder
from twofold.training.options import FitOptions
from twofold.training.packing import Pack, TrainingRow
from twofold.types import Pair


def rows_of(pair: Pair, encoder: Encoder, options: FitOptions, *, virtual: int = 0) -> list[TrainingRow]:
    """A pair's rows, the wanted one first; each begins with the method's placeholders.

    Raises:
        NothingToLearn: the completion is empty, or the objective finds neither choices nor a rejected completion.
    """
    completions = [pair.completion]
    if options.objective == "labels":
        completions += [choice for choice in dict.fromkeys(pair.choices) if choice != pair.completion]
        if pair.completion not in pair.choices or len(completions) < 2:
            raise NothingToLearn(
                f"example {pair.example!r}: {pair.completion!r} is not one of at least two choices",
                cure='Give the examples choices, with the answer among them, or set objective = "supervised".',
            )
    elif options.objective == "preference":
        completions.append(pair.rejected)
        if not pair.rejected.strip() or pair.rejected == pair.completion:
            raise NothingToLearn(
                f"example {pair.example!r} has no rejected completion",
                cure='Give the examples "rejected" answers, or set objective = "supervised".',
            )
    rows = [encoder.row(replace(pair, completion=text), options.max_length) for text in completions]
    # Completions are compared on one prompt: cutting each to its own room would compare prompts as well.
    if any(row.ids[: row.start] != rows[0].ids[: rows[0].start] for row in rows):
        raise NothingToLearn(
            f"example {pair.example!r}: the completions are too long for max_length",
            cure="Raise [tuning.trainer.options].max_length.",
        )
    front = (0,) * virtual
    return [replace(row, ids=(*front, *row.ids), start=row.start + virtual) for row in rows]


def loss_of_packs(losses: Any, packs: Sequence[Pack], options: FitOptions) -> Any:
    """The summed loss of one micro-batch.

    Args:
        losses: Cross-entropy of each wanted token, in the order of the packs.
        packs: The micro-batch; with choices or preferences, consecutive packs up to a whole pair.
        options: The objective.
    """
    import torch
    from torch.nn import functional

    if options.objective == "supervised":
        return losses.sum()
    sums = row_sums(losses, packs)
    total = losses.new_zeros(())
    for part, reference in units(sums, packs):
        if options.objective == "labels":
            # The right one is first. A row's sum is its negative log-likelihood, so its negative is a logit.
            total = total + functional.cross_entropy(-part[None], torch.zeros(1, dtype=torch.long, device=part.device))
        else:
            # DPO (Rafailov et al. 2023): part[0] is the loss of the chosen completion, part[1] of the rejected one.
            total = total - functional.logsigmoid(options.beta * (part[1] - part[0] - reference))
    return total


def row_sums(losses: Any, packs: Sequence[Pack]) -> list[Any]:
    """Summed loss of each row."""
    lengths = list(chain.from_iterable(one.lengths for one in packs))
    return [part.sum() for part in losses.split(lengths)]


def units(sums: Sequence[Any], packs: Sequence[Pack]) -> list[tuple[Any, float]]:
    """(row losses, reference) of each pair of a micro-batch, whether its rows share one pack or have one each."""
    import torch

    if all(len(packed.lengths) > 1 for packed in packs):
        pairs = []
        at = 0
        for packed in packs:
            pairs.append((torch.stack(list(sums[at : at + len(packed.lengths)])), packed.reference))
            at += len(packed.lengths)
        return pairs
    return [(torch.stack(list(sums)), packs[0].reference)]


def count_of(packs: Sequence[Pack], options: FitOptions, *, pairs: int) -> int:
    """The divisor of a step's loss: completion tokens, or pairs."""
    return sum(len(one.targets) for one in packs) if options.objective == "supervised" else pairs
