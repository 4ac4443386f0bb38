"""How often a growing Lance table is written anew."""

from __future__ import annotations

import pytest

from twofold.retrieval.indexes.lancedb.joining import scattered

BATCH, LIMIT = 2000, 32


def grown(rows: int) -> tuple[int, int]:
    """Rows written by joining while a table grows to `rows` in batches, and the most pieces that it had."""
    pieces: list[int] = []
    written = most = 0
    for _ in range(rows // BATCH):
        pieces.append(BATCH)
        most = max(most, len(pieces))
        if scattered({"num_fragments": len(pieces), "lengths": {"max": max(pieces)}}, sum(pieces), limit=LIMIT):
            written += sum(pieces)
            pieces = [sum(pieces)]
    return written, most


@pytest.mark.parametrize("rows", [100_000, 300_000, 1_000_000, 5_000_000])
def test_joining_costs_a_few_times_the_table(rows: int) -> None:
    written, most = grown(rows)
    assert written <= 6 * rows
    assert most <= 8 * LIMIT + 1


def test_a_small_table_has_few_pieces() -> None:
    assert not scattered({"num_fragments": 32, "lengths": {"max": 10}}, 100, limit=32)
    assert scattered({"num_fragments": 33, "lengths": {"max": 60_000}}, 60_000, limit=32)


def test_small_edits_of_a_large_table_are_joined_in_the_end() -> None:
    pieces = {"num_fragments": 200, "lengths": {"max": 999_800}}
    assert not scattered(pieces, 1_000_000, limit=32)
    assert scattered({**pieces, "num_fragments": 300}, 1_000_000, limit=32)
