"""Length-bucketed batches under a token budget. Pure.

A step holds `size` rows chosen by the seeded shuffle, never by length, so that the gradient of a step is that of a
random batch. Inside a step, rows are sorted by length and cut into micro-batches whose padded size stays under the
budget: memory is bounded and little is padded.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def steps_of_epoch(rows: int, size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Row numbers of every optimiser step of an epoch; the last step may be smaller.

    The order depends on nothing but the arguments, so a resumed run sees the same batches.
    """
    order = list(range(rows))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return [order[start : start + size] for start in range(0, rows, size)]


def micro_batches(members: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut a step's rows into micro-batches of at most `budget` padded tokens (a longer row stands alone).

    Args:
        members: Row numbers of the step.
        lengths: Length of every row, tokens.
        budget: Upper limit of rows × longest row, tokens.
    """
    out: list[list[int]] = []
    for row in sorted(members, key=lambda r: (-lengths[r], r)):
        last = out[-1] if out else []
        if last and (len(last) + 1) * lengths[last[0]] <= budget:
            last.append(row)
        else:
            out.append([row])
    return out


def padding(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """Share of computed tokens that are padding."""
    real = sum(lengths[row] for batch in batches for row in batch)
    held = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches if batch)
    return 1 - real / held if held else 0.0
