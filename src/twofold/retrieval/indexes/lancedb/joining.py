"""When the pieces of a Lance table are worth joining. Pure."""

from __future__ import annotations

from typing import Any

_SMALL = 64_000
"""Rows up to which a table is written anew at every turn: some 150 MB, a second."""
_SHARE = 4
"""A larger table waits until one row in so many lies outside its largest piece."""
_MOST = 8
"""So many times more pieces than wished are joined all the same: each is a file that a search opens."""


def scattered(pieces: dict[str, Any], rows: int, *, limit: int) -> bool:
    """Are there pieces enough to write the table anew?

    Joining writes every row, and the former files stay as long as their versions do. A first sync of a million chunks,
    joined at every 33rd batch, writes eight million rows (20 GB) and keeps them for a week. Waiting until the table has
    grown by a share makes that two to three times the table, whatever its size.

    Args:
        pieces: The library's ``fragment_stats``.
        rows: Rows of the table.
        limit: Pieces that are wished at most.
    """
    number = int(pieces["num_fragments"])
    if number <= limit or rows <= _SMALL:
        return number > limit
    return (rows - int(pieces["lengths"]["max"])) * _SHARE > rows or number > _MOST * limit
