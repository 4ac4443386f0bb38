"""Draws are the same whether they are kept or made anew, in whatever blocks; a quantile is numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from twofold.stats import draws


@pytest.mark.parametrize("draw", [draws.signs, draws.times])
def test_kept_draws_are_those_that_would_be_made(draw, monkeypatch):
    kept = np.concatenate(list(draw(7, resamples=50, seed=3)))
    assert kept.shape == (50, 7)
    assert next(draw(7, resamples=50, seed=3)) is next(draw(7, resamples=50, seed=3))
    with pytest.raises(ValueError, match="read-only"):
        next(draw(7, resamples=50, seed=3))[0, 0] = 9
    assert (kept != np.concatenate(list(draw(7, resamples=50, seed=4)))).any()
    monkeypatch.setattr(draws, "_CACHED", 0)
    assert (np.concatenate(list(draw(7, resamples=50, seed=3))) == kept).all()


def test_blocks_are_as_large_as_memory_bears(monkeypatch):
    monkeypatch.setattr(draws, "_CACHED", 0)
    monkeypatch.setattr(draws, "_CELLS", 70)
    blocks = list(draws.times(7, resamples=24, seed=0))
    assert [len(block) for block in blocks] == [10, 10, 4]
    assert (np.concatenate(blocks).sum(axis=1) == 7).all()
    signs = np.concatenate(list(draws.signs(7, resamples=24, seed=0)))
    assert set(signs.ravel().tolist()) == {-1.0, 1.0}


@settings(max_examples=60, deadline=None)
@given(
    table=arrays.arrays(float, arrays.array_shapes(min_dims=1, max_dims=2, max_side=30)),
    level=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.9, 0.95, 0.975, 1.0])),
)
def test_a_quantile_is_that_of_numpy(table, level):
    expected = np.quantile(table, level, axis=0, method="higher")
    assert np.array_equal(draws.quantile(table, level), expected, equal_nan=True)
