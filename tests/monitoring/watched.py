"""Monitors whose readings a test decides; real ones by the protocol, without a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twofold.errors import PartDown
from twofold.monitoring.record import AlarmCause, Observation, Reading
from twofold.types import Json

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""The day before clocks go forward in Europe."""


def reading(signal: str, *, alarm: bool = False, **more: Any) -> Reading:
    """A reading of a share, which alarms or does not."""
    plain: Reading = {
        "signal": signal,
        "at": NOON.isoformat(),
        "state": "alarm" if alarm else "ok",
        "value": 0.7 if alarm else 0.9,
        "low": 0.65 if alarm else 0.86,
        "high": 0.75 if alarm else 0.93,
        "baseline": 0.91,
        "n": 200,
        "statistic": 900.0 if alarm else 2.0,
        "threshold": 400.0,
        "why": "fewer probes find their passage" if alarm else "as measured",
        "detail": {},
    }
    return {**plain, **more}  # type: ignore[typeddict-item]


@dataclass
class ScriptedMonitor:
    """Counts its looks and alarms when it is said to."""

    name: str = "probes"
    alarm: bool = False
    down: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        if self.down:
            raise PartDown("the index is down since noon")
        looks = (before or {"looks": 0})["looks"] + 1
        return Observation(
            readings=(reading(f"{self.name}.hit", alarm=self.alarm, **self.more),), state={"looks": looks}
        )


def explain(readings: Sequence[Reading], history: Sequence[Sequence[Reading]]) -> list[AlarmCause]:
    """All that alarms is a changed embedder."""
    names = [one["signal"] for one in readings if one["state"] == "alarm"]
    evidence = [f"{name}: .70 now, .91 before" for name in names]
    return [{"cause": "embedder changed", "signals": names, "evidence": evidence, "detail": {}}] if names else []
