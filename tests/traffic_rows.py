"""Rows of a traffic log for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.traffic.record import TrafficRow

_ROW: TrafficRow = {
    "request": "r",
    "number": 0,
    "at": "2026-12-01T00:00:00.000+00:00",
    "caller": "",
    "arm": "rag",
    "model": "",
    "system": "system:1",
    "later_index": False,
    "failed": "",
    "abstained": False,
    "cut": False,
    "citations": 0,
    "unsupported": 0,
    "documents": [],
    "cited": [],
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "letters": 12,
    "retrieval_seconds": 0.01,
    "generation_seconds": 0.1,
    "question": "",
    "turns": [],
    "answer": "",
    "redacted": {},
}


def row(**values: Any) -> TrafficRow:
    """A row that differs from an empty one in `values`."""
    changed: Mapping[str, Any] = {**_ROW, "turns": [], "documents": [], "cited": [], "redacted": {}, **values}
    return changed  # type: ignore[return-value]
