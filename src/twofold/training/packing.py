"""Rows laid out for the loop: shared prefixes, steps, micro-batches. Pure.

Several questions about the same passages begin with the same tokens. They are laid out as one prefix and a branch each;
a branch sees the prefix and itself, at its own positions, so loss and gradients are those of the separate rows while
the passages are read once. No example ever sees another.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

SHARED_TOKENS = 64
"""A shared beginning shorter than this is not worth sharing."""
SHARED_PART = 0.6
"""Nor one that is less than this part of a prompt."""
BRANCHES = 12
"""Most rows in one pack."""
ALIKE_TOKENS = 12
ALIKE_PART = 0.3
"""A beginning of all rows (the instruction) is shared from so many tokens and so large a part of the prompts."""
ORDERS = 4
"""Groups of rows that are all alike are drawn anew for so many epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One training row."""

    ids: tuple[int, ...]
    """Prompt, completion and end-of-turn token."""
    start: int
    """Index of the first completion token; everything before it is not learned."""
    example: str = ""
    """Id of the example it was made from."""
    prompt_cut: bool = False
    """The last message lost its beginning, or the conversation its oldest turns: the row was too long."""
    answer_cut: bool = False
    """The completion lost its end, and the end-of-turn token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Rows in one sequence: a shared prefix, then a branch a row. The last token of a row is only predicted."""

    ids: tuple[int, ...]
    """Tokens read."""
    positions: tuple[int, ...]
    """Position of each token in its own row."""
    branch: tuple[int, ...]
    """Branch of each token; -1 in the prefix."""
    predict: tuple[int, ...]
    """Places whose output is asked for."""
    targets: tuple[int, ...]
    """The token each of them should give."""
    lengths: tuple[int, ...]
    """Completion tokens of each row."""
    reference: float = 0.0
    """Value that the objective compares with (see `objectives`)."""


def groups_of(rows: Sequence[TrainingRow]) -> list[list[int]]:
    """Neighbouring rows that share most of their prompts, by row number; other rows stand alone."""
    groups: list[list[int]] = []
    for number, row in enumerate(rows):
        first = rows[groups[-1][0]] if groups else None
        if first is not None and len(groups[-1]) < BRANCHES:
            # With the group's first row, which is its prefix's source; a tenth row is not compared with the ninth.
            needed = max(SHARED_TOKENS, round(SHARED_PART * max(first.start, row.start)))
            if min(first.start, row.start) > needed and first.ids[:needed] == row.ids[:needed]:
                groups[-1].append(number)
                continue
        groups.append([number])
    return groups


def variants_of(
    variants: Sequence[Sequence[TrainingRow]], *, most: int, seed: int
) -> list[list[tuple[TrainingRow, ...]]]:
    """The groups of every epoch variant.

    Where prompts share nothing but an instruction that all of them have, rows are grouped by chance, in several orders,
    so that a group is a random one; where neighbours share passages, those are grouped.

    Args:
        variants: Rows of each.
        most: Most rows of a group that is drawn by chance.
        seed: Of the order.
    """

    def neighbours(rows: Sequence[TrainingRow]) -> list[tuple[TrainingRow, ...]]:
        return [tuple(map(rows.__getitem__, members)) for members in groups_of(rows)]

    grouped = list(map(neighbours, variants))
    shared = beginning(list(chain.from_iterable(variants)))
    prompts = [row.start for row in chain.from_iterable(variants)]
    needed = max(ALIKE_TOKENS, ALIKE_PART * sum(prompts) / len(prompts))
    # Neighbours that share passages stay together; drawn groups are for prompts that share an instruction only.
    passages = any(len(group) > 1 and beginning(group) > shared for group in chain.from_iterable(grouped))
    if most < 2 or shared < needed or passages:
        return grouped
    drawn = []
    for number in range(max(ORDERS, len(variants))):
        rows = list(variants[number % len(variants)])
        random.Random(f"{seed}/alike/{number}").shuffle(rows)
        drawn.append([tuple(rows[start : start + most]) for start in range(0, len(rows), most)])
    return drawn


def beginning(rows: Sequence[TrainingRow]) -> int:
    """Prompt tokens with which all rows begin; at least the last one of each prompt is its own."""
    shortest = min(row.start for row in rows) - 1
    every = [row.ids for row in rows]
    first, last = min(every), max(every)  # in the order of words in a book: what these two share, all share
    common = 0
    while common < shortest and first[common] == last[common]:
        common += 1
    return common


def pack(rows: Sequence[TrainingRow]) -> Pack:
    """Lay out rows with a common beginning; at least the last prompt token of each stays in its own branch."""
    first = rows[0].ids
    common = beginning(rows) if len(rows) > 1 else 0
    ids = list(first[:common])
    positions = list(range(common))
    branch = [-1] * common
    predict: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        offset = len(ids) - common  # from a place in the row to its place in the pack
        stop = len(row.ids) - 1  # the last token is only predicted
        ids += row.ids[common:stop]
        positions += range(common, stop)
        branch += [number] * (stop - common)
        # A token is predicted by the output at the place before it.
        predict += range(row.start - 1 + offset, stop + offset)
        targets += row.ids[row.start :]
    return Pack(
        ids=tuple(ids),
        positions=tuple(positions),
        branch=tuple(branch),
        predict=tuple(predict),
        targets=tuple(targets),
        lengths=tuple(len(row.ids) - row.start for row in rows),
    )


def steps_of_epoch(sizes: Sequence[int], size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Group numbers of every optimiser step of an epoch: about `size` rows each, in an order drawn by seed.

    Args:
        sizes: Rows that each group counts for.
        size: Rows of a step.
        seed: Of the order.
        epoch: Number of the epoch.

    The order depends on nothing but the arguments, so a resumed run sees the same steps. Steps are never sorted by
    length: the gradient of a step is that of a random batch.
    """
    order = list(range(len(sizes)))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    steps: list[list[int]] = [[]]
    size_so_far = 0
    for number in order:
        if size_so_far >= size:
            steps.append([])
            size_so_far = 0
        steps[-1].append(number)
        size_so_far += sizes[number]
    return steps


def micro_batches(packs: Sequence[Pack], budget: int) -> list[list[Pack]]:
    """Packs sorted by length and cut so that packs × longest stays within `budget` tokens (a longer one goes alone)."""
    parts: list[list[Pack]] = []
    # The longest first, so that the first pack of a part is the length that all others are padded to.
    for packed in sorted(packs, key=lambda p: -len(p.ids)):
        if parts and (len(parts[-1]) + 1) * len(parts[-1][0].ids) <= budget:
            parts[-1].append(packed)
        else:
            parts.append([packed])
    return parts


def padding(parts: Sequence[Sequence[Pack]]) -> float:
    """Share of computed tokens that are padding."""
    real = computed = 0
    for part in parts:
        lengths = [len(packed.ids) for packed in part]
        real += sum(lengths)
        computed += len(part) * max(lengths)
    return 1 - real / computed if computed else 0.0
