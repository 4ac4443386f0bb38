"""What a study's record says of seconds: quantiles with their intervals, parts, and the load of the machine. Pure."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class QuantileRecord(TypedDict):
    """A median with its distribution-free interval; an end is None where `n` is too small for it."""

    value: float
    low: float | None
    high: float | None
    n: int


class LatencyPart(TypedDict):
    """A part of the seconds for one question; a question's parts add up to its seconds, and so do the means."""

    mean: QuantileRecord
    p50: QuantileRecord
    p95: QuantileRecord


class LatencyLoad(TypedDict):
    """What else the machine did while an arm was timed; None: nothing tells."""

    others: float | None
    """Share of the processor's time that other programs took."""
    average: float | None
    """Highest load average of a minute, this program's own included."""


class LatencyRecord(TypedDict):
    """Seconds for one question at a time (batch 1), asked in turns over the arms, apart from the batched run."""

    p50: float
    p95: float
    n: int
    intervals: NotRequired[dict[str, list[float | None]]]
    """``p50`` and ``p95`` → ends of the distribution-free interval (`intervals.quantile_interval`); None: no end."""
    failed: NotRequired[int]
    """Of `n`, answers that failed: they count at their limit."""
    in_turns: NotRequired[bool]
    """Were all arms asked in turns? False where this machine has no room for all models together: those of one model
    were then asked in turns, and seconds of arms with other models stand beside each other less surely."""
    ratio: NotRequired[QuantileRecord]
    """Median of the seconds over the arm base's, question by question."""
    parts: NotRequired[dict[str, LatencyPart]]
    """``retrieval``, ``prompt`` (rendered and read, up to the first token) and ``decoding``, of the answers that did
    not fail and whose generator tells when it wrote the first token; left out where there is none."""
    load: NotRequired[LatencyLoad]
