"""How readings are made and read: the words of a signal's state, and the share of a sample with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from twofold.errors import TwofoldError
from twofold.monitoring.record import Observation, Reading, State
from twofold.stats.intervals import wilson
from twofold.types import Json

LEVEL = 0.95
"""Of the interval of a reading."""


def reading(
    signal: str, moment: datetime, *, state: State, why: str, detail: Mapping[str, Any] | None = None, **numbers: Any
) -> Reading:
    """A reading with what was measured; what is not named was not measured.

    Args:
        signal: Its name.
        moment: Time of the look.
        state: What it says.
        why: In words.
        detail: Of which a cause is told.
        numbers: ``value``, ``low``, ``high``, ``baseline``, ``n``, ``statistic``, ``threshold``.
    """
    empty: Reading = {
        "signal": signal,
        "at": moment.isoformat(),
        "state": state,
        "value": None,
        "low": None,
        "high": None,
        "baseline": None,
        "n": 0,
        "statistic": None,
        "threshold": None,
        "why": why,
        "detail": dict(detail or {}),
    }
    return {**empty, **numbers}  # type: ignore[typeddict-item]


def unwatched(signals: Iterable[str], moment: datetime, *, why: str) -> tuple[Reading, ...]:
    """Readings of signals that cannot be watched."""
    return tuple(reading(signal, moment, state="unwatched", why=why) for signal in signals)


def unwatched_look(signals: Iterable[str], moment: datetime, *, why: str, before: Json | None) -> Observation:
    """A look at which none of these signals could be watched; what was remembered stays."""
    return Observation(readings=unwatched(signals, moment, why=why), state=before or {})


def in_words(error: TwofoldError) -> str:
    """What an error says, as the reason of a reading."""
    return f"{error.message}. {error.cure}" if error.cure else error.message


def share_of(count: float, n: int, *, level: float = LEVEL) -> Json:
    """``value``, ``low``, ``high`` and ``n`` of a share (Wilson 1927); nothing of an empty sample."""
    if not n:
        return {"n": 0}
    share = count / n
    low, high = wilson(share, math.sqrt(share * (1 - share) / n), worth=float(n), level=level)
    return {"value": share, "low": low, "high": high, "n": n}


def percent(share: float) -> str:
    """``12 %``, and ``0.4 %`` where a whole number would say nothing."""
    shown = 100 * share
    return f"{shown:.0f} %" if shown >= 9.95 or shown in (0, 100) else f"{shown:.1f} %"
