"""Select the examples to train on within a budget. Pure; numpy only.

Difficulty is instruction-following difficulty (see `training.difficulty`); diversity is farthest-first choice on the
embedder's vectors, a 2-approximation of k-centre (Gonzalez 1985; Sener & Savarese 2018 choose training data so). Both
together: the harder ones first, and of twice the budget those that lie farthest apart.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from twofold.errors import ConfigError

By = Literal["both", "difficulty", "diversity", "random"]
BYS: tuple[By, ...] = get_args(By)
_POOL = 2
"""Hard examples looked at for each that is chosen."""
TOO_HARD = 1.0
"""From this difficulty on the question does not help the model: likely a wrong pair."""


def choose(
    budget: int,
    *,
    by: By,
    vectors: npt.NDArray[Any] | None = None,
    difficulty: Sequence[float] | None = None,
    keys: Sequence[str],
    seed: int = 0,
) -> tuple[list[int], list[int]]:
    """Numbers of the chosen examples, in order of choice, and of those that are too hard to be chosen.

    The first example of farthest-first is the one nearest to the mean. Ties go by a draw from seed and key, so the
    order of the examples does not matter.

    Args:
        budget: Examples wanted; all that are not too hard, when there are no more.
        by: What counts.
        vectors: Unit vectors of the questions, shape (examples, dimension); for ``both`` and ``diversity``.
        difficulty: Of each example; for ``both`` and ``difficulty``.
        keys: Id of each example.
        seed: Of random choice and ties.

    Raises:
        ConfigError: what `by` needs is not given.
    """
    ordered = sorted(range(len(keys)), key=lambda n: random.Random(f"{seed}/{keys[n]}").random())
    if by == "random":
        return ordered[:budget], []
    hard: list[int] = []
    if by in {"both", "difficulty"}:
        if difficulty is None:
            raise ConfigError(f"choosing by {by} needs the difficulty of every example")
        hard = [n for n in ordered if difficulty[n] >= TOO_HARD]
        easier = sorted((n for n in ordered if difficulty[n] < TOO_HARD), key=lambda n: -difficulty[n])
        if by == "difficulty":
            return easier[:budget], hard
        ordered = easier[: _POOL * budget]
    if vectors is None:
        raise ConfigError(f"choosing by {by} needs the vectors of the questions")
    return _farthest_first(np.asarray(vectors, dtype=np.float64), ordered, budget), hard


def _farthest_first(vectors: npt.NDArray[np.float64], pool: Sequence[int], budget: int) -> list[int]:
    if not pool:
        return []
    rows = vectors[list(pool)]
    at = int(np.argmax(rows @ rows.mean(axis=0)))
    chosen = [at]
    nearest = rows @ rows[at]
    for _ in range(min(budget, len(pool)) - 1):
        nearest[chosen[-1]] = np.inf
        at = int(np.argmin(nearest))
        chosen.append(at)
        nearest = np.maximum(nearest, rows @ rows[at])
    return [pool[n] for n in chosen[:budget]]
