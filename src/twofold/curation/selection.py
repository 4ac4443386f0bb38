"""Select the examples to train on within a budget. Pure; numpy only.

Difficulty is instruction-following difficulty (see `training.difficulty`); diversity is farthest-first choice on the
embedder's vectors, a 2-approximation of k-centre (Gonzalez 1985; Sener & Savarese 2018 choose training data so). Both
together take the hardest examples, twice as many as the budget, and of these the ones that lie farthest apart.
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
"""Hard examples in the pool for each that is chosen, so that diversity has something to choose from."""
TOO_HARD = 1.0
"""From this difficulty on the answer is no likelier after its question than alone: likely a wrong pair."""


def choose(
    budget: int,
    *,
    by: By,
    vectors: npt.NDArray[Any] | None = None,
    difficulty: Sequence[float] | None = None,
    keys: Sequence[str],
    seed: int = 0,
) -> tuple[list[int], list[int]]:
    """Numbers of the chosen examples, in order of choice, and of the examples that are too hard to be chosen.

    The first example of farthest-first is the one nearest to the mean. Ties go by a draw from seed and key, so the
    order of the examples does not matter.

    Args:
        budget: Number of examples to choose; fewer are chosen where fewer are not too hard.
        by: Criterion of the choice.
        vectors: Unit vectors of the questions, shape (examples, dimension); for ``both`` and ``diversity``.
        difficulty: Difficulty of each example; for ``both`` and ``difficulty``.
        keys: Id of each example.
        seed: Seed of random choice and ties.

    Raises:
        ConfigError: `by` needs difficulties or vectors that are not given.
    """
    # by the examples' keys and not by their places: the same choice in whatever order the files are read
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
    rows = vectors[list(pool)]  # (pool, dimension)
    # the most typical example first
    at = int(np.argmax(rows @ rows.mean(axis=0)))
    chosen = [at]
    nearest = rows @ rows[at]  # (pool,): cosine to the nearest of the chosen
    for _ in range(min(budget, len(pool)) - 1):
        nearest[chosen[-1]] = np.inf  # never chosen again
        at = int(np.argmin(nearest))
        chosen.append(at)
        nearest = np.maximum(nearest, rows @ rows[at])
    return [pool[n] for n in chosen[:budget]]
