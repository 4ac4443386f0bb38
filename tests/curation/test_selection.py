"""Selection: the budget is kept, hard and far apart come first, the order of examples does not matter."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.curation.selection import BYS, choose
from twofold.errors import ConfigError


def points(count: int, seed: int) -> Any:
    made = np.random.default_rng(seed).normal(size=(count, 6))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 4), st.sampled_from(BYS), st.randoms())
@settings(max_examples=120, deadline=None)
def test_the_budget_is_kept_and_the_order_does_not_matter(
    count: int, budget: int, seed: int, by: Any, chance: random.Random
) -> None:
    vectors, hard = points(count, seed), np.random.default_rng(seed).uniform(0.1, 1.2, count)
    keys = [f"e{n}" for n in range(count)]
    chosen, beyond = choose(budget, by=by, vectors=vectors, difficulty=list(hard), keys=keys, seed=seed)
    assert len(set(chosen)) == len(chosen) == min(budget, count - len(beyond))
    assert not set(chosen) & set(beyond)
    assert all(hard[n] >= 1 for n in beyond)
    order = list(range(count))
    chance.shuffle(order)
    again, _ = choose(
        budget,
        by=by,
        vectors=vectors[order],
        difficulty=[float(hard[n]) for n in order],
        keys=[keys[n] for n in order],
        seed=seed,
    )
    assert {keys[order[n]] for n in again} == {keys[n] for n in chosen}


def test_difficulty_takes_the_hardest_that_are_not_too_hard() -> None:
    chosen, beyond = choose(2, by="difficulty", difficulty=[0.2, 0.9, 1.4, 0.5], keys=list("abcd"))
    assert chosen == [1, 3]
    assert beyond == [2]


def test_diversity_covers_better_than_chance() -> None:
    """Three tight clusters of very different size: a budget of three has one of each."""
    chance = np.random.default_rng(0)
    centres = np.eye(3)
    vectors = np.concatenate(
        [centre + 0.01 * chance.normal(size=(size, 3)) for centre, size in zip(centres, (90, 6, 4), strict=True)]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen, _ = choose(3, by="diversity", vectors=vectors, keys=[str(n) for n in range(100)])
    assert {int(np.argmax(vectors[n])) for n in chosen} == {0, 1, 2}
    lucky, _ = choose(3, by="random", keys=[str(n) for n in range(100)], seed=1)
    assert len({int(np.argmax(vectors[n])) for n in lucky}) < 3


def test_what_is_needed_must_be_given() -> None:
    with pytest.raises(ConfigError):
        choose(1, by="both", vectors=points(3, 0), keys=list("abc"))
    with pytest.raises(ConfigError):
        choose(1, by="diversity", keys=list("abc"))
