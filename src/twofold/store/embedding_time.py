"""How long a project's passages took to embed and store, all syncs together: what embedding them again will take."""

from __future__ import annotations

import json

from twofold.store.documents import Notes

NOTE = "embedding time"


def add(notes: Notes, *, chunks: int, seconds: float) -> None:
    """Add a batch of passages that were embedded and stored in so many seconds."""
    total, spent = _totals(notes)
    notes.put(NOTE, json.dumps([total + chunks, spent + seconds]))


def seconds_per_chunk(notes: Notes) -> float | None:
    """Mean seconds of a passage; None where no sync has embedded one since this is kept."""
    total, spent = _totals(notes)
    return spent / total if total else None


def _totals(notes: Notes) -> tuple[int, float]:
    total, spent = json.loads(notes.get(NOTE) or "[0, 0]")
    return int(total), float(spent)
