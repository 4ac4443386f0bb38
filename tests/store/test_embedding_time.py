"""Embedding times add up over syncs."""

from __future__ import annotations

import pytest

from twofold.store import embedding_time
from twofold.store.catalogue import Catalogue


def test_seconds_of_a_passage_are_the_mean_over_all_batches():
    notes = Catalogue(None).notes
    assert embedding_time.seconds_per_chunk(notes) is None
    embedding_time.add(notes, chunks=10, seconds=1.0)
    embedding_time.add(notes, chunks=30, seconds=1.0)
    assert embedding_time.seconds_per_chunk(notes) == pytest.approx(0.05)
