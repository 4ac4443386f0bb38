"""Readings in words, as terminal and pages print them. Pure."""

from __future__ import annotations

from twofold.monitoring.record import Reading
from twofold.verdict.record import number_text, true_minus


def value_text(reading: Reading) -> str:
    """What was measured, with its interval: ``.912 [.871, .944]``; empty where nothing was."""
    value, low, high = reading["value"], reading["low"], reading["high"]
    if value is None:
        return ""
    if low is None or high is None:
        return _text(value)
    return f"{_text(value)} [{_text(low)}, {_text(high)}]"


def baseline_text(reading: Reading) -> str:
    """What it is compared with; empty where there is nothing."""
    return "" if reading["baseline"] is None else _text(reading["baseline"])


def _text(value: float) -> str:
    size = abs(value)
    # Signals are shares, seconds, counts, prices: as many digits as a person compares.
    if size >= 100 or (size >= 1 and float(value).is_integer()):
        text = f"{value:,.0f}" if size < 1e15 else f"{value:.3g}"
    elif size >= 10:
        text = f"{value:.1f}"
    # Below it stands rounding alone.
    elif 1e-9 < size < 0.01:
        text = f"{value:.2g}".replace("0.", ".", 1)
    else:
        text = number_text(value)
    return true_minus(text)
